"""The next hop of the relay under test: a strict SMTP server that keeps every octet.

It misbehaves in two ways. By recipient, always: the local part says how (see `Session.refusal`
and `Session.data`). By `mode`, for whole connections: a session keeps the mode it began with, and a
change of mode ends the sessions that are open, as a server that is restarted with another
configuration would. A session that is amid a message may finish it first.
"""
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

from wire import CRLF, show


class Closed(Exception):
    """The client went, or this session has nothing more to say."""


class Sink:
    def __init__(self, host, port):
        self.changed = threading.Condition()
        self.messages, self.commands, self.sessions = [], [], set()
        self.behaviour = "normal"
        self.evil_connections = 0
        self.evil_notes = []
        self.seen = {}
        self.loop = None  # (token, callback, limit): copies for the token are sent round again
        self.loop_count = 0
        self.tls_context = None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def make_certificate(self, folder):
        program = shutil.which("openssl")
        if not program:
            return
        key, certificate = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
        words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
        files = ["-subj", "/CN=sink.test", "-keyout", key, "-out", certificate]
        done = subprocess.run(
            [program, *words.split(), *files],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)
        if done.returncode == 0:
            self.tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls_context.load_cert_chain(certificate, key)

    @property
    def mode(self):
        return self.behaviour

    @mode.setter
    def mode(self, mode):
        with self.changed:
            if mode == self.behaviour:
                return
            self.behaviour = mode
            for session in self.sessions:
                session.end()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            session = Session(self, client)
            with self.changed:
                session.mode = self.behaviour
                self.sessions.add(session)
            threading.Thread(target=self.serve, args=(session,), daemon=True).start()

    def serve(self, session):
        try:
            session.run()
        except (OSError, ssl.SSLError, Closed):
            pass
        finally:
            with self.changed:
                self.sessions.discard(session)
            session.sock.close()

    def note(self, *what):
        with self.changed:
            self.evil_notes.append(what)
            self.changed.notify_all()

    def count(self, key):
        """How often `key` was seen, this time included."""
        with self.changed:
            self.seen[key] = self.seen.get(key, 0) + 1
            return self.seen[key]

    def keep(self, message):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()
            again = self.loop and any(self.loop[0] in a for a in message["rcpts"])
            if again:
                self.loop_count += 1
                again = self.loop_count <= self.loop[2]
            callback = self.loop[1] if again else None
        if callback:
            threading.Thread(target=callback, args=(message,), daemon=True).start()

    def find(self, token):
        """Messages that hold `token` anywhere."""
        with self.changed:
            return [m for m in self.messages if token in m["raw"] or token in m["mail"]
                    or any(token in a for a in m["rcpts"])]

    def to(self, token):
        """Messages with `token` in a recipient."""
        with self.changed:
            return [m for m in self.messages if any(token in a for a in m["rcpts"])]

    def wait(self, condition, seconds):
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                result = condition()
                left = end - time.monotonic()
                if result or left <= 0:
                    return result
                self.changed.wait(min(left, 0.2))

    def close(self):
        self.listener.close()


class Session:
    def __init__(self, sink, sock):
        self.sink, self.sock, self.mode = sink, sock, "normal"
        self.buffer, self.helo, self.tls = b"", b"", False
        self.mail, self.rcpts = None, []
        self.idle, self.ended = True, False

    def end(self):
        """No more messages in this session; the sink's lock is held."""
        self.ended = True
        if self.idle:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def put(self, data):
        self.sock.sendall(data)

    def more(self):
        data = self.sock.recv(262144)
        if not data:
            raise Closed
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.more()
        at = self.buffer.index(b"\n") + 1
        line, self.buffer = self.buffer[:at], self.buffer[at:]
        with self.sink.changed:
            self.sink.commands.append(line)
        return line.rstrip(CRLF)

    def reset(self):
        self.mail, self.rcpts = None, []
        with self.sink.changed:
            self.idle = True
            if self.ended:
                raise Closed

    def run(self):
        self.sock.settimeout(90)
        if self.mode != "normal":
            with self.sink.changed:
                self.sink.evil_connections += 1
                self.sink.changed.notify_all()
        if self.mode == "endless-banner":
            return self.endless(b"2" * 65536)
        if self.mode == "banner-421":
            return self.put(b"421 4.3.2 busy, try later\r\n")
        self.put(b"220 sink.hostile.test ESMTP\r\n")
        while True:
            command = self.line()
            self.answer(command, command.upper())

    def endless(self, chunk, limit=48 << 20, seconds=8.0):
        """Talks until the peer gives up, and notes what it swallowed."""
        self.sock.settimeout(2.0)
        end = time.monotonic() + seconds
        sent, how = 0, "peer kept reading"
        try:
            while sent < limit and time.monotonic() < end:
                sent += self.sock.send(chunk)
        except socket.timeout:
            how = "peer stopped reading"
        except OSError:
            how = "peer closed"
        self.sink.note(how, sent)
        raise Closed

    def answer(self, command, verb):
        if verb.startswith((b"EHLO", b"HELO", b"LHLO")):
            self.hello(command)
        elif verb.startswith(b"STARTTLS") and self.mode == "tls-inject" and self.sink.tls_context:
            self.put(b"220 go\r\n250-evil.test\r\n250 AUTH PLAIN\r\n")
            self.sock = self.sink.tls_context.wrap_socket(self.sock, server_side=True)
            self.tls, self.buffer = True, b""
        elif verb.startswith(b"MAIL"):
            with self.sink.changed:
                self.idle = False
            self.mail, self.rcpts = command, []
            self.put(b"250 2.1.0 ok\r\n")
        elif verb.startswith(b"RCPT"):
            self.recipient(command)
        elif verb == b"DATA":
            self.data()
        elif verb == b"RSET":
            self.put(b"250 2.0.0 ok\r\n")
            self.reset()
        elif verb == b"NOOP":
            self.put(b"250 2.0.0 ok\r\n")
        elif verb == b"QUIT":
            self.put(b"221 2.0.0 bye\r\n")
            raise Closed
        else:
            self.put(b"500 5.5.1 what\r\n")

    def hello(self, command):
        self.helo = command[5:]
        if self.mode == "endless-ehlo":
            self.endless(b"250-X" + b"A" * 500 + CRLF)
        if self.mode == "tls-inject" and self.tls:
            self.withhold()
        lines = [b"sink.hostile.test", b"PIPELINING", b"SIZE 104857600", b"ENHANCEDSTATUSCODES"]
        if self.mode != "no-8bit":
            lines += [b"8BITMIME", b"SMTPUTF8"]
        if self.mode == "tls-inject" and self.sink.tls_context:
            lines.append(b"STARTTLS")
        self.put(b"".join(b"250-" + line + CRLF for line in lines) + b"250 DSN\r\n")

    def withhold(self):
        """No answer to EHLO inside TLS: a client that goes on used the one injected before."""
        self.sock.settimeout(2.5)
        note = "client waited for the real EHLO reply"
        try:
            data = self.buffer or self.sock.recv(4096)
            note = "client went on: " + show(data, 50) if data else "client closed"
        except socket.timeout:
            pass
        self.sink.note("tls-inject", note)
        raise Closed

    def recipient(self, command):
        match = re.search(rb"<(.*)>", command, re.S)
        address = match.group(1) if match else command[8:]
        refusal = self.refusal(address.lower())
        if refusal is None or address.lower().startswith(b"badcode-"):
            self.rcpts.append(address)
        self.put(refusal or b"250 2.1.5 ok\r\n")

    def refusal(self, address):
        """The answer to a recipient that is not simply taken, by its local part."""
        if address.startswith(b"perm-"):
            return b"550 5.1.1 no such user\r\n"
        if address.startswith(b"tmp1-") and self.sink.count(address) == 1:
            return b"450 4.2.0 later\r\n"
        if address.startswith(b"evilr-"):
            return (b"550-5.1.1 \x1b[31mred\x1b[0m nul\x00 cr\rInjected-Header: yes\r\n"
                    b"550-5.1.1 \xff\xfe 8bit \x7f \x08 " + b"L" * 3000 + b"\r\n550 5.1.1 end\r\n")
        if address.startswith(b"huger-"):
            line = b"550-5.1.1 line %06d " + b"x" * 400 + CRLF
            return b"".join(line % number for number in range(4000)) + b"550 5.1.1 end\r\n"
        if address.startswith(b"badcode-"):
            return b"9999 what\r\nabc def\r\n\r\n-1\r\n250\r\n"
        return None

    def has(self, prefix):
        return any(address.lower().startswith(prefix) for address in self.rcpts)

    def data(self):
        if not self.rcpts:
            self.put(b"554 5.5.1 no valid recipients\r\n")
            return
        self.put(b"354 go ahead\r\n")
        early = self.has(b"early-") and self.sink.count(b"E" + b"".join(self.rcpts)) == 1
        if early:
            self.put(b"250 2.0.0 premature: queued\r\n")
        raw = self.content()
        if early:
            self.sink.note("early", "content refused after a premature 250")
            raise Closed
        if self.has(b"drop1-") and self.sink.count(b"D" + b"".join(self.rcpts)) == 1:
            raise Closed
        if self.has(b"permd-"):
            self.put(b"554 5.6.0 content refused\r\n")
            self.sink.note("permd", self.mail)
        else:
            data = re.sub(rb"(^|(?<=\r\n))\.", b"", raw)
            self.sink.keep({"mail": self.mail, "rcpts": self.rcpts, "raw": raw, "data": data,
                            "helo": self.helo, "tls": self.tls})
            self.put(b"250 2.0.0 recorded\r\n")
        self.reset()

    def content(self):
        """All up to CRLF.CRLF, the dots still stuffed."""
        data, at = bytearray(CRLF + self.buffer), 0  # so that a leading ".CRLF" is an end too
        while True:
            end = data.find(b"\r\n.\r\n", at)
            if end >= 0:
                break
            at = max(0, len(data) - 4)
            self.buffer = b""
            self.more()
            data += self.buffer
        self.buffer = bytes(data[end + 5 :])
        return bytes(data[2 : end + 2])
