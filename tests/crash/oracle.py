"""What the crash experiments judge by: who was told what, and what came out. It stands outside the relay.

A letter's token is in its content. The senders write down each token whose final reply they read
(accepted, refused) or waited for in vain (unknown); the sink writes down each token it took. With the
queue empty: lost = accepted and never delivered, ghost = refused, never finished or never sent and
yet delivered, damaged = delivered with other octets. These three must be 0. Duplicates are counted.
"""
import collections
import hashlib
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))
from lab import PROGRAM, Relay, Sink, free_port, wait_until  # noqa: E402,F401

# Programs that meson builds for these experiments: volatile.so, blocks, letters.
TOOLS = pathlib.Path(os.environ.get("CRASH_TOOLS", PROGRAM.parent / "tests" / "crash"))
LINE = 78
POOL = b"".join(b"%076x\r\n" % random.Random(7).getrandbits(300) for _ in range(2000))
SIZES = (1, 12, 250, 900)  # lines: from less than a block to more than one record
SKIPPED = 77
BACKLOG = 1000  # letters accepted and not yet taken, if there is a sink to look at


def tool(name):
    """The loader only warns of a library that is not there, and the experiment would be none."""
    assert (TOOLS / name).exists(), f"{TOOLS / name} is not there: build it, or set CRASH_TOOLS"
    return TOOLS / name


def config(sink_port, extra=""):
    return ("network office 127.0.0.0/8;\nrelay { allow from office; }\n"
            f"route smtp 127.0.0.1:{sink_port};\n"
            "queue { retry 100ms; lifetime 1h; segment 1M; reserve 0; %s }\n"
            "limits { connections-per-client 1000; }\nstop-grace 1s;\n"
            "deliver { allow-local yes; }\ndestinations { connections 20; }\n" % extra)


class Ledger:
    """What the senders know. Values: what the receiver must get (SHA-256), and the place of a cut."""

    def __init__(self):
        self.lock = threading.Lock()
        self.accepted, self.unknown, self.refused = {}, {}, {}
        self.place = lambda: 0  # of the write log, for those who record one

    def note(self, book, token, digest):
        with self.lock:
            book[token] = (digest, self.place())

    def known(self):
        return {**self.accepted, **self.unknown, **self.refused}


class Senders:
    """Threads that send letters as fast as the relay takes them; one in fifty breaks off before its end."""

    def __init__(self, port, ledger, count=8, seed=1, sizes=SIZES, sink=None,
                 backlog=BACKLOG):
        self.port, self.ledger, self.is_over = port, ledger, False
        self.sizes, self.sink, self.backlog = sizes, sink, backlog
        self.numbers = itertools.count(1 + max(ledger.known(), default=0))
        self.replies = collections.Counter()
        self.threads = [threading.Thread(target=self.send_on, args=(random.Random(seed * 100 + i),))
                        for i in range(count)]
        for thread in self.threads:
            thread.start()

    def send_on(self, chance):
        while not self.is_over:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 10) as client:
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.session(client, client.makefile("rb"), chance)
            except OSError:
                time.sleep(0.01)

    def session(self, client, read, chance):
        def reply():
            while True:
                line = read.readline()
                if not line.endswith(b"\n"):
                    raise ConnectionError
                if line[3:4] != b"-":
                    return line

        reply()
        client.sendall(b"EHLO c.example\r\n")
        reply()
        while not self.is_over:
            if self.sink and len(self.ledger.accepted) - len(self.sink.taken) > self.backlog:
                time.sleep(0.005)  # an empty queue has to come in good time
                continue
            client.sendall(b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@dest.example>\r\nDATA\r\n")
            answers = [reply(), reply(), reply()]
            if not answers[2].startswith(b"354"):
                self.replies[b" ".join(answers[0].split()[:2]).decode()] += 1
                time.sleep(0.02)
                raise ConnectionError
            self.letter(client, reply, chance)

    def letter(self, client, reply, chance):
        with self.ledger.lock:
            token = next(self.numbers)
        at = chance.randrange(1000) * LINE
        content = b"X-Token: t%d.\r\n\r\n" % token + POOL[at:at + chance.choice(self.sizes) * LINE]
        digest = hashlib.sha256(content).digest()
        ledger = self.ledger
        if chance.random() < 0.02:
            ledger.note(ledger.refused, token, digest)
            client.sendall(content)
            raise ConnectionError
        try:
            client.sendall(content + b".\r\n")
            answer = reply()
        except OSError:
            ledger.note(ledger.unknown, token, digest)
            raise
        self.replies[b" ".join(answer.split()[:2]).decode()] += 1
        ledger.note(ledger.accepted if answer.startswith(b"250") else ledger.refused, token, digest)

    def stop(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()


def token_of(content):
    """(token, digest) of a letter as it came out, whatever was put before it on the way."""
    at = content.find(b"X-Token: ")
    match = re.match(rb"X-Token: t(\d+)\.\r\n", content[at:]) if at >= 0 else None
    return (int(match.group(1)) if match else None, hashlib.sha256(content[at:]).digest())


class SlowSink(Sink):
    """Takes letters, each after a pause of up to `pause_s`, and keeps what each was: [(token, digest)]."""

    def __init__(self, ledger, pause_s=0.04):
        self.ledger, self.pause_s, self.epoch = ledger, pause_s, 0
        self.taken, self.first_place = [], {}
        super().__init__()

    def finish(self, read, say, sender, recipients, content):
        time.sleep(random.random() * self.pause_s)
        token, digest = token_of(content)
        with self.lock:
            self.taken.append((token, digest, self.epoch))
            self.first_place.setdefault(token, self.ledger.place())
        say("250 2.0.0 stored")
        return True


class CrashRelay(Relay):
    """A relay that may be given another spool folder and the disk that forgets."""

    def __init__(self, text, spool=None, disk=None, folder=None):
        self.spool = spool
        environment = {"CRASH_DISK": disk, "LD_PRELOAD": str(tool("volatile.so"))} if disk else {}
        super().__init__(text, environment=environment, folder=folder)
        self.took_ms, self.torn, self.alarms, self.starts = [], 0, 0, 0

    def write(self, text):
        spool = self.spool or self.folder / "spool"
        self.path.write_text(f"hostname relay.example;\nspool {spool};\n"
                             f"listen smtp 127.0.0.1:{self.port};\n{text}\n")

    def kill_all(self):
        """kill -9 of both: nobody has time for a last word."""
        worker = self.worker_pid()
        self.process.kill()
        if worker:
            os.kill(worker, signal.SIGKILL)
        self.process.wait()
        if worker:
            wait_until(lambda: not pathlib.Path(f"/proc/{worker}").exists() or is_zombie(worker),
                       what="the worker is dead")

    def read_log(self):
        """Adds up what recoveries said since the last time, and empties the log."""
        text = self.log_text()
        for line in text.splitlines():
            if " recovered " in line:
                facts = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}
                self.starts += 1
                self.took_ms.append(facts["took_ms"])
                self.torn += facts["torn_bytes"] > 0
                self.alarms += facts["damaged_records"] + facts["damaged_messages"]
                if facts["damaged_records"] + facts["damaged_messages"]:
                    print(line, flush=True)
        os.truncate(self.log_path, 0)
        return text

    def drain(self, seconds=120):
        wait_until(lambda: time.sleep(0.05) or self.is_empty(), seconds, "the queue runs empty")

    def settle(self, sink, quiet_s=1.5):
        """Waits until nothing comes any more, for controls: what is damaged never leaves the queue."""
        count = -1
        while count != len(sink.taken):
            count = len(sink.taken)
            time.sleep(quiet_s)

    def is_empty(self):
        answer = self.command("status", "--json", check=False)
        return answer.returncode == 0 and \
            json.loads(answer.stdout.splitlines()[0])["queued_messages"] == 0

    def health(self):
        return self.status()["spool"]


def is_zombie(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


class Judgement:
    """The ledger against what the sink took."""

    def __init__(self, ledger, taken):
        known = ledger.known()
        times = collections.Counter(token for token, _, _ in taken)
        self.accepted = len(ledger.accepted)
        self.lost = sorted(set(ledger.accepted) - set(times))
        self.ghosts = sorted({str(token) for token in times
                              if token not in known or token in ledger.refused})
        self.damaged = sorted({str(token) for token, digest, _ in taken
                               if token in known and known[token][0] != digest})
        self.duplicates = sum(count - 1 for count in times.values())
        self.worst = self.most_in_one_crash(taken)

    def add(self, other):
        """Another run's: one judgement over both."""
        for name in ("accepted", "lost", "ghosts", "damaged", "duplicates"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.worst = max(self.worst, other.worst)
        return self

    @staticmethod
    def most_in_one_crash(taken):
        seen, again = set(), collections.Counter()
        for token, _, epoch in taken:
            again[epoch] += token in seen
            seen.add(token)
        return max(again.values(), default=0)

    def is_good(self):
        return not (self.lost or self.ghosts or self.damaged) and self.accepted > 0

    def __str__(self):
        text = (f"{self.accepted} accepted, {len(self.lost)} lost, {self.duplicates} duplicates "
                f"(at most {self.worst} a crash), {len(self.ghosts)} ghosts, "
                f"{len(self.damaged)} damaged")
        if not self.is_good():
            text += f" [lost {self.lost[:5]} ghosts {self.ghosts[:5]} damaged {self.damaged[:5]}]"
        return text


def bound(crashes, bad):
    """What no loss in N independent crashes says of one crash."""
    return "" if bad else f"; loss per crash < {100 * 3 / crashes:.2g} % (95 %)"


def percentiles(values):
    values = sorted(values) or [0]
    at = [values[min(len(values) - 1, len(values) * part // 100)] for part in (50, 99)]
    return f"p50 {at[0]:.0f} p99 {at[1]:.0f} max {values[-1]:.0f} ms"


def report(name, is_good, text):
    """One line of the table that tests/crash/run prints at the end."""
    print(f"{name:<14} {'PASS' if is_good else 'FAIL'}  {text}", flush=True)
    return is_good


def report_skip(name, reason):
    print(f"{name:<14} SKIP  {reason}", flush=True)


def finish(results):
    """Exit code: any failure is one; nothing but skips is a skip."""
    if not all(result for result in results if result is not None):
        sys.exit(1)
    sys.exit(0 if any(results) else SKIPPED)
