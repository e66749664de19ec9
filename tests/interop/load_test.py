"""Many messages, kills in between: what was accepted is delivered or still queued, never lost.

Sizes are small here; MESSAGES and KILLS in the environment make them as large as one likes.
"""
import itertools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from lab import Relay, Sink, free_port, wait_until

MESSAGES = int(os.environ.get("MESSAGES", "2000"))
KILLS = int(os.environ.get("KILLS", "10"))
SEED = int(os.environ.get("SEED", "1"))
CONFIG = ("network office 127.0.0.0/8;\nrelay {{ allow from office; }}\nroute smtp 127.0.0.1:{};\n"
          "queue {{ retry 1s; lifetime 1h; }}\nlimits {{ connections-per-client 1000; }}\n"
          "deliver {{ allow-local yes; }}\ndestinations {{ connections 50; }}\n")


class PostfixSink:
    """smtp-sink, which counts what it takes."""

    def __init__(self):
        self.port = free_port()
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(["smtp-sink", "-c", "-u", "nobody", f"127.0.0.1:{self.port}", "1000"],
                                        stdout=self.output)
        wait_until(self.listens, what="smtp-sink listens")

    def listens(self):
        with open("/proc/net/tcp") as table:
            return f"0100007F:{self.port:04X} 00000000:0000 0A" in table.read()

    def messages(self):
        self.output.seek(0)
        counts = re.findall(rb"mesg=(\d+)", self.output.read())
        return int(counts[-1]) if counts else 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("options", [[], ["-d"], ["-l", "102400"], ["-r", "50"]],
                         ids=["connections", "reuse", "100K", "50-recipients"])
def test_smtp_source_to_smtp_sink(options):
    count = MESSAGES // 10 if "-r" in options or "-l" in options else MESSAGES
    with PostfixSink() as sink, Relay(CONFIG.format(sink.port)) as relay:
        source = subprocess.run(["smtp-source", "-s", "50", "-m", str(count), *options,
                                 "-f", "a@sender.example", "-t", "b@dest.example",
                                 f"127.0.0.1:{relay.port}"], capture_output=True, text=True, timeout=600)
        assert source.returncode == 0 and source.stderr == ""
        relay.wait_empty(300)
        status = relay.status()
        assert status["received"] == count
        assert sink.messages() == count
        assert status["delivered"] == count * (50 if "-r" in options else 1)
        assert relay.log_lines(" (error|failed|deferred) ") == []


class Senders:
    """Threads that send numbered messages and write down each whose 250 they have read."""

    def __init__(self, port, threads):
        self.port, self.accepted, self.is_over = port, set(), False
        self.numbers = itertools.count(1)
        self.threads = [threading.Thread(target=self.send_on) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def send_on(self):
        while not self.is_over:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 10) as client:
                    self.session(client, client.makefile("rb"))
            except OSError:
                time.sleep(0.02)

    def session(self, client, read):
        def reply():
            while True:
                line = read.readline()
                if not line:
                    raise ConnectionError
                if line[3:4] != b"-":
                    return line

        reply()
        client.sendall(b"EHLO c.example\r\n")
        reply()
        while not self.is_over:
            number = next(self.numbers)
            client.sendall(b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@dest.example>\r\nDATA\r\n")
            if not (reply().startswith(b"250") and reply().startswith(b"250") and reply().startswith(b"354")):
                raise ConnectionError
            body = b"x" * random.choice((10, 900, 70000))
            lines = b"\r\n".join(body[at:at + 76] for at in range(0, len(body), 76))
            client.sendall(b"X-Token: t%d.\r\n\r\n%s\r\n.\r\n" % (number, lines))
            if reply().startswith(b"250"):
                self.accepted.add(number)

    def stop(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()


def kill_something(relay, chance):
    worker = relay.worker_pid()
    if chance.random() < 0.5 and worker:
        os.kill(worker, signal.SIGKILL)
    else:
        relay.kill()
        relay.start(wait=False)


def test_kill_9_under_load_loses_nothing():
    chance = random.Random(SEED)
    with Sink() as sink:
        relay = Relay(CONFIG.format(sink.port))
        relay.start()
        senders = Senders(relay.port, 8)
        try:
            for _ in range(KILLS):
                time.sleep(chance.uniform(0.005, 0.5))
                kill_something(relay, chance)
                relay.wait_ready(60)
        finally:
            senders.stop()
        relay.wait_empty(300)
        relay.stop()
        shutil.rmtree(relay.folder)
    delivered = {}
    for _, _, content in sink.messages:
        token = int(re.search(rb"X-Token: t(\d+)\.", content).group(1))
        delivered[token] = delivered.get(token, 0) + 1
    lost = senders.accepted - set(delivered)
    duplicates = sum(times - 1 for times in delivered.values())
    print(f"{KILLS} kills (seed {SEED}): {len(senders.accepted)} accepted, {len(lost)} lost, "
          f"{duplicates} duplicates")
    assert not lost, f"lost: {sorted(lost)[:10]}"
    assert len(senders.accepted) > KILLS


def test_reload_under_load_drops_no_session():
    with PostfixSink() as sink, Relay(CONFIG.format(sink.port)) as relay:
        source = subprocess.Popen(["smtp-source", "-s", "20", "-m", str(MESSAGES), "-d",
                                   f"127.0.0.1:{relay.port}"], stderr=subprocess.PIPE, text=True)
        while source.poll() is None:
            os.kill(relay.process.pid, signal.SIGHUP)
            time.sleep(0.05)
        assert source.returncode == 0 and source.stderr.read() == ""
        relay.wait_empty(120)
        assert relay.log_lines(" reloaded ")
