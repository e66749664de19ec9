"""TLS: what came before it is forgotten, what is weak is refused, nothing falls back."""
import os
import random
import re
import shutil
import struct
import subprocess
import time

from cases import case
from wire import Connection, Fail, Gone, Skip, Slow, show


def raw_hello(sni=b"relay.host.test", suites=None, ver=0x0303, alpn=None, tls13=False, extra=b""):
    suites = suites or [0xC02F, 0xC030, 0xC02B, 0xC02C, 0xCCA8, 0xCCA9, 0x009C, 0x009D, 0x002F]
    ext = extra
    if sni is not None:
        n = b"\0" + struct.pack(">H", len(sni)) + sni
        n = struct.pack(">H", len(n)) + n
        ext += struct.pack(">HH", 0, len(n)) + n
    g = struct.pack(">HHHH", 6, 29, 23, 24)
    ext += struct.pack(">HH", 10, len(g)) + g + struct.pack(">HH", 11, 2) + b"\1\0"
    sg = [0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0501, 0x0201, 0x0203]
    s = struct.pack(">H", 2 * len(sg)) + b"".join(struct.pack(">H", v) for v in sg)
    ext += struct.pack(">HH", 13, len(s)) + s
    if alpn:
        a = b"".join(bytes([len(v)]) + v for v in alpn)
        a = struct.pack(">H", len(a)) + a
        ext += struct.pack(">HH", 16, len(a)) + a
    clients = b"".join(struct.pack(">H", v) for v in suites)
    body = (
        struct.pack(">H", ver)
        + os.urandom(32)
        + b"\0"
        + struct.pack(">H", len(clients))
        + clients
        + b"\1\0"
        + struct.pack(">H", len(ext) & 0xFFFF)
        + ext
    )
    hs = b"\1" + struct.pack(">I", len(body))[1:] + body
    out = b""
    for i in range(0, len(hs), 16000):
        part = hs[i : i + 16000]
        out += b"\x16\x03\x01" + struct.pack(">H", len(part)) + part
    return out


def raw_tls(lab, hello, port=None):
    """Sends a raw hello after STARTTLS; what came back."""
    p = port or lab.tls_port()
    client = lab.smtp(p)
    if client.command(b"STARTTLS").code != 220:
        raise Skip("STARTTLS refused")
    try:
        client.raw_send(hello)
        d = client.buffer
        while len(d) < 7:
            k = client.raw_recv(4)
            if not k:
                return "closed" if not d else "odd " + show(d)
            d += k
    except Slow:
        return "waits"
    except Gone:
        return "closed"
    finally:
        client.close()
    if d[0] == 21:
        return "alert %d" % d[6]
    if d[0] == 22 and d[5] == 2:
        return (
            "serverhello %04x" % struct.unpack(">H", d[9:11])[0] if len(d) > 10 else "serverhello"
        )
    return "odd " + show(d, 20)


@case(
    "TL01",
    "plaintext commands sent with STARTTLS are discarded or refused",
    refs="CVE-2011-0411, NO STARTTLS",
)
def tl01(lab):
    p = lab.tls_port()
    out = []
    for inj in (b"NOOP\r\n", b"EHLO injected.test\r\n", b"RSET\r\nMAIL FROM:<a@client.test>\r\n"):
        client = lab.smtp(p)
        client.send(b"STARTTLS\r\n" + inj)
        reply = client.reply()
        if reply.code != 220:
            out.append("%d" % reply.code)
            client.close()
            continue
        if client.buffer:
            raise Fail("plaintext answered together with 220: " + show(client.buffer))
        try:
            client.start_tls()
        except (Gone, Slow):
            out.append("handshake refused")
            client.close()
            continue
        try:
            d = client.recv_some(1.5)
            if d:
                raise Fail("injected plaintext executed inside TLS: " + show(d))
            out.append("closed")
        except Slow:
            out.append("discarded")
        client.close()
    return ", ".join(out)


@case("TL02", "state before STARTTLS is forgotten (EHLO, MAIL, RCPT)", refs="RFC 3207 4.2")
def tl02(lab):
    p = lab.tls_port()
    client = lab.smtp(p)
    r0 = client.command(b"MAIL FROM:<a@client.test>")
    if r0.code == 250:
        client.command(b"RCPT TO:<" + lab.rcpt() + b">")
    reply = client.command(b"STARTTLS")
    if reply.code != 220:
        return "STARTTLS in transaction refused: %r" % reply
    client.start_tls()
    d = client.command(b"DATA")
    if d.code == 354:
        raise Fail("plaintext envelope used inside TLS")
    return "DATA %r" % d


@case("TL03", "STARTTLS inside TLS refused and not offered; STARTTLS with argument refused")
def tl03(lab):
    client = lab.smtps()
    if "STARTTLS" in client.caps:
        raise Fail("STARTTLS offered inside TLS")
    reply = client.command(b"STARTTLS")
    if reply.code == 220:
        raise Fail("nested STARTTLS accepted")
    client.close()
    client = lab.smtp(lab.tls_port())
    r2 = client.command(b"STARTTLS now")
    if r2.code == 220:
        raise Fail("STARTTLS with argument accepted")
    return "%d, %d" % (reply.code, r2.code)


@case("TL04", "garbage instead of a ClientHello: closed, no plaintext fallback")
def tl04(lab):
    p = lab.tls_port()
    client = lab.smtp(p)
    client.command(b"STARTTLS")
    try:
        client.raw_send(b"EHLO plain.test\r\nMAIL FROM:<a@client.test>\r\n")
        d = b""
        while True:
            k = client.raw_recv(2)
            if not k:
                break
            d += k
    except Slow:
        pass
    except Gone:
        pass
    if re.search(rb"(^|\n)250", d):
        raise Fail("fell back to plaintext: " + show(d))
    return "closed" if not d else "answer " + show(d, 24)


def sub_tls_port(lab):
    p = lab.options.submission_port
    if not p:
        raise Skip("no --submission-port")
    client = lab.smtp(p)
    ok = "STARTTLS" in client.caps
    client.close()
    if not ok:
        raise Skip("submission port offers no STARTTLS")
    return p


def old_tls(lab, p):
    out = []
    for v, n in ((0x0300, "SSL3"), (0x0301, "TLS1.0"), (0x0302, "TLS1.1")):
        reply = raw_tls(
            lab,
            raw_hello(ver=v, suites=[0xC013, 0xC014, 0xC009, 0xC00A, 0x002F, 0x0035, 0x000A]),
            p,
        )
        if reply.startswith("serverhello"):
            raise Fail("%s negotiated (%s)" % (n, reply))
        out.append("%s:%s" % (n, reply))
    return " ".join(out)


def weak_suites(lab, p):
    out = []
    for n, s in (
        ("null", [1, 2, 0x3B, 0xC006, 0xC010]),
        ("anon", [0x18, 0x34, 0x3A, 0x6C, 0xA6, 0xC018, 0xC019]),
        ("export", [3, 6, 8, 0x11, 0x14]),
        ("rc4", [4, 5, 0xC007, 0xC011]),
        ("3des", [0x0A, 0x16, 0xC008, 0xC012, 9]),
    ):
        reply = raw_tls(lab, raw_hello(suites=s), p)
        if reply.startswith("serverhello"):
            raise Fail("%s suite accepted" % n)
        out.append("%s:%s" % (n, reply))
    return " ".join(out)


@case("TL05", "submission port: SSL 3, TLS 1.0 and TLS 1.1 refused", refs="RFC 8996, RFC 8314")
def tl05(lab):
    return old_tls(lab, sub_tls_port(lab))


@case(
    "TL06",
    "submission port: NULL, anonymous, export, RC4, DES, 3DES suites refused",
    refs="FREAK, Logjam, Sweet32",
)
def tl06(lab):
    return weak_suites(lab, sub_tls_port(lab))


@case("TL14", "MX port: SSL 3, TLS 1.0 and TLS 1.1 refused", "SHOULD", "RFC 8996")
def tl14(lab):
    return old_tls(lab, lab.tls_port())


@case(
    "TL15", "MX port: NULL, anonymous, export, RC4, DES, 3DES suites refused", "SHOULD", "Sweet32"
)
def tl15(lab):
    return weak_suites(lab, lab.tls_port())


@case("TL07", "ALPN without an SMTP protocol is refused", "SHOULD", "ALPACA")
def tl07(lab):
    reply = raw_tls(lab, raw_hello(alpn=[b"http/1.1", b"h2", b"ftp"]))
    if reply.startswith("serverhello"):
        raise Fail("handshake went on although the client offered only http/1.1,h2,ftp")
    return reply


@case(
    "TL08",
    "hostile SNI (backslash, NUL, 16 KB, traversal, empty) does not crash or hang",
    refs="CVE-2019-15846",
)
def tl08(lab):
    p = lab.tls_port()
    out = []
    for s in (
        b"a\\",
        b"a\0b.test",
        b"../../../etc/passwd",
        b"",
        b"%n%s",
        b"A" * 300,
        b"." * 250,
        b"\xff\xfe",
        b"A" * 15000,
        b"x';--",
    ):
        reply = raw_tls(lab, raw_hello(sni=s), p)
        if reply == "waits":
            raise Fail("no answer to SNI " + show(s, 20))
        out.append(reply.split()[0])
    return " ".join(out)


@case(
    "TL09",
    "close_notify, then plaintext commands on the same socket are not served",
    refs="CVE-2020-28018",
)
def tl09(lab):
    client = lab.smtps()
    client.send(b"NOO")
    client.close_notify()
    try:
        client.raw_send(b"P\r\nNOOP\r\nEHLO x.test\r\n")
        d = b""
        end = time.monotonic() + 2
        while time.monotonic() < end:
            k = client.raw_recv(end - time.monotonic())
            if not k:
                break
            d += k
    except (Slow, Gone):
        pass
    if re.search(rb"(^|\n)[245]\d\d[ -]", d):
        raise Fail("plaintext answered after close_notify: " + show(d))
    return "session over"


@case("TL10", "TCP cut inside TLS DATA (no close_notify): nothing delivered", refs="truncation")
def tl10(lab):
    client = lab.smtps()
    token = lab.token()
    lab.envelope(client, [lab.rcpt(b"u-", token)])
    lab.data(client)
    client.send(lab.message(token) + b".\r")
    client.close()
    client = lab.smtps()
    lab.envelope(client, [lab.rcpt(b"v-", token)])
    lab.data(client)
    client.send(lab.message(token))
    client.close_notify()
    client.close()
    lab.sentinel()
    if lab.sink.to(token):
        raise Fail("truncated TLS message delivered")
    return "discarded"


@case("TL11", "60 mutated ClientHellos: no crash, no hang", refs="TLS parser", timeout=40)
def tl11(lab):
    p = lab.options.tls_port or lab.tls_port()
    numbers = random.Random(11)
    res = {}
    for i in range(60):
        field = bytearray(raw_hello(alpn=[b"smtp"]))
        for _k in range(numbers.randint(1, 6)):
            field[numbers.randrange(5, len(field))] = numbers.getrandbits(8)
        if i % 7 == 0:
            field = field[: numbers.randrange(6, len(field))]
        try:
            if p == lab.options.tls_port:
                client = Connection(lab, p, 3)
            else:
                client = lab.smtp(p)
                client.command(b"STARTTLS")
            client.raw_send(bytes(field))
            try:
                d = client.raw_recv(0.15)
                k = {21: "alert", 22: "hello"}.get(d[0], "odd") if d else "closed"
            except Slow:
                k = "waits"
            client.close()
        except (Gone, Slow):
            k = "closed"
        res[k] = res.get(k, 0) + 1
    if res.get("odd"):
        raise Fail("odd answers: %s" % res)
    return str(res)


@case(
    "TL12",
    "client-initiated renegotiation refused (TLS 1.2)",
    refs="CVE-2009-3555, renegotiation DoS",
)
def tl12(lab):
    program = shutil.which("openssl")
    if not program:
        raise Skip("no openssl command")
    if lab.options.tls_port:
        a = ["-connect", "%s:%d" % (lab.options.host, lab.options.tls_port)]
    else:
        a = ["-starttls", "smtp", "-connect", "%s:%d" % (lab.options.host, lab.tls_port())]
    process = subprocess.Popen(
        [program, "s_client", "-tls1_2"] + a,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out = b""
    try:
        time.sleep(0.8)
        process.stdin.write(b"R\n")
        process.stdin.flush()
        time.sleep(0.8)
        process.stdin.write(b"NOOP\r\n")
        process.stdin.flush()
        time.sleep(0.6)
        process.stdin.close()
        process.stdin = None
        out = process.communicate(timeout=4)[0]
    except (OSError, subprocess.TimeoutExpired):
        process.kill()
        out += process.communicate()[0] or b""
    i = out.find(b"RENEGOTIATING")
    if i < 0:
        raise Skip("openssl did not try: " + show(out[-80:]))
    tail = out[i:]
    if (
        re.search(rb"(?m)^depth=|verify return|\n250 ", tail)
        and b"no renegotiation" not in tail
        and b"alert" not in tail
    ):
        raise Fail("renegotiation went through: " + show(tail))
    return show(tail.replace(b"\n", b" "), 70)


@case(
    "TL13",
    "implicit-TLS port never serves plaintext; HTTP inside TLS never becomes mail",
    refs="ALPACA",
)
def tl13(lab):
    if not lab.options.tls_port:
        raise Skip("no --tls-port")
    client = Connection(lab, lab.options.tls_port)
    client.raw_send(b"EHLO a.test\r\nNOOP\r\n")
    try:
        d = client.raw_recv(3)
    except (Slow, Gone):
        d = b""
    if re.match(rb"^[245]\d\d", d):
        raise Fail("plaintext served: " + show(d))
    client = Connection(lab, lab.options.tls_port)
    client.start_tls()
    client.reply()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nEHLO b.test\r\nMAIL FROM:<a@client.test>\r\n")
    replies, closed = client.drain(3, 0.6)
    if not closed and any(reply.code == 250 for reply in replies):
        raise Fail("SMTP went on after an HTTP request: %s" % [reply.code for reply in replies])
    return "plaintext: %s; HTTP: %s%s" % (
        show(d[:8]) or "closed",
        [reply.code for reply in replies],
        " closed" if closed else "",
    )
