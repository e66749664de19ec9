"""The worker behind its walls: they stand while it serves, and nothing that it has to do needs a door.

Everything is done twice where that can be: started as root with a `user`, and by an ordinary user.
"""
import os
import pathlib
import re
import shutil
import signal
import smtplib
import subprocess
import warnings

import pytest

from lab import PROGRAM, Dns, Relay, Sink, wait_until

USER = "nobody"
MESSAGE = b"From: <a@sender.example>\r\nTo: <b@dest.example>\r\nSubject: hello\r\n\r\nhi\r\n"
NO_CAPABILITIES = {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0}
NET_BIND_SERVICE = 1 << 10
# chown dac_override fowner kill setgid setuid setpcap net_bind_service sys_resource
MASTER_KEEPS = 0, 1, 3, 5, 6, 7, 8, 10, 24
OPEN = "network office 127.0.0.0/8;\nrelay { allow from office; }\n"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="SKIP: only root can start as root")


class Walled(Relay):
    """A relay in a folder that its user can reach; `words` come before its command line."""

    def __init__(self, config, words=(), owner=None, **more):
        super().__init__(config, **more)
        self.words, self.owner, self.tail = words, owner, config
        self.folder.chmod(0o755)
        copy = self.folder / "openrelay"
        shutil.copy(PROGRAM, copy)  # the build may lie where the user may not look
        self.program = copy
        if owner:
            shutil.chown(self.folder, owner)

    def start(self, wait=True):
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            [*self.words, self.program, "serve", "-c", self.path], stderr=self.log,
            stdin=subprocess.DEVNULL, env={**os.environ, **self.environment})
        if wait:
            self.wait_ready()
        return self


def ordinary(*more):
    """What comes before a command line so that an ordinary user runs it."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", *more]


def start_as_root(config):
    return Walled(f"user {USER};\n" + config)


def start_as_user(config):
    return Walled(config, ordinary(), USER if os.geteuid() == 0 else None)


STARTS = [pytest.param(start_as_root, marks=as_root, id="root"),
          pytest.param(start_as_user, id="ordinary-user")]


def numbers(task):
    """The figures of a /proc/.../status: hexadecimal where they are sets."""
    found = {}
    for line in pathlib.Path(task, "status").read_text().splitlines():
        key, value = line.split(":", 1)
        if key.startswith("Cap"):
            found[key] = int(value, 16)
        elif key in ("NoNewPrivs", "Seccomp"):
            found[key] = int(value)
        elif key == "Uid":
            found[key] = set(map(int, value.split()))
    return found


def check_worker(relay, uid, bounding):
    """Every thread of it: seccomp is a matter of threads, and so are capabilities."""
    tasks = list(pathlib.Path(f"/proc/{relay.worker_pid()}/task").iterdir())
    assert len(tasks) >= 2  # the loop, the disk's
    for task in tasks:
        found = numbers(task)
        assert {key: found[key] for key in NO_CAPABILITIES} == NO_CAPABILITIES
        assert found["NoNewPrivs"] == 1 and found["Seccomp"] == 2 and found["Uid"] == {uid}
        assert bounding is None or found["CapBnd"] == bounding
    limits = pathlib.Path(f"/proc/{relay.worker_pid()}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


def walls(relay):
    line = relay.log_lines(r" sandbox of=worker walls=")[-1]
    return re.search(r'walls="([^"]*)"', line).group(1)


def send(relay, recipient, sender="a@sender.example"):
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example", timeout=20) as client:
        return client.sendmail(sender, [recipient], MESSAGE)


def uid_of_worker():
    return os.geteuid() or int(subprocess.check_output(["id", "-u", USER]))


def config_for(sink, dns, log):
    return (f"resolver {{ forward 127.0.0.1:{dns.port}; }}\nqueue {{ retry 1s; lifetime 1h; }}\n"
            f"deliver {{ allow-local yes; port {sink.port}; }}\nlog to {log};\n"
            "network office 127.0.0.0/8;\ndomain bad file \"bad\";\n"
            "relay { refuse to bad; allow from office; }\n")


@pytest.mark.parametrize("start", STARTS)
def test_mail_flows_behind_the_walls(start):
    """By DNS, a bounce, a reload with another table and another log, a new worker, the queue."""
    table = {("dest.example", "MX"): ["10 mx.dest.example"], ("mx.dest.example", "A"): ["127.0.0.1"]}
    with Sink() as sink, Dns(table) as dns:
        relay = start("")
        relay.log_path = relay.folder / "events"
        table_file = relay.folder / "bad"
        table_file.write_text("spam.example\n")
        # What the worker may not even read: it gets it from the master.
        mode = 0o600 if os.geteuid() == 0 else 0o644
        relay.write(relay.tail + config_for(sink, dns, relay.log_path))
        for path in (relay.path, table_file):
            path.chmod(mode)
            if relay.owner:
                shutil.chown(path, relay.owner)
        with relay:
            started_by_root = os.geteuid() == 0 and not relay.words
            check_worker(relay, uid_of_worker(), 0 if started_by_root else None)
            assert "system calls" in walls(relay)
            send(relay, "b@dest.example")
            send(relay, "reject@dest.example")
            assert sink.wait(1)[0][1] == ("RCPT TO:<b@dest.example>",)
            wait_until(lambda: relay.log_lines(" bounced "), what="a bounce is queued")
            reload_table_and_log(relay, table_file)
            end_worker(relay)
            send(relay, "c@dest.example")
            sink.wait(2)
            check_worker(relay, uid_of_worker(), None)
            relay.command("queue", "remove", "--all")
            relay.wait_empty()


def reload_table_and_log(relay, table_file):
    """logrotate's way: the file is moved, the relay reloads and writes to a new one."""
    send(relay, "x@other.example")
    table_file.write_text("spam.example\nother.example\n")
    relay.log_path.rename(relay.folder / "events.1")
    relay.command("reload")
    wait_until(lambda: relay.log_lines(" reloaded"), what="it is reloaded, in the new file")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(relay, "x@other.example")
    wait_until(lambda: relay.log_lines(" refused "), what="the worker writes to the new file")


def end_worker(relay):
    pid = relay.worker_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: relay.worker_pid() not in (None, pid), what="a new worker")
    relay.wait_ready()


@pytest.mark.parametrize("start", STARTS)
def test_master_keeps_little(start):
    with start(OPEN) as relay:
        found = numbers(f"/proc/{relay.process.pid}")
        assert found["NoNewPrivs"] == 1 and found["Seccomp"] == 2
        kept = sum(1 << number for number in MASTER_KEEPS) if not relay.words else 0
        kept &= numbers("/proc/self")["CapPrm"]  # what we could give
        assert found["CapPrm"] == found["CapEff"] == kept and found["CapAmb"] == found["CapInh"] == 0
        assert not kept or found["CapBnd"] == kept


@as_root
def test_low_port_with_one_ambient_capability():
    """As the unit of the service manager starts it: an ordinary user who may bind low ports."""
    words = ordinary("--inh-caps=-all,+net_bind_service", "--ambient-caps=-all,+net_bind_service",
                     "--bounding-set=-all,+net_bind_service", "--no-new-privs")
    relay = Walled(OPEN, words, USER)
    relay.write(OPEN + "listen smtp 127.77.0.1:25;\n")
    with relay:
        with smtplib.SMTP("127.77.0.1", 25, timeout=20) as client:
            assert client.noop()[0] == 250
        found = numbers(f"/proc/{relay.process.pid}")
        assert found["CapEff"] == NET_BIND_SERVICE and found["CapAmb"] == 0
        check_worker(relay, uid_of_worker(), NET_BIND_SERVICE)
        assert "bounding set" in relay.log_text()  # it cannot be emptied, and that is said


def selftest(relay, *words):
    result = subprocess.run([*relay.words, relay.program, "selftest-sandbox", "-c", relay.path, *words],
                            capture_output=True, text=True, timeout=120)
    print(result.stdout)
    return result


@pytest.mark.parametrize("start", STARTS)
def test_every_wall_stands(start):
    """Also as an older kernel would have them: those that it lacks are named, the others stand."""
    with start(OPEN) as relay:
        result = selftest(relay)
        assert result.returncode == 0 and " 0 down, " in result.stdout and not result.stderr
        here = [wall for wall in absent(result) if wall != "privileges"]  # emptied by root alone
        if here:
            warnings.warn("SKIP: on this kernel there is no wall for: " + ", ".join(sorted(set(here))))
        for version in range(1, 8):
            result = selftest(relay, "--landlock", str(version))
            assert result.returncode == 0
            assert ("TCP ports" in absent(result)) == (version < 4 or "TCP ports" in here)
            assert ("abstract sockets" in absent(result)) == (version < 6 or "abstract sockets" in here)
        assert list(pathlib.Path(relay.folder, "spool").glob("selftest*")) == []


def absent(result):
    return [line[:17].strip() for line in result.stdout.splitlines() if line.endswith(", not on this kernel")]


def test_missing_wall_is_seen():
    """The self-test can fail: here the spool is a place where it may not write."""
    with start_as_user(OPEN) as relay:
        path = pathlib.Path(relay.folder, "other.conf")
        path.write_text(relay.path.read_text().replace("/spool;", "/nowhere;"))
        result = subprocess.run([*relay.words, relay.program, "selftest-sandbox", "-c", path],
                                capture_output=True, text=True, timeout=120)
        assert result.returncode == 1 and "DOWN" in result.stdout
