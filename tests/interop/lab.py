"""What the interop tests share: the relay as a process, a next hop that keeps every octet, a small DNS.

Everything listens on loopback, on ports that were free a moment ago; everything that is started is
stopped by its own pid. Nothing here knows the relay from inside.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("OPENRELAY", ROOT / "build" / "openrelay"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=20, what="the condition"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


class Relay:
    """`openrelay serve` in a folder of its own. `config` is what comes after hostname and spool."""

    def __init__(self, config, folder=None, environment=None, program=PROGRAM):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="openrelay-"))
        self.owns_folder = folder is None
        self.program = program
        self.port = free_port()
        self.environment = environment or {}
        self.path = self.folder / "openrelay.conf"
        self.log_path = self.folder / "log"
        self.write(config)
        self.process = None

    def write(self, config):
        self.path.write_text(
            f"hostname relay.example;\nspool {self.folder}/spool;\n"
            f"listen smtp 127.0.0.1:{self.port};\n{config}\n")

    def start(self, wait=True):
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [self.program, "serve", "-c", self.path], stderr=self.log, stdin=subprocess.DEVNULL,
            env={**os.environ, **self.environment})
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=20):
        wait_until(self.answers, seconds, f"the relay answers ({self.log_text()[-2000:]})")

    def answers(self):
        assert self.process.poll() is None, f"the relay ended: {self.log_text()[-4000:]}"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as client:
                return client.recv(100).startswith(b"220")
        except OSError:
            return False

    def worker_pid(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = children.read_text().split()
        return int(pids[0]) if pids else None

    def stop(self, seconds=30):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                worker = self.worker_pid()
                self.process.kill()
                self.process.wait()
                if worker:
                    os.kill(worker, signal.SIGKILL)
                raise
        return self.process.returncode if self.process else None

    def kill(self):
        """kill -9 of the master; the worker notices and goes."""
        self.process.kill()
        self.process.wait()

    def command(self, *words, check=True):
        result = subprocess.run([self.program, *words, "-c", self.path], capture_output=True,
                                text=True, timeout=60)
        if check:
            assert result.returncode == 0, f"{words}: {result.stderr}"
        return result

    def queue(self, *filters):
        lines = self.command("queue", "list", *filters, "--json").stdout.splitlines()
        return [entry for entry in map(json.loads, lines) if "id" in entry]

    def status(self):
        return json.loads(self.command("status", "--json").stdout.splitlines()[0])

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_lines(self, pattern):
        return [line for line in self.log_text().splitlines() if re.search(pattern, line)]

    def wait_empty(self, seconds=60):
        wait_until(lambda: self.status().get("queued_messages") == 0, seconds,
                   "the queue runs empty")

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        try:
            self.stop()
        finally:
            if self.owns_folder and not error[0]:
                shutil.rmtree(self.folder, ignore_errors=True)


class Sink:
    """A next hop. Keeps (sender, recipients, content) byte for byte; misbehaves by the local part.

    `reject` 550 at RCPT, `defer` 451 at RCPT, `late` 554 after the content, `drop` closes after the dot
    without a reply, `slow` waits 2 s before the last reply.
    """

    def __init__(self, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 100000000"),
                 lmtp=False, path=None):
        self.messages, self.lock, self.extensions, self.lmtp = [], threading.Lock(), extensions, lmtp
        self.connections = 0
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                try:
                    sink.converse(self)
                except (ConnectionError, BrokenPipeError):
                    pass

        base = socketserver.ThreadingUnixStreamServer if path else socketserver.ThreadingTCPServer

        class Server(base):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 200

        self.server = Server(path or ("127.0.0.1", 0), Handler)
        self.port = None if path else self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def converse(self, handler):
        read, write = handler.rfile, handler.wfile
        with self.lock:
            self.connections += 1

        def say(text):
            write.write(text.encode() + b"\r\n")

        say("220 sink.example ready")
        sender, recipients, chunks = None, [], b""
        while True:
            line = read.readline(10000)
            if not line:
                return
            verb = line[:4].upper()
            if verb in (b"EHLO", b"LHLO"):
                say("\r\n".join(["250-sink.example", *("250-" + e for e in self.extensions), "250 HELP"]))
            elif verb == b"HELO":
                say("250 sink.example")
            elif verb == b"MAIL":
                sender, recipients, chunks = line.strip().decode(), [], b""
                say("250 2.1.0 ok")
            elif verb == b"RCPT":
                text = line.strip().decode("utf-8", "surrogateescape")
                if "reject" in text:
                    say("550 5.1.1 no such user here")
                elif "defer" in text:
                    say("451 4.7.1 come back later")
                else:
                    recipients.append(text)
                    say("250 2.1.5 ok")
            elif verb == b"DATA":
                if not recipients:
                    say("554 5.5.1 no valid recipients")
                    continue
                say("354 go on")
                if not self.finish(read, say, sender, recipients, self.read_data(read)):
                    return
            elif verb == b"BDAT":
                words = line.split()
                chunks += read.read(int(words[1]))
                if len(words) < 3:
                    say("250 2.0.0 chunk")
                elif not self.finish(read, say, sender, recipients, chunks):
                    return
            elif verb == b"QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("250 2.0.0 ok")

    @staticmethod
    def read_data(read):
        content = bytearray()
        while True:
            line = read.readline()
            if not line:
                raise ConnectionError
            if line == b".\r\n":
                return bytes(content)
            content += line[1:] if line[:1] == b"." else line

    def finish(self, read, say, sender, recipients, content):
        text = " ".join(recipients)
        if "drop" in text:
            return False
        if "slow" in text:
            time.sleep(2)
        for _ in recipients if self.lmtp else recipients[:1]:
            say("554 5.6.0 refused" if "late" in text else "250 2.0.0 stored")
        if "late" not in text:
            with self.lock:
                self.messages.append((sender, tuple(recipients), content))
        return True

    def wait(self, count, seconds=30):
        wait_until(lambda: len(self.messages) >= count, seconds,
                   f"{count} messages arrive (there are {len(self.messages)})")
        return self.messages

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Dns:
    """Answers UDP questions from a table {(name, type): [value, ...]}; names without any entry do not exist.

    Types: A (1), MX (15, "10 host"), PTR (12), TXT (16). A value of None means: never answer.
    """

    TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}

    def __init__(self, table):
        self.table = {(name.lower().rstrip("."), self.TYPES[kind]): values
                      for (name, kind), values in table.items()}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    @staticmethod
    def wire(name):
        labels = [label for label in name.rstrip(".").split(".") if label]
        return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"

    def data(self, kind, value):
        if kind == 1:
            return socket.inet_aton(value)
        if kind == 28:
            return socket.inet_pton(socket.AF_INET6, value)
        if kind == 15:
            preference, host = value.split()
            return struct.pack(">H", int(preference)) + self.wire(host)
        if kind == 16:
            return bytes([len(value)]) + value.encode()
        return self.wire(value)

    def serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            at, labels = 12, []
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind, = struct.unpack(">H", query[at + 1:at + 3])
            name = ".".join(labels).lower()
            values = self.table.get((name, kind), [])
            if values is None:
                continue
            exists = any(key[0] == name for key in self.table)
            answers = b"".join(
                b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(self.data(kind, value))) +
                self.data(kind, value) for value in values)
            flags = 0x8580 if exists else 0x8583
            try:
                self.socket.sendto(query[:2] + struct.pack(">HHHHH", flags, 1, len(values), 0, 0) +
                                   query[12:at + 5] + answers, peer)
            except OSError:
                return

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()
