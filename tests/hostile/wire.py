"""One connection to the relay under test: bytes out, replies in, TLS if it comes to that.

TLS runs over memory buffers, so that raw bytes can still be put on the socket beside it. Nothing
here knows what a right answer would be; a malformed reply is noted in `reply_flaws`.
"""
import re
import socket
import ssl
import struct
import time

CRLF = b"\r\n"
OTHER = b"other.test"  # a domain the relay must not relay to for a stranger


class Skip(Exception):
    """The case cannot be run here, and why."""


class Fail(Exception):
    """The relay did what it must not."""


class Gone(Exception):
    """The peer closed, reset or refused the connection."""


class Slow(Exception):
    """No answer in time."""


def show(octets, limit=90):
    """Printable form of anything, for the evidence line."""
    if isinstance(octets, str):
        octets = octets.encode("utf-8", "replace")
    text = "".join(chr(o) if 32 <= o < 127 else "\\x%02x" % o for o in octets[:limit])
    return text + ("...(%d bytes)" % len(octets) if len(octets) > limit else "")


def wire_flaws(raw):
    """What RFC 5321 2.3.8 forbids a client to send inside DATA."""
    flaws = []
    if re.search(rb"(?<!\r)\n", raw):
        flaws.append("bare LF")
    if re.search(rb"\r(?!\n)", raw):
        flaws.append("bare CR")
    if b"\0" in raw:
        flaws.append("NUL")
    return flaws


class Reply:
    def __init__(self, code, lines, raw):
        self.code, self.lines, self.raw = code, lines, raw

    def __repr__(self):
        return show(self.raw.rstrip(), 70)


class Connection:
    def __init__(self, lab, port, timeout=6.0, source=None):
        self.port, self.timeout = port, timeout
        self.buffer = b""
        self.tls = None
        self.eof = False
        self.reply_flaws = []
        self.caps = {}
        source = source if source is not None else lab.source
        address = (source, 0) if source else None
        try:
            self.sock = socket.create_connection((lab.options.host, port), timeout, address)
        except OSError as error:
            raise Gone("connect: %s" % error)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lab.connections.append(self)

    def raw_send(self, data):
        try:
            self.sock.settimeout(self.timeout)
            self.sock.sendall(data)
        except socket.timeout:
            raise Slow("send blocked")
        except OSError as error:
            raise Gone("send: %s" % error)

    def raw_recv(self, timeout, size=65536):
        try:
            self.sock.settimeout(max(timeout, 0.001))
            return self.sock.recv(size)
        except socket.timeout:
            raise Slow("recv")
        except OSError as error:
            raise Gone("recv: %s" % error)

    def close(self, rst=False):
        try:
            if rst:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()
        except OSError:
            pass

    def start_tls(self, server_hostname="relay.host.test", timeout=6.0):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_hostname)
        if self.buffer:  # bytes read ahead in plaintext belong to TLS
            self.incoming.write(self.buffer)
            self.buffer = b""
        end = time.monotonic() + timeout
        while True:
            try:
                tls.do_handshake()
                self.flush()
                break
            except ssl.SSLWantReadError:
                self.flush()
                data = self.raw_recv(end - time.monotonic())
                if not data:
                    raise Gone("closed in handshake")
                self.incoming.write(data)
            except ssl.SSLError as error:
                raise Gone("handshake: %s" % error.reason)
        self.tls = tls
        return self

    def flush(self):
        data = self.outgoing.read()
        if data:
            self.raw_send(data)

    def close_notify(self):
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        self.flush()

    def send(self, data):
        if self.tls is None:
            self.raw_send(data)
            return
        for at in range(0, len(data), 16384):
            try:
                self.tls.write(data[at : at + 16384])
            except ssl.SSLError as error:
                raise Gone("tls write: %s" % error.reason)
            self.flush()

    def recv_some(self, timeout):
        """More bytes of the application; b"" at the end."""
        if self.eof:
            return b""
        data = self.recv_plain(timeout) if self.tls is None else self.recv_tls(timeout)
        self.eof = not data
        return data

    def recv_plain(self, timeout):
        if timeout <= 0:
            raise Slow("recv")
        try:
            return self.raw_recv(timeout)
        except Gone:
            return b""

    def recv_tls(self, timeout):
        end = time.monotonic() + timeout
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.flush()
                data = self.recv_plain(end - time.monotonic())
                if not data:
                    return b""
                self.incoming.write(data)
            except ssl.SSLError:
                return b""

    def line(self, timeout=None, limit=1 << 16):
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while b"\n" not in self.buffer:
            if len(self.buffer) > limit:
                raise Fail("server sent a reply line longer than %d bytes" % limit)
            data = self.recv_some(end - time.monotonic())
            if not data:
                raise Gone("closed by server")
            self.buffer += data
        at = self.buffer.index(b"\n") + 1
        line, self.buffer = self.buffer[:at], self.buffer[at:]
        return line

    def reply(self, timeout=None):
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        lines, raw = [], b""
        while True:
            line = self.line(max(0.001, end - time.monotonic()))
            raw += line
            if not line.endswith(CRLF):
                self.reply_flaws.append("reply line without CRLF: " + show(line))
            match = re.match(rb"^(\d{3})([ -]?)(.*)$", line.rstrip(CRLF), re.S)
            if not match:
                raise Fail("malformed reply line %s" % show(line))
            if re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", match.group(3)):
                self.reply_flaws.append("control byte in reply: " + show(line))
            lines.append(match.group(3))
            if match.group(2) != b"-":
                return Reply(int(match.group(1)), lines, raw)
            if len(lines) > 500:
                raise Fail("reply with more than 500 lines")

    def command(self, data, timeout=None):
        self.send(data + CRLF)
        return self.reply(timeout)

    def ehlo(self, name=b"client.test"):
        """EHLO; what was offered is in `caps`, by keyword."""
        reply = self.command(b"EHLO " + name)
        self.caps = {}
        for line in reply.lines[1:] if reply.code == 250 else []:
            words = line.upper().split()
            if not words:
                continue
            self.caps[words[0].decode("latin1")] = line
            if words[0].startswith(b"AUTH="):
                self.caps.setdefault("AUTH", line.replace(b"=", b" "))
        return reply

    def drain(self, first=6.0, idle=0.7, limit=60):
        """Replies until silence or close: (list, closed)."""
        replies, patience = [], first
        while len(replies) < limit:
            try:
                replies.append(self.reply(patience))
            except Slow:
                return replies, False
            except Gone:
                return replies, True
            patience = idle
        return replies, False

    def closed_within(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if not self.recv_some(end - time.monotonic()):
                    return True
            except Slow:
                return False
        return False
