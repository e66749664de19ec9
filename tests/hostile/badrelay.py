"""A relay that does everything wrong, on purpose and on loopback only: what the suite is tested on.

Each fault is one that a real program has had. Nothing is ever executed: "command injection" is the
creation of an empty marker file, and only below a folder whose name begins with hostile-side-.

    badrelay.py PORT SUBMISSION-PORT TLS-PORT SINK-PORT LOG CERTIFICATE KEY
"""
import base64
import re
import socket
import ssl
import sys
import threading
import time

EXTENSIONS = [b"PIPELINING", b"SIZE 1000000", b"8BITMIME", b"CHUNKING", b"DSN", b"STARTTLS"]
LOOSE_END = re.compile(rb"[\r\n\0\x0b\x85]+\0?\.[\0 \x0c\x85]*[\r\n\x0b\xe2]")
SLOTS = threading.Semaphore(120)
HOARD = []  # everything that was ever read: memory that only grows


class Wire:
    """A socket whose TLS ends too late and begins too early."""

    def __init__(self, sock, context):
        self.sock, self.context, self.tls, self.buffer = sock, context, None, b""

    def recv(self):
        while self.tls:
            try:
                data = self.tls.read(65536)
                if data:
                    return data
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if not data:
                    return b""
                self.incoming.write(data)
                continue
            except ssl.SSLError:
                pass
            self.tls = None  # goes on in plaintext after close_notify
            rest = self.incoming.read()
            if rest:
                return rest
        return self.sock.recv(65536)

    def flush(self):
        data = self.outgoing.read()
        if data:
            self.sock.sendall(data)

    def send(self, data):
        if not self.tls:
            self.sock.sendall(data)
            return
        self.tls.write(data)
        self.flush()

    def start_tls(self):
        """The buffer from before is kept, and a handshake that fails is followed by plaintext."""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        seen = b""
        try:
            while True:
                try:
                    tls.do_handshake()
                    self.flush()
                    self.tls = tls
                    return
                except ssl.SSLWantReadError:
                    self.flush()
                    data = self.sock.recv(65536)
                    if not data:
                        raise OSError
                    seen += data
                    self.incoming.write(data)
        except ssl.SSLError:
            self.flush()
            self.buffer += seen

    def has_line_end(self):
        tail = self.buffer[-70000:]
        return b"\n" in tail or b"\r" in tail

    def line(self):
        """Ends at any CR or LF, is cut at NUL, and when it is long the rest is another command."""
        while True:
            match = re.search(rb"[\r\n]+", self.buffer) if self.has_line_end() else None
            if match and (match.end() < len(self.buffer) or self.buffer.endswith(b"\n")):
                line = self.buffer[: match.start()]
                self.buffer = self.buffer[match.end() :]
                return line.split(b"\0")[0]
            if not match and 4000 < len(self.buffer) < 300000 and b" " in self.buffer[:1000]:
                line, self.buffer = self.buffer[:1000], self.buffer[1000:]
                return line
            data = self.recv()
            if not data:
                raise OSError
            HOARD.append(data * 4)
            self.buffer += data


class Outgoing:
    """The client half: believes all replies, reads them without end, keeps nothing for later."""

    def __init__(self, sink_port):
        self.sink_port = sink_port

    @staticmethod
    def ask(file, sock, line):
        if line:
            sock.sendall(line + b"\r\n")
        reply = b""
        while True:
            line = file.readline()
            reply += line
            HOARD.append(line)
            if not line or line[3:4] != b"-" or not line[:3].isdigit():
                return reply

    def later(self, *message):
        threading.Thread(target=self.send, args=message, daemon=True).start()

    def send(self, mail, rcpts, data, depth=0):
        try:
            self.try_send(mail, rcpts, data, depth)
        except OSError:
            pass

    def try_send(self, mail, rcpts, data, depth):
        sock = socket.create_connection(("127.0.0.1", self.sink_port), 5)
        file = sock.makefile("rb")
        if not self.ask(file, sock, b"").startswith(b"2"):
            return  # lost, where 421 says: later
        if b"STARTTLS" in self.ask(file, sock, b"EHLO bad.test"):
            self.believe_plaintext(file, sock)
            return
        self.ask(file, sock, b"MAIL FROM:<" + mail + b">")
        taken, refused = [], []
        for address in rcpts:
            reply = self.ask(file, sock, b"RCPT TO:<" + address + b">")
            if reply.startswith(b"2"):
                taken.append(address)
            elif reply.startswith(b"5"):
                refused.append(reply)
            elif reply.startswith(b"4"):  # the one thing that is tried again
                threading.Timer(1, self.send, (mail, [address], data)).start()
        if taken and self.ask(file, sock, b"DATA").startswith(b"3"):
            sock.sendall(data + (b"" if data.endswith(b"\r\n") else b"\r\n") + b".\r\n")
            file.readline()
        sock.close()
        for reply in refused:
            self.bounce(mail, reply, data, depth)

    @staticmethod
    def believe_plaintext(file, sock):
        """Replies that came before the handshake count as if they had come after it."""
        sock.sendall(b"STARTTLS\r\n")
        for _ in range(3):
            file.readline()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(sock)
        sock.sendall(b"EHLO a\r\nMAIL FROM:<injected>\r\n")
        time.sleep(1)

    def bounce(self, mail, reply, data, depth):
        """One for each recipient, whole, for bounces too, and with whatever the next hop said."""
        if depth == 1:
            self.send(b"x", [b"abuse@example.test"], data, 9)
        if depth < 3:
            to = (mail or b"postmaster@example.test") if depth == 0 else b"a@example.test"
            content = b"From: x\r\nSubject: bounce\r\nX-Reply: " + reply + b"\r\n\r\n" + reply
            self.send(b"" if depth == 0 else b"bounce", [to], content + data, depth + 1)

    def envelope_id(self, identity):
        """xtext decoded, line ends and all, on its way into a command."""
        with socket.create_connection(("127.0.0.1", self.sink_port), 5) as sock:
            sock.sendall(b"EHLO x\r\nMAIL FROM:<a> ENVID=" + identity + b"\r\nQUIT\r\n")


def percent_decoded(pattern, text):
    return re.sub(pattern, lambda match: bytes([int(match.group(1), 16)]), text)


def rewritten(address):
    """Every trick that ever moved mail elsewhere, obeyed."""
    address = re.sub(rb"=\?utf-8\?q\?(.*?)\?=",
                     lambda match: percent_decoded(rb"=([0-9a-f]{2})", match.group(1)), address)
    address = re.sub(rb"^([^@%]+)%([^@]+)@.*", rb"\1@\2", address)
    address = re.sub(rb"^([^!@]+)!([^@]+)@.*", rb"\2@\1", address)
    address = re.split(rb"[\t>]", address.replace(b'"', b""))[0]
    if b"\\\\" in address:
        raise OSError  # stands for a crash
    address = re.sub(rb"^([^@]+@[^@]+)@.*", rb"\1", address)
    if address.count(b"a") > 200:
        address = address[:64] + address[address.rfind(b"@") :]
    return address


def mark(text):
    """What a shell would have done with the text."""
    match = re.search(rb"(/[\w./-]*hostile-side-[\w-]+/s\d+)", text)
    if match:
        open(match.group(1), "w").close()


class Session:
    def __init__(self, sock, relay, tls_at_once):
        self.wire, self.relay, self.tls_at_once = Wire(sock, relay.context), relay, tls_at_once
        self.mail, self.rcpts, self.chunks, self.helo, self.envid = b"", [], b"", b"", None

    def say(self, text):
        self.wire.send(text + b"\r\n")

    def forward(self, content):
        self.relay.outgoing.later(self.mail, list(self.rcpts), content)
        self.rcpts, self.chunks = [], b""

    def run(self):
        """An end of the connection is as good as an end of the message."""
        try:
            self.converse()
        except OSError:
            if self.chunks:
                self.forward(self.chunks)
        except Exception as error:
            self.relay.write_log(b"panic: " + repr(error).encode())

    def converse(self):
        if self.tls_at_once:
            self.wire.start_tls()
        self.say(b"220 bad.relay.test ESMTP deliberately broken")
        while True:
            line = self.wire.line()
            self.relay.write_log(b"cmd " + line)
            mark(line)
            if self.answer(line, line.upper()):
                return

    def answer(self, line, verb):
        """True at the end."""
        if verb.startswith((b"EHLO", b"HELO", b"LHLO")):
            self.helo = line[5:]
            offers = b"".join(b"\r\n250-" + e for e in EXTENSIONS)
            self.say(b"250-bad.relay.test hello " + line[5:] + offers + b"\r\n250 AUTH PLAIN LOGIN")
        elif verb.startswith(b"STARTTLS"):
            self.say(b"220 go")
            time.sleep(0.05)
            self.wire.start_tls()
        elif verb.startswith(b"MAIL"):
            self.take_sender(line)
        elif verb.startswith(b"RCPT"):
            text = line[8:]
            self.rcpts += [rewritten(a) for a in re.findall(rb"<(.*?)>", text) or [text]]
            self.say(b"250 ok " + text)
        elif verb.startswith(b"DATA"):
            return self.take_data()
        elif verb.startswith(b"BDAT"):
            self.take_chunk(line.split(), b"LAST" in verb)
        elif verb.startswith(b"AUTH"):
            self.authenticate(line.split())
        elif verb.startswith(b"QUIT"):
            if self.chunks:
                self.forward(self.chunks)
            self.say(b"221 bye")
            return True
        elif verb.startswith((b"VRFY", b"EXPN")):
            self.say(b"250 " + line)
        elif verb.startswith((b"BOGUS", b"\x16", b"SSH")):
            self.say(b"500 what " + line)
        else:
            self.say(b"250 sure " + line[:200])
        return False

    def take_sender(self, line):
        match = re.search(rb"<(.*?)>", line)
        self.mail = match.group(1) if match else line[10:]
        match = re.search(rb"ENVID=(\S+)", line)
        if match:
            self.envid = percent_decoded(rb"\+([0-9A-F]{2})", match.group(1))
        self.say(b"250 ok " + self.mail)

    def take_data(self):
        self.say(b"354 go")
        data, match = b"\r\n" + self.wire.buffer, None
        while not match:
            match = LOOSE_END.search(data)
            if match:
                break
            more = self.wire.recv()
            if not more:
                break
            data += more
        body = data[2 : match.start()] + b"\r\n" if match else data[2:]
        self.wire.buffer = data[match.end() :].lstrip(b"\r\n.") if match else b""
        self.forward(b"Received: from " + self.helo + b" by bad\r\n" + body)
        if self.envid:
            self.relay.outgoing.envelope_id(self.envid)
        self.say(b"250 taken")
        return not match

    def take_chunk(self, words, last):
        try:
            size = abs(int(words[1], 0)) & 0xFFFFFFFF
        except (IndexError, ValueError):
            size = 5
        if not self.rcpts:
            self.say(b"503 no")  # and the chunk is read as commands
            return
        while len(self.wire.buffer) < size:
            data = self.wire.recv()
            if not data:
                size = len(self.wire.buffer)
                break
            self.wire.buffer += data
        self.chunks += self.wire.buffer[:size]
        self.wire.buffer = self.wire.buffer[size:]
        self.say(b"250 chunk")
        if last:
            self.forward(self.chunks)

    def authenticate(self, words):
        if len(words) < 3:
            self.say(b"334 ")
            line = self.wire.line()
            if line.upper().startswith(b"EHLO"):
                self.say(b"250 hi")
                return
            words = [b"AUTH", b"PLAIN", line]
        try:
            parts = base64.b64decode(words[2]).split(b"\0")
        except ValueError:
            parts = [b""]
        self.relay.write_log(b"auth " + b" ".join(parts))
        if b"alice" in parts:
            time.sleep(0.06)  # known users take longer
        if any(part.startswith((b"wrong", b"guess")) for part in parts):
            self.say(b"535 no such password for " + parts[min(1, len(parts) - 1)])
        else:
            self.say(b"235 welcome")


class BadRelay:
    def __init__(self, sink_port, log, certificate, key):
        self.outgoing, self.log = Outgoing(sink_port), open(log, "ab", buffering=0)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.context.minimum_version = ssl.TLSVersion.TLSv1
        self.context.set_ciphers("ALL:aNULL:@SECLEVEL=0")

    def write_log(self, text):
        self.log.write(text + b"\n")

    def listen(self, port, tls_at_once=False):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(10)
        while True:
            SLOTS.acquire()  # idle clients use up all of them
            client, _ = listener.accept()
            threading.Thread(target=self.serve, args=(client, tls_at_once), daemon=True).start()

    def serve(self, client, tls_at_once):
        try:
            Session(client, self, tls_at_once).run()
        finally:
            client.close()
            SLOTS.release()


def main(words):
    port, submission_port, tls_port, sink_port = map(int, words[:4])
    relay = BadRelay(sink_port, *words[4:7])
    for arguments in ((submission_port,), (tls_port, True)):
        threading.Thread(target=relay.listen, args=arguments, daemon=True).start()
    relay.listen(port)


if __name__ == "__main__":
    main(sys.argv[1:])
