"""The relay under a service manager: passed sockets, notification, watchdog, the units themselves.

No service manager runs here: its side of the protocols is played, and its own tool judges the units.
"""
import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile

import pytest

from lab import PROGRAM, ROOT, Relay, wait_until

OPEN = "network office 127.0.0.0/8;\nrelay { allow from office; }\n"
UNITS = ROOT / "packaging" / "systemd"
MOST_EXPOSED = 16  # tenths, of 100


class Activated(Relay):
    """Started with `sockets` (name, socket) as descriptors 3 and up."""

    def __init__(self, config, sockets, **more):
        super().__init__(config, **more)
        self.sockets = sockets

    def start(self, wait=True):
        count = len(self.sockets)
        moves = "".join(f"exec {60 + i}<&{s.fileno()}; " for i, (_, s) in enumerate(self.sockets))
        moves += "".join(f"exec {3 + i}<&{60 + i} {60 + i}<&-; " for i in range(count))
        script = f'{moves} LISTEN_PID=$$ exec "{self.program}" serve -c "{self.path}"'
        names = ":".join(name for name, _ in self.sockets)
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            ["bash", "-c", script], stderr=self.log, pass_fds=[s.fileno() for _, s in self.sockets],
            env={**os.environ, "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names, **self.environment})
        if wait:
            self.wait_ready()
        return self


def listening(kind=socket.SOCK_STREAM):
    made = socket.socket(socket.AF_INET, kind)
    made.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        made.listen(10)
    return made


def activated(first, *more, extra="", **options):
    """The relay whose first listen line is for the socket `first`."""
    relay = Activated("", [("smtp", first), *more], **options)
    relay.port = first.getsockname()[1]
    relay.write(extra + OPEN)
    return relay


def greets(connection):
    with connection:
        connection.settimeout(10)
        return connection.recv(100).startswith(b"220")


def test_all_passed_sockets_serve():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "local")
        with listening() as tcp, socket.socket(socket.AF_UNIX) as local:
            local.bind(path)
            local.listen(10)
            with activated(tcp, ("local", local), extra=f"listen smtp unix:{path};\n") as relay:
                client = socket.socket(socket.AF_UNIX)
                client.connect(path)
                assert greets(client)
                relay.command("reload")  # the sockets are still there
                wait_until(lambda: relay.log_lines(" reloaded"), what="it is reloaded")
                assert greets(socket.create_connection(("127.0.0.1", relay.port)))


@pytest.mark.parametrize("case", ["missing", "unknown", "datagram"])
def test_wrong_sockets_are_an_error(case):
    with listening() as tcp, listening() as other, listening(socket.SOCK_DGRAM) as datagram:
        place = "127.0.0.1:%d" % other.getsockname()[1]
        relay = {
            "missing": lambda: activated(tcp, extra=f"listen smtp {place};\n"),
            "unknown": lambda: activated(tcp, ("spare", other)),
            "datagram": lambda: activated(tcp, ("spare", datagram)),
        }[case]()
        relay.start(wait=False)
        assert relay.process.wait(20) == 1
        line, = relay.log_lines("cannot listen")
        if case == "missing":
            assert "passed no socket for this place" in line and place in line
            assert re.search(r"line=4\b", line)
        elif case == "unknown":
            assert "no listen line names" in line and place in line and "socket=spare" in line
        else:
            assert "no listening stream socket" in line and "descriptor=4" in line
        shutil.rmtree(relay.folder)


def test_reload_that_needs_another_socket_is_refused():
    with listening() as tcp, activated(tcp) as relay:
        relay.write(OPEN + "listen smtp 127.0.0.1:1;\n")
        relay.command("reload")
        wait_until(lambda: relay.log_lines("passed no socket for this place"), what="it is refused")
        assert greets(socket.create_connection(("127.0.0.1", relay.port)))


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.path = os.path.join(self.folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)

    def next(self, seconds=20):
        self.socket.settimeout(seconds)
        return dict(line.split("=", 1) for line in self.socket.recv(1000).decode().splitlines())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()
        shutil.rmtree(self.folder)


def test_ready_means_served():
    with Manager() as manager:
        relay = Relay(OPEN, environment={"NOTIFY_SOCKET": manager.path})
        relay.start(wait=False)
        try:
            assert manager.next()["READY"] == "1"
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:  # at once
                assert client.noop()[0] == 250
            os.kill(relay.process.pid, signal.SIGHUP)
            told = manager.next()
            assert told["RELOADING"] == "1" and int(told["MONOTONIC_USEC"]) > 0
            assert manager.next()["READY"] == "1"
            relay.write("relay { allow from nowhere; }\n")
            os.kill(relay.process.pid, signal.SIGHUP)
            assert manager.next()["RELOADING"] == "1"
            assert manager.next()["READY"] == "1"  # as before, with the old file
        finally:
            relay.stop()
        assert manager.next()["STOPPING"] == "1"
        shutil.rmtree(relay.folder)


def test_no_ready_without_a_worker():
    """A worker that cannot start (its spool is in use) is never called ready."""
    with Relay(OPEN) as first, Manager() as manager:
        second = Relay(OPEN, environment={"NOTIFY_SOCKET": manager.path})
        second.path.write_text(second.path.read_text().replace(f"{second.folder}/spool",
                                                               f"{first.folder}/spool"))
        second.start(wait=False)
        wait_until(lambda: second.log_lines("in use by another process"), what="it cannot start")
        second.stop()
        assert "STOPPING" in manager.next()
        shutil.rmtree(second.folder)


def test_watchdog_is_fed_while_the_worker_answers():
    with Manager() as manager:
        with Relay(OPEN, environment={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "300000"}) as relay:
            while "READY" not in manager.next():
                pass
            for _ in range(3):
                assert manager.next() == {"WATCHDOG": "1"}
            worker = relay.worker_pid()
            os.kill(worker, signal.SIGSTOP)
            try:
                with pytest.raises(socket.timeout):
                    for _ in range(5):  # what was on its way
                        manager.next(2)
            finally:
                os.kill(worker, signal.SIGCONT)
            assert manager.next() == {"WATCHDOG": "1"}
            relay.process.terminate()
            while relay.process.poll() is None:  # or our queue would be full
                try:
                    manager.next(0.1)
                except socket.timeout:
                    pass


def test_watchdog_of_another_process_is_not_fed():
    with Manager() as manager:
        environment = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}
        with Relay(OPEN, environment=environment):
            assert "READY" in manager.next()
        assert "STOPPING" in manager.next()


# ---- The units ----

needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"),
                                   reason="SKIP: systemd-analyze is missing")
SERVICES = ["openrelay.service", "openrelay-activated.service"]


def unit(folder, name):
    """As it is installed."""
    path = pathlib.Path(folder, name)
    path.write_text((UNITS / (name + ".in")).read_text().replace("@bindir@", str(PROGRAM.parent)))
    return path


@needs_analyze
@pytest.mark.parametrize("name", SERVICES)
def test_unit_is_closed(name):
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager",
             f"--threshold={MOST_EXPOSED}", unit(folder, name)],
            capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
        print(result.stdout[-200:])
        assert result.returncode == 0, result.stdout + result.stderr


@needs_analyze
def test_units_are_well_formed():
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(UNITS / "openrelay.socket", folder)
        paths = [unit(folder, name) for name in SERVICES] + [pathlib.Path(folder, "openrelay.socket")]
        result = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths],
                                capture_output=True, text=True)
        said = [line for line in result.stderr.splitlines() if folder in line or "openrelay" in line]
        assert result.returncode == 0 and said == [], result.stderr


def test_socket_unit_and_configuration_agree():
    """The port of the socket unit is the one that the manual's first configuration listens on."""
    ports = re.findall(r"^ListenStream=(\S+)", (UNITS / "openrelay.socket").read_text(), re.M)
    assert ports == ["25"]
    assert "listen smtp [::]:25;" in (ROOT / "README.md").read_text()
