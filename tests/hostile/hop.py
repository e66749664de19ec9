"""A next hop that plays one dialogue on its first connection and is well behaved afterwards.

A dialogue says, for some stages of a session, what happens there instead of the right reply: a list
of actions, each a function of the session. The stages are banner, ehlo, helo, mail, rcpt, data,
content (amid the message), dot (after it), rset and quit.
"""
import socket
import struct
import threading
import time

GOOD = {
    "banner": b"220 hop.example ready\r\n", "helo": b"250 hop.example\r\n",
    "mail": b"250 2.1.0 sender ok\r\n", "rcpt": b"250 2.1.5 recipient ok\r\n",
    "data": b"354 go on\r\n", "dot": b"250 2.0.0 stored\r\n", "rset": b"250 2.0.0 reset\r\n",
    "quit": b"221 2.0.0 bye\r\n"}
NO_MAIL = b"503 5.5.1 MAIL first\r\n"
EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 100000000")
PATIENCE_S = 40  # how long a session waits for a relay that says nothing


class Over(Exception):
    """The session ends here."""


def ehlo_reply(extensions):
    lines = ["hop.example", *extensions]
    marks = ["-"] * (len(lines) - 1) + [" "]
    return "".join("250%s%s\r\n" % pair for pair in zip(marks, lines)).encode()


def say(data):
    return lambda session: session.sock.sendall(data)


def close(session):
    raise Over


def reset(session):
    session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Over


def silent(session):
    """Says nothing until the relay has gone, whatever it sends meanwhile."""
    session.sock.settimeout(PATIENCE_S)
    while session.sock.recv(65536):
        pass
    raise Over


def pause(seconds):
    return lambda session: time.sleep(seconds)


def drip(data, seconds):
    def act(session):
        for octet in data:
            session.sock.sendall(bytes([octet]))
            time.sleep(seconds)
    return act


def flood(data, limit=32 << 20):
    """Repeats itself until the relay gives up; a relay that takes it all has failed."""
    def act(session):
        sent = 0
        while sent < limit:
            session.sock.sendall(data)
            sent += len(data)
        session.hop.swallowed = sent
        raise Over
    return act


class Hop:
    def __init__(self, dialogue, extensions=EXTENSIONS, accepts=False, lmtp=False, listener=None):
        self.dialogue, self.extensions = dialogue, extensions
        self.accepts, self.lmtp = accepts, lmtp
        self.connections, self.swallowed, self.first_done = 0, 0, threading.Event()
        self.stored = []  # (recipients, content) that we took, or said nothing against
        self.addresses = set()  # of ours, that were connected to
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=20)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.addresses.add(client.getsockname()[0])
            evil = self.connections == 1
            threading.Thread(target=self.serve, args=(client, evil), daemon=True).start()

    def serve(self, client, evil):
        try:
            Session(self, client, evil).run()
        except (Over, OSError):
            pass
        finally:
            client.close()
            if evil:
                self.first_done.set()

    def close(self):
        self.listener.close()


class Session:
    def __init__(self, hop, sock, evil):
        self.hop, self.sock = hop, sock
        self.dialogue = dict(hop.dialogue) if evil else {}
        self.buffer, self.mail, self.rcpts = b"", False, []

    def more(self):
        self.sock.settimeout(PATIENCE_S)
        data = self.sock.recv(65536)
        if not data:
            raise Over
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def stage(self, name, good=None):
        """Plays the dialogue's part for this stage; True if all was right instead."""
        actions = self.dialogue.pop(name, None)
        if actions is None:
            self.sock.sendall(good or GOOD[name])
            return True
        for act in actions:
            act(self)
        return False

    def run(self):
        self.stage("banner")
        while True:
            line = self.line()
            verb = line[:4].upper().decode("latin1")
            if verb in ("EHLO", "LHLO"):
                self.stage("ehlo", ehlo_reply(self.hop.extensions))
            elif verb == "MAIL":
                self.rcpts = []
                self.mail = self.stage("mail") or self.hop.accepts
            elif verb == "RCPT":
                self.recipient(line)
            elif verb == "DATA":
                self.data()
            elif verb == "QUIT":
                self.stage("quit")
                raise Over
            elif verb in ("HELO", "RSET"):
                self.stage(verb.lower())
            else:
                self.sock.sendall(b"500 5.5.1 unknown\r\n")

    def recipient(self, line):
        address = line[line.index(b"<") + 1 : line.rindex(b">")].decode()
        if self.stage("rcpt", None if self.mail else NO_MAIL) or self.hop.accepts:
            self.rcpts += [address] if self.mail else []

    def data(self):
        if "data" not in self.dialogue and not self.rcpts:
            self.sock.sendall(b"554 5.5.1 no valid recipients\r\n")
            return
        self.stage("data")
        if "content" in self.dialogue:
            while len(self.buffer) < 100000:
                self.more()
            self.stage("content")
        content = self.content()
        taken = "dot" not in self.dialogue or self.hop.accepts
        if taken and self.rcpts:
            self.hop.stored.append((tuple(self.rcpts), content))
        replies = len(self.rcpts) if self.hop.lmtp else 1
        self.rcpts = []
        self.stage("dot", GOOD["dot"] * replies)

    def content(self):
        data = bytearray(b"\r\n" + self.buffer)
        at = 0
        while True:
            end = data.find(b"\r\n.\r\n", at)
            if end >= 0:
                break
            at = max(0, len(data) - 4)
            self.buffer = b""
            self.more()
            data += self.buffer
        self.buffer = bytes(data[end + 5 :])
        raw = bytes(data[2 : end + 2])
        return b"\r\n".join(l[1:] if l[:1] == b"." else l for l in raw.split(b"\r\n"))
