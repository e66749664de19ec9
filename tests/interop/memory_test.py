"""The real program without memory, and without descriptors: it ends or refuses cleanly, and loses nothing.

NO_MEMORY names the preloaded library (tests/interop/no_memory.c), ROUNDS says how often an allocation of
the worker is to fail. Tried with a planted bug, and found: an allocation whose result nobody looks at.
"""
import os
import pathlib
import random
import re
import smtplib
import socket
import struct
import time

import pytest

from lab import PROGRAM, Relay, Sink, wait_until

ROUNDS = int(os.environ.get("ROUNDS", "6"))
LIBRARY = os.environ.get("NO_MEMORY", PROGRAM.parent / "tests" / "interop" / "no_memory.so")
CONFIG = ("network office 127.0.0.0/8;\nrelay {{ allow from office; }}\nroute smtp 127.0.0.1:{};\n"
          "queue {{ retry 1s; lifetime 1h; }}\nlimits {{ connections-per-client 1000; }}\n"
          "deliver {{ allow-local yes; }}\n")


def send(relay, token):
    """True: 250 was read after the dot. False: refused, or no answer."""
    content = f"Subject: {token}\r\n\r\nthis is {token}, whole\r\n"
    try:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=20) as client:
            client.sendmail("a@sender.example", [f"{token}@dest.example"], content)
            return True
    except (smtplib.SMTPException, OSError):
        return False


def arm(path, number):
    with open(path, "r+b") as file:  # never shorter in between: it is mapped
        file.write(struct.pack("<q", number))


def delivered(sink):
    """{token: how often}; the content is tested on the way."""
    counts = {}
    for _, recipients, content in sink.messages:
        token = re.search(r"<(\w+)@", recipients[0])[1]
        assert content.endswith(f"\r\n\r\nthis is {token}, whole\r\n".encode()), token
        counts[token] = counts.get(token, 0) + 1
    return counts


def test_allocations_fail(tmp_path):
    left = tmp_path / "left"
    left.write_bytes(bytes(8))
    numbers = random.Random(6)
    accepted, failed = [], 0
    with Sink() as sink, Relay(CONFIG.format(sink.port), environment={
            "LD_PRELOAD": str(LIBRARY), "NO_MEMORY_FILE": str(left)}) as relay:
        for turn in range(ROUNDS):
            if turn % 4 == 3:  # the master waits longer each time; a new one begins anew
                relay.stop()
                relay.start()
            arm(left, numbers.randrange(1, 400))
            for letter in range(200):
                token = f"t{turn}x{letter}"
                if send(relay, token):
                    accepted.append(token)
                if struct.unpack("<q", left.read_bytes())[0] == 0:
                    failed += 1
                    break
            arm(left, 0)
            wait_until(lambda: relay.process.poll() is None and answers(relay), 60, "it is back")
        assert send(relay, "last")
        accepted.append("last")
        wait_until(lambda: not set(accepted) - set(delivered(sink)), 60,
                   "all that was accepted is delivered")
        relay.wait_empty()
        counts = delivered(sink)
        ends = relay.log_lines("worker ended")
        messages = relay.log_lines("^out of memory")
        twice = sum(count - 1 for count in counts.values())
        print(f"{failed} allocations failed; {len(ends)} aborts, each with its message; "
              f"{len(accepted)} accepted, 0 lost, {twice} twice")
        assert failed >= ROUNDS * 3 // 4
        assert len(messages) == len(ends) and len(ends) >= 1
        assert all("signal 6" in line or "Abort" in line for line in ends), ends


def answers(relay):
    try:
        with socket.create_connection(("127.0.0.1", relay.port), 5) as client:
            return client.recv(100).startswith(b"220")
    except OSError:
        return False


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def few_descriptors(tmp_path):
    program = tmp_path / "openrelay"
    program.write_text(f'#!/bin/sh\nulimit -n 64\nexec "{PROGRAM}" "$@"\n')
    program.chmod(0o755)
    return program


def greeted(clients):
    count = 0
    for client in clients:
        try:
            count += client.recv(100).startswith(b"220")
        except OSError:
            pass
    return count


def test_descriptors_run_out(few_descriptors):
    with Sink() as sink, Relay(CONFIG.format(sink.port), program=few_descriptors) as relay:
        worker = relay.worker_pid()
        clients = []
        for _ in range(200):
            client = socket.socket()
            client.settimeout(0.05)
            client.connect(("127.0.0.1", relay.port))
            clients.append(client)
        served = greeted(clients)
        assert served >= 10  # idle ones may have had to go for others
        before = cpu_seconds(worker)
        time.sleep(3)
        used = cpu_seconds(worker) - before
        assert used < 1.5, "it spins"  # a loop that spins takes all of the three seconds
        for client in clients:
            client.close()
        wait_until(lambda: send(relay, "after"), 60, "it serves again")
        wait_until(lambda: "after" in delivered(sink), 60, "and delivers")
        assert relay.worker_pid() == worker
        print(f"200 clients, 64 descriptors: {served} served, {used:.2f} s of processor time in 3 s")
