"""NNTP, SOCKS, HTTP proxy and status page; each needs its port on the command line."""
import re
import socket
import struct
import threading
import time

from cases import case
from wire import CRLF, Connection, Fail, Gone, Skip, Slow, show


class Canary:
    """A loopback listener that no proxy may reach; as `origin`, one that keeps what arrives."""

    def __init__(self, port=0, origin=False):
        self.hits, self.data, self.origin = 0, [], origin
        self.ls = socket.socket()
        self.ls.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.ls.bind(("127.0.0.1", port))
        self.ls.listen(64)
        self.port = self.ls.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                s, _a = self.ls.accept()
            except OSError:
                return
            self.hits += 1
            threading.Thread(target=self._one, args=(s,), daemon=True).start()

    def _one(self, s):
        buf = b""
        try:
            s.settimeout(1.0)
            if not self.origin:
                s.sendall(b"220 canary\r\n")
            while len(buf) < 1 << 20:
                d = s.recv(65536)
                if not d:
                    break
                buf += d
                if (
                    self.origin
                    and b"\r\n\r\n" in buf
                    and buf.count(b"\r\n\r\n") > buf.count(b"\0\0")
                ):
                    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    self.origin and time.sleep(0.05)
        except OSError:
            pass
        self.data.append(buf)
        s.close()


def raw_talk(lab, port, data, wait=1.5, half=False):
    """Sends bytes; (answer, closed)."""
    client = Connection(lab, port, 4.0)
    out = b""
    try:
        client.raw_send(data)
        if half:
            client.sock.shutdown(socket.SHUT_WR)
        end = time.monotonic() + wait
        while time.monotonic() < end and len(out) < 1 << 20:
            d = client.raw_recv(max(0.01, end - time.monotonic()))
            if not d:
                client.close()
                return out, True
            out += d
    except Slow:
        client.close()
        return out, False
    except Gone:
        return out, True
    client.close()
    return out, False


def nntp(lab):
    if not lab.options.nntp_port:
        raise Skip("no --nntp-port")
    client = Connection(lab, lab.options.nntp_port)
    reply = client.reply()
    if reply.code not in (200, 201):
        raise Fail("greeting %r" % reply)
    return client


@case("NN01", "NNTP: over-long command gets one error or close; tail not run as a command")
def nn01(lab):
    out = []
    for n in (600, 5000, 100000):
        client = nntp(lab)
        try:
            client.send(b"DATE " + b"A " * (n // 2) + CRLF)
            replies, closed = client.drain(3, 0.4)
        except (Gone, Slow):
            replies, closed = [], True
        if len(replies) > 1 and not closed:
            raise Fail("%d bytes gave %d replies" % (n, len(replies)))
        out.append("%d:%s" % (n, replies[0].code if replies else "closed"))
    return " ".join(out)


@case("NN02", "NNTP: bare LF, bare CR and NUL do not split or truncate a command")
def nn02(lab):
    out = []
    for s in (b"DATE\nDATE\nDATE\r\n", b"DATE\rDATE\r\n", b"DATE\0DATE\r\n"):
        client = nntp(lab)
        try:
            client.send(s)
            replies, closed = client.drain(2, 0.4)
        except Gone:
            replies, closed = [], True
        if sum(reply.code == 111 for reply in replies) > 1:
            raise Fail("%s gave %d replies" % (show(s), len(replies)))
        out.append(str([reply.code for reply in replies]))
    return " ".join(out)


@case(
    "NN03",
    "NNTP: plaintext sent with STARTTLS is not executed inside TLS",
    refs="CVE-2012-3523 class",
)
def nn03(lab):
    client = nntp(lab)
    client.send(b"STARTTLS\r\nDATE\r\n")
    reply = client.reply()
    if reply.code != 382:
        raise Skip("STARTTLS answered %r" % reply)
    try:
        client.start_tls()
        d = client.recv_some(1.5)
        if d:
            raise Fail("injected command answered: " + show(d))
    except (Slow, Gone):
        pass
    return "discarded"


@case("NN04", "NNTP: path traversal and odd message-ids are plain misses")
def nn04(lab):
    client = nntp(lab)
    out = []
    for s in (
        b"GROUP ../../../../etc",
        b"GROUP /etc/passwd",
        b"GROUP a/../../b",
        b"ARTICLE <../../../../etc/passwd>",
        b"ARTICLE <" + b"a" * 300 + b"@b>",
        b"ARTICLE <a b@c>",
        b"STAT <>",
        b"STAT <a@b",
        b"HEAD 18446744073709551617",
        b"STAT -1",
        b"XOVER 1-99999999999999999999",
        b"OVER 5-2",
        b"LISTGROUP a 0-",
        b"NEWNEWS * 99999999 999999",
        b"LIST ACTIVE " + b"*[" * 200,
        b"HDR Subject %n%n",
        b"XPAT Subject 1- " + b"*" * 300,
    ):
        try:
            reply = client.command(s)
            if reply.code in (220, 221, 222, 211) and b".." in s:
                raise Fail("%s answered %r" % (show(s), reply))
            out.append(reply.code)
            if reply.code in (215, 220, 221, 222, 224, 225, 230, 231):
                while client.line() not in (b".\r\n",):
                    pass
        except Gone:
            out.append("closed")
            client = nntp(lab)
        except Slow:
            raise Fail("no answer to " + show(s))
    return str(out)


@case(
    "NN05",
    "NNTP: unauthenticated POST, IHAVE and TAKETHIS are refused, and a refused "
    "TAKETHIS consumes its article",
)
def nn05(lab):
    client = nntp(lab)
    token = lab.token()
    p = client.command(b"POST").code
    if p == 340:
        client.send(b".\r\n")
        client.reply()
    i = client.command(b"IHAVE <" + token + b"@client.test>").code
    if i == 335:
        raise Fail("IHAVE accepted from an unknown peer")
    client.send(
        b"TAKETHIS <" + token + b"x@client.test>\r\nFrom: a\r\n\r\nDATE\r\nDATE\r\nDATE\r\n.\r\n"
    )
    replies, closed = client.drain(3, 0.5)
    if sum(reply.code == 111 for reply in replies):
        raise Fail("article lines ran as commands: %s" % [reply.code for reply in replies])
    return "POST %d IHAVE %d TAKETHIS %s" % (p, i, [reply.code for reply in replies])


@case("NN06", "NNTP: end-of-article look-alikes in POST do not start a new command")
def nn06(lab):
    out = []
    for seq in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n\0.\r\n"):
        client = nntp(lab)
        if client.command(b"POST").code != 340:
            raise Skip("posting not allowed")
        client.send(
            b"From: a@client.test\r\nNewsgroups: hostile.test\r\nSubject: x\r\n\r\nbody"
            + seq
            + b"DATE\r\nDATE\r\n.\r\n"
        )
        replies, closed = client.drain(3, 0.5)
        if any(reply.code == 111 for reply in replies) or (len(replies) > 1 and not closed):
            raise Fail("%s ended the article: %s" % (show(seq), [reply.code for reply in replies]))
        out.append(str([reply.code for reply in replies]))
    return " ".join(out)


def socks5(lab, req, wait=1.2):
    """A greeting, then one request: its reply code, or 'auth', 'closed', 'waits'."""
    client = Connection(lab, lab.options.socks_port, 3.0)
    try:
        client.raw_send(b"\5\1\0")
        a = client.raw_recv(wait)
        if len(a) < 2:
            return "closed"
        if a[1] == 0xFF:
            return "auth"
        client.raw_send(req)
        a = client.raw_recv(wait)
        return a[1] if len(a) > 1 else "closed"
    except Slow:
        return "waits"
    except Gone:
        return "closed"
    finally:
        client.close()


LOOPS = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "127.0.0.1.",
    "LOCALHOST",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::]",
]


@case(
    "SX01",
    "SOCKS: connections to loopback in every spelling are refused by default",
    refs="SSRF",
    timeout=60,
)
def sx01(lab):
    if not lab.options.socks_port:
        raise Skip("no --socks-port")
    canary = Canary()
    out = []
    for field in LOOPS + ["169.254.169.254"]:
        if field.startswith("["):
            a = b"\4" + socket.inet_pton(socket.AF_INET6, field[1:-1])
        elif re.match(r"^\d+\.\d+\.\d+\.\d+$", field) and not field.startswith("0177"):
            a = b"\1" + socket.inet_aton(field)
        else:
            a = b"\3" + bytes([len(field)]) + field.encode()
        reply = socks5(lab, b"\5\1\0" + a + struct.pack(">H", canary.port), 1.0)
        if reply == "auth":
            return "authentication demanded first"
        out.append("%s:%s" % (field, reply))
    time.sleep(0.3)
    hits = canary.hits
    canary.ls.close()
    if hits:
        raise Fail(
            "%d of %d spellings reached a loopback listener: %s"
            % (hits, len(LOOPS), " ".join(o for o in out if o.endswith(":0")))
        )
    return " ".join(out)


@case("SX02", "SOCKS: port 25, BIND, UDP ASSOCIATE, unknown command and address type refused")
def sx02(lab):
    if not lab.options.socks_port:
        raise Skip("no --socks-port")
    out = []
    for n, q in (
        ("p25", b"\5\1\0\1\x7f\0\0\1\0\x19"),
        ("p0", b"\5\1\0\1\x7f\0\0\1\0\0"),
        ("bind", b"\5\2\0\1\x7f\0\0\1\0\x50"),
        ("udp", b"\5\3\0\1\0\0\0\0\0\0"),
        ("cmd9", b"\5\x09\0\1\x7f\0\0\1\0\x50"),
        ("atyp9", b"\5\1\0\x09\x7f\0\0\1\0\x50"),
        ("len0", b"\5\1\0\3\0\0\x50"),
        ("nul", b"\5\1\0\3\x10a.test\0evil.test\0\x50"),
        ("len255", b"\5\1\0\3\xff" + b"a" * 255 + b"\0\x50"),
    ):
        reply = socks5(lab, q)
        if (reply == 0 and n != "len255") or (n == "p25" and reply not in (2, "auth", "closed")):
            raise Fail(
                "%s %s"
                % (
                    n,
                    "granted"
                    if reply == 0
                    else "attempted (reply %s, want 2 = not allowed)" % reply,
                )
            )
        out.append("%s:%s" % (n, reply))
    return " ".join(out)


@case("SX03", "SOCKS: garbage and endless SOCKS4 user-id are bounded")
def sx03(lab):
    if not lab.options.socks_port:
        raise Skip("no --socks-port")
    memory_before = lab.memory()
    out = []
    for n, d in (
        ("http", b"GET / HTTP/1.1\r\n\r\n"),
        ("ver", b"\x09\xff" + b"\0" * 255),
        ("nmeth0", b"\5\0"),
        ("s4", b"\4\1\0\x50\0\0\0\1" + b"u" * (4 << 20)),
    ):
        try:
            answer, closed = raw_talk(lab, lab.options.socks_port, d, 1.5)
            if answer[:2] in (b"\0\x5a", b"\5\0"):
                raise Fail("%s accepted" % n)
            out.append("%s:%s" % (n, "closed" if closed else "waits"))
        except (Slow, Gone):
            out.append(n + ":blocked")
    memory_after = lab.memory()
    if memory_after is not None and memory_after - memory_before > 16:
        raise Fail("memory +%.0f MiB" % (memory_after - memory_before))
    return " ".join(out)


def code_of(answer):
    m = re.match(rb"HTTP/\d\.\d (\d{3})", answer)
    return int(m.group(1)) if m else 0


@case(
    "HP01",
    "HTTP proxy: CONNECT and GET to loopback in every spelling refused",
    refs="SSRF",
    timeout=60,
)
def hp01(lab):
    if not lab.options.http_port:
        raise Skip("no --http-port")
    canary = Canary()
    out = []
    for field in LOOPS:
        for req in (
            b"CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n",
            b"GET http://%s:%d/ HTTP/1.1\r\nHost: %s:%d\r\n\r\n",
        ):
            answer, closed = raw_talk(
                lab,
                lab.options.http_port,
                req % (field.encode(), canary.port, field.encode(), canary.port),
                1.0,
            )
            out.append(code_of(answer))
    hits = canary.hits
    canary.ls.close()
    if hits:
        raise Fail("%d of %d requests reached a loopback listener" % (hits, 2 * len(LOOPS)))
    return "codes %s" % sorted(set(out))


@case("HP02", "HTTP proxy: CONNECT to port 25, odd targets, foreign schemes refused")
def hp02(lab):
    if not lab.options.http_port:
        raise Skip("no --http-port")
    out = []
    for reply in (
        b"CONNECT 127.0.0.1:25 HTTP/1.1",
        b"CONNECT 127.0.0.1 HTTP/1.1",
        b"CONNECT 127.0.0.1:99999 HTTP/1.1",
        b"CONNECT 127.0.0.1:-1 HTTP/1.1",
        b"CONNECT user:pw@127.0.0.1:443 HTTP/1.1",
        b"CONNECT a.test:80@127.0.0.1:443 HTTP/1.1",
        b"CONNECT 127.0.0.1:443\tHTTP/1.1",
        b"CONNECT [::1:443 HTTP/1.1",
        b"GET file:///etc/passwd HTTP/1.1",
        b"GET gopher://127.0.0.1:25/_EHLO HTTP/1.1",
        b"GET ftp://127.0.0.1/ HTTP/1.1",
        b"TRACE http://127.0.0.1/ HTTP/1.1",
        b"GET http://a.test\r/x HTTP/1.1",
        b"GET / HTTP/9.9",
        b"GET",
    ):
        answer, closed = raw_talk(
            lab, lab.options.http_port, reply + b"\r\nHost: a.test\r\n\r\n", 1.0
        )
        k = code_of(answer)
        if 200 <= k < 300 or b"root:x" in answer:
            raise Fail("%s answered %d" % (show(reply), k))
        out.append(k)
    return str(out)


@case(
    "HP03",
    "HTTP proxy: ambiguous framing never reaches the origin as two requests",
    refs="request smuggling",
    timeout=60,
)
def hp03(lab):
    if not lab.options.http_port or not lab.options.proxy_origin_port:
        raise Skip(
            "needs --http-port and --proxy-origin-port (a loopback port the proxy may reach)"
        )
    try:
        origin = Canary(lab.options.proxy_origin_port, True)
    except OSError as e:
        raise Skip("origin port: %s" % e)
    out = []
    base = b"http://127.0.0.1:%d/" % lab.options.proxy_origin_port
    host_field = b"Host: 127.0.0.1:%d\r\n" % lab.options.proxy_origin_port
    smuggled = b"GET /smuggled HTTP/1.1\r\n" + host_field + b"\r\n"
    for n, field, body in (
        (
            "cl+te",
            b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % (5 + len(smuggled)),
            b"0\r\n\r\n" + smuggled,
        ),
        ("cl,cl", b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(smuggled), smuggled),
        ("cl+sign", b"Content-Length: +0\r\n", smuggled),
        ("cl list", b"Content-Length: 0, %d\r\n" % len(smuggled), smuggled),
        ("te x", b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + smuggled),
        ("te obs", b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n" + smuggled),
        ("te ws", b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n" + smuggled),
        ("te vt", b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n" + smuggled),
        ("chunk ovf", b"Transfer-Encoding: chunked\r\n", b"10000000000000000\r\n" + smuggled),
        ("bare lf", b"X: a\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + smuggled),
        (
            "conn",
            b"Connection: Connection\r\nConnection: close, Content-Length\r\nContent-Length: 0\r\n",
            b"",
        ),
    ):
        k = len(origin.data)
        answer, closed = raw_talk(
            lab,
            lab.options.http_port,
            b"POST "
            + base
            + n.replace(" ", "").replace("+", "").encode()
            + b" HTTP/1.1\r\n"
            + host_field
            + field
            + b"\r\n"
            + body,
            1.6,
        )
        time.sleep(0.2)
        got = b"".join(origin.data[k:])
        cl = len(re.findall(rb"(?im)^content-length", got.split(b"\r\n\r\n")[0])) if got else 0
        te = len(re.findall(rb"(?im)^transfer-encoding", got.split(b"\r\n\r\n")[0])) if got else 0
        if cl + te > 1:
            raise Fail("%s forwarded with %d length headers" % (n, cl + te))
        if answer.count(b"HTTP/1.") > 1 and b"/smuggled" in got:
            raise Fail("%s: two answers to one request" % n)
        if got and re.search(rb"(?m)(?<!\r)\n", got.split(b"\r\n\r\n")[0]):
            raise Fail("%s: bare LF forwarded in the header" % n)
        out.append("%s:%d%s" % (n, code_of(answer), "fwd" if got else ""))
    origin.ls.close()
    return " ".join(out)


@case("HP04", "HTTP proxy: 4 MB header and 100k header lines are bounded")
def hp04(lab):
    if not lab.options.http_port:
        raise Skip("no --http-port")
    memory_before = lab.memory()
    out = []
    for d in (
        b"GET http://a.test/ HTTP/1.1\r\nX: " + b"a" * (4 << 20),
        b"GET http://a.test/ HTTP/1.1\r\n" + b"A: b\r\n" * 100000,
        b"G" * (1 << 20),
    ):
        try:
            answer, closed = raw_talk(lab, lab.options.http_port, d, 2.0)
            out.append("%d%s" % (code_of(answer), "c" if closed else ""))
        except (Slow, Gone):
            out.append("blocked")
    memory_after = lab.memory()
    if memory_after is not None and memory_after - memory_before > 24:
        raise Fail("memory +%.0f MiB" % (memory_after - memory_before))
    return " ".join(out)


@case(
    "WB01", "status page: traversal, methods, Host check, long request, no reflection of mail data"
)
def wb01(lab):
    p = lab.options.status_port
    if not p:
        raise Skip("no --status-port")
    token = lab.token()
    try:
        client = lab.open()
        client.command(b"EHLO <script>" + token + b"</script>.test")
        client.command(b'MAIL FROM:<"<img/source=x>' + token + b'"@client.test>')
        client.close()
    except (Gone, Slow, Fail):
        pass
    out = []
    for reply in (
        b"GET /../../../../etc/passwd",
        b"GET /%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        b"GET /..%5c..%5cetc/passwd",
        b"GET //etc/passwd",
        b"GET /%00",
        b"GET /%ff%fe",
        b"GET /" + b"a" * 100000,
        b"GET http://other.test/",
        b"OPTIONS *",
        b"TRACE /",
        b"PUT /x",
        b"DELETE /",
        b"POST /",
    ):
        answer, closed = raw_talk(
            lab, p, reply + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", 2.0
        )
        if b"root:x" in answer:
            raise Fail("file disclosure through " + show(reply))
        k = code_of(answer)
        if reply.split()[0] in (b"PUT", b"DELETE", b"TRACE", b"POST") and 200 <= k < 300:
            raise Fail("%s answered %d" % (show(reply), k))
        out.append(k)
    answer, _c = raw_talk(
        lab, p, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", 2.0
    )
    if b"<script>" + token in answer or b"<img/source=x>" + token in answer:
        raise Fail("stored XSS: mail data unescaped in the page")
    evil, _c = raw_talk(
        lab, p, b"GET / HTTP/1.1\r\nHost: attacker.test\r\nConnection: close\r\n\r\n", 2.0
    )
    note = "" if code_of(evil) >= 400 else "; foreign Host served (DNS rebinding, SHOULD refuse)"
    low = answer.lower()
    miss = [
        field
        for field in (
            b"content-security-policy",
            b"x-content-type-options",
            b"x-frame-options",
            b"cache-control",
        )
        if field not in low
    ]
    return "codes %s%s%s" % (out, note, "; missing " + b",".join(miss).decode() if miss else "")
