"""Headers and content: trace fields, loops, very long and very many fields, deep nesting."""
import re
import time

from cases import case
from cases.bounce import dsns
from wire import CRLF, Fail, Gone, Slow, show, wire_flaws


@case("HD01", "trace line cannot be forged or broken through EHLO text", refs="Received injection")
def hd01(lab):
    for name in (
        b"evil.test (trusted.test [10.0.0.1]) by x",
        b"x\tby\tmx.trusted.test",
        b"[1.2.3.4]) (authenticated bits=256",
        b'a;b(c)d"e\\',
    ):
        token = lab.token()
        client = lab.open()
        reply = client.command(b"EHLO " + name)
        if reply.code != 250:
            client.close()
            continue
        lab.deliver([lab.rcpt(b"u-", token)], lab.message(token), client=client)
        client.close()
        m = lab.arrive(token)
        if not m:
            raise Fail("message lost")
        hdr = m[0]["data"].split(b"From: <sender")[0]
        if re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]", hdr):
            raise Fail("control or 8-bit byte in the trace header: " + show(hdr, 160))
        for line in hdr.split(CRLF):
            if line and not re.match(rb"^([!-9;-~]+:|[ \t])", line):
                raise Fail("trace header broken: " + show(line))
        unfolded = re.sub(rb"\r\n[ \t]+", b" ", hdr)
        if re.search(
            rb"\bby\s+(x\b|mx\.trusted)|\(trusted\.test \[10\.|\(authenticated bits", unfolded
        ):
            raise Fail("EHLO text forges a clause of the trace header: " + show(unfolded, 160))
        if len(re.findall(rb"(?im)^received:", unfolded)) != 1:
            raise Fail(
                "%d Received fields written" % len(re.findall(rb"(?im)^received:", unfolded))
            )
    return "one well-formed Received per message"


@case(
    "HD02",
    "message with 150 Received fields is stopped (rejected or bounced)",
    refs="RFC 5321 6.3 loop detection",
)
def hd02(lab):
    token = lab.token()
    field = b"".join(
        b"Received: from a%d.test by b%d.test; Mon, 01 Jan 2024 00:00:00 +0000\r\n" % (i, i)
        for i in range(150)
    )
    reply = lab.deliver([lab.rcpt(b"u-", token)], field + lab.message(token))
    lab.sentinel()
    if lab.sink.to(token):
        raise Fail("forwarded with 150 hops")
    return "final reply %r, not forwarded" % reply


@case(
    "HD03",
    "live forwarding loop (next hop re-injects) ends by itself",
    refs="mail loop",
    timeout=60,
)
def hd03(lab):
    token = lab.token(b"loop")
    limit = 160

    def again(m):
        try:
            lab.deliver(
                [m["rcpts"][0]], m["raw"], sender=b"looper@client.test", source=lab.new_source()
            )
        except (Fail, Gone, Slow):
            pass

    lab.sink.loop_count = 0
    lab.sink.loop = (token, again, limit)
    try:
        lab.deliver([lab.rcpt(b"u-", token)], lab.message(token))
        last, quiet = -1, 0
        end = time.monotonic() + 45
        while time.monotonic() < end and quiet < 12:
            time.sleep(0.25)
            quiet = quiet + 1 if lab.sink.loop_count == last else 0
            last = lab.sink.loop_count
    finally:
        lab.sink.loop = None
    if last > limit:
        raise Fail("still looping after %d rounds" % last)
    if quiet < 12:
        raise Fail("loop not ended in 45 s (%d rounds)" % last)
    if last < 10:
        raise Fail("loop ended after only %d rounds (limit too low, RFC asks ~100)" % last)
    return "ended after %d rounds" % last


@case(
    "HD04",
    "header block of 4 MB (40000 fields): bounded time, never silently cut",
    refs="CVE-2020-28017, CVE-2020-28020 class",
    timeout=30,
)
def hd04(lab):
    token = lab.token()
    header = b"".join(b"X-H%05d: %s\r\n" % (i, b"v" * 90) for i in range(40000))
    client = lab.smtp(timeout=15)
    began = time.monotonic()
    try:
        reply = lab.deliver(
            [lab.rcpt(b"u-", token)], header + lab.message(token), client=client, timeout=20
        )
    except Gone:
        return "closed"
    took = time.monotonic() - began
    if reply.code != 250:
        return "refused %r in %.1fs" % (reply, took)
    m = lab.arrive(token, 1, 15)
    if not m:
        raise Fail("accepted but not delivered")
    fields = m[0]["data"].count(b"X-H")
    if fields != 40000 or token not in m[0]["data"]:
        raise Fail("accepted with 250 but forwarded with %d of 40000 fields" % fields)
    return "accepted in %.1fs and forwarded whole" % took


@case(
    "HD05",
    "one folded header field of 1 MB and one of 300 KB unfolded: refused or whole",
    "SHOULD",
    "silent header truncation",
    timeout=30,
)
def hd05(lab):
    out = []
    for name, field in (
        ("folded", b"X-Long: " + b"\r\n ".join([b"v" * 900] * 1100) + CRLF),
        ("unfolded", b"X-Long: " + b"w" * 300000 + CRLF),
    ):
        token = lab.token()
        client = lab.smtp(timeout=15)
        try:
            reply = lab.deliver(
                [lab.rcpt(b"u-", token)], field + lab.message(token), client=client, timeout=15
            )
        except Gone:
            out.append(name + ":closed")
            continue
        client.close()
        if reply.code != 250:
            out.append("%s:%d" % (name, reply.code))
            continue
        m = lab.arrive(token)
        if not m and dsns(lab, token):
            out.append(name + ":bounced")
            continue
        if not m:
            raise Fail(name + " accepted but neither delivered nor bounced")
        got = m[0]["data"].count(b"v" if name == "folded" else b"w")
        want = field.count(b"v" if name == "folded" else b"w")
        if got < want:
            raise Fail(
                "%s: accepted with 250, %d of %d octets of the field forwarded (silent truncation)"
                % (name, got, want)
            )
        out.append("%s:whole" % name)
    return " ".join(out)


@case(
    "HD06",
    "1 MB body line: refused, or whole and legal (<=1000 octets per line) on the next hop",
    "SHOULD",
    "RFC 5321 4.5.3.1.6",
    timeout=30,
)
def hd06(lab):
    token = lab.token()
    client = lab.smtp(timeout=15)
    try:
        reply = lab.deliver(
            [lab.rcpt(b"u-", token)],
            lab.message(token, b"", b"Q" * 1000000),
            client=client,
            timeout=15,
        )
    except Gone:
        return "closed"
    if reply.code != 250:
        return "refused %r" % reply
    m = lab.arrive(token)
    if not m and dsns(lab, token):
        return "accepted, then bounced to the sender"
    if not m:
        raise Fail("accepted but neither delivered nor bounced")
    q = m[0]["data"].count(b"Q")
    longest = max(len(l) for l in m[0]["raw"].split(CRLF))
    if q < 1000000:
        raise Fail("%d of 1000000 octets forwarded" % q)
    if longest > 998:
        raise Fail("line of %d octets sent to the next hop" % longest)
    return "whole, longest line %d" % longest


@case("HD07", "NUL bytes in the body are refused or removed, never forwarded")
def hd07(lab):
    token = lab.token()
    try:
        reply = lab.deliver([lab.rcpt(b"u-", token)], lab.message(token, b"", b"a\0b\0\0c"))
    except (Gone, Slow):
        return "closed"
    m = lab.arrive(token, 1, 4 if reply.code == 250 else 0.3)
    if m and b"\0" in m[0]["raw"]:
        raise Fail("NUL forwarded")
    return "final %d, %s" % (reply.code, "cleaned" if m else "refused")


@case(
    "HD08",
    "MIME bomb: 5000 nested multiparts and message/rfc822 in bounded time",
    refs="mail bomb",
    timeout=40,
)
def hd08(lab):
    out = []
    for kind in (b"mp", b"822"):
        token = lab.token()
        b = [b"MIME-Version: 1.0\r\n"]
        for i in range(5000):
            if kind == b"mp":
                b.append(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i))
            else:
                b.append(b"Content-Type: message/rfc822\r\n\r\nSubject: n%d\r\n" % i)
        b.append(b"Content-Type: text/plain\r\n\r\n" + token + CRLF)
        began = time.monotonic()
        client = lab.smtp(timeout=15)
        try:
            reply = lab.deliver(
                [lab.rcpt(b"u-", token)],
                b"Subject: bomb\r\n" + b"".join(b),
                client=client,
                timeout=15,
            )
            out.append("%s:%d %.1fs" % (kind.decode(), reply.code, time.monotonic() - began))
        except Gone:
            out.append(kind.decode() + ":closed")
        client.close()
    lab.sentinel()
    return " ".join(out)


@case(
    "HD09",
    "odd header blocks (none, leading space, empty name, mbox From, blank first) keep "
    "header and body apart",
)
def hd09(lab):
    out = []
    for name, data in (
        ("none", b"just text %T\r\n"),
        ("lead", b" continued %T\r\nSubject: a\r\n\r\nb\r\n"),
        ("noname", b": x %T\r\nSubject: a\r\n\r\nb\r\n"),
        ("mbox", b"From a@b Mon Jan  1 00:00:00 2024\r\nSubject: %T\r\n\r\nb\r\n"),
        ("blank", b"\r\nbody: %T\r\n"),
        ("empty", b""),
        ("ws", b"Subject : %T\r\n\r\nb\r\n"),
        ("8bit", b"S\xc3\xbcbject: %T\r\n\r\nb\r\n"),
    ):
        token = lab.token()
        data = data.replace(b"%T", token)
        try:
            reply = (
                lab.deliver([lab.rcpt(b"u-", token)], data)
                if data
                else lab.deliver([lab.rcpt(b"u-", token)], b"")
            )
            code = reply.code
        except (Gone, Slow):
            code = 0
        if code != 250:
            out.append("%s:%s" % (name, code))
            continue
        m = lab.arrive(token)
        if not m and dsns(lab, token):
            out.append(name + ":bounced")
            continue
        if not m:
            raise Fail(name + ": accepted and lost")
        d = m[0]["data"]
        if wire_flaws(m[0]["raw"]):
            raise Fail(name + ": " + ",".join(wire_flaws(m[0]["raw"])))
        if name == "blank" and b"\r\n\r\n" not in d:
            raise Fail("blank: body text moved into the header")
        if name == "blank" and d.index(b"\r\n\r\n") > d.index(b"body: "):
            raise Fail("blank: body line became a header")
        if (
            name == "none"
            and b"\r\n\r\n" not in d[: d.index(b"just text")]
            and not d.startswith(b"just")
        ):
            raise Fail("none: text glued to our header block without a blank line")
        out.append(name + ":ok")
    return " ".join(out)


@case(
    "HD11",
    "hostile header names (__proto__, %n, 100 KB name, 20000 equal names, deep "
    "comments) do not crash",
    refs="CVE-2026-34752 (Haraka), CVE-2024-39929 class",
    timeout=40,
)
def hd11(lab):
    out = []
    for name, field in (
        ("proto", b"__proto__: a\r\nconstructor: b\r\nhasOwnProperty: c\r\n"),
        ("fmt", b"%n%n%s: %n\r\n"),
        ("longname", b"N" * 100000 + b": v\r\n"),
        ("same", b"To: a@b.test\r\n" * 20000),
        ("comments", b"To: " + b"(" * 20000 + CRLF),
        ("quotes", b"To: " + b'"\\' * 10000 + CRLF),
        ("addrs", b"To: " + b",\r\n ".join([b"a@b.test"] * 20000) + CRLF),
        (
            "rfc2231",
            b"Content-Type: text/plain;\r\n "
            + b";\r\n ".join(b"name*%d*=utf-8''%%%02x" % (i, i & 255) for i in range(3000))
            + CRLF,
        ),
        ("encwords", b"Subject: " + b"\r\n ".join([b"=?utf-8?q?=00=0d=0a?="] * 3000) + CRLF),
        ("msgid", b"Message-ID: <" + b"a" * 50000 + b"@b>\r\n"),
        ("date", b"Date: " + b"9" * 5000 + CRLF),
    ):
        token = lab.token()
        client = lab.smtp(timeout=15)
        began = time.monotonic()
        try:
            reply = lab.deliver(
                [lab.rcpt(b"u-", token)],
                field + b"Subject: " + token + b"\r\n\r\nx\r\n",
                client=client,
                timeout=15,
            )
            k = str(reply.code)
        except Gone:
            raise Fail(name + ": connection lost")
        if time.monotonic() - began > 8:
            raise Fail("%s took %.1fs" % (name, time.monotonic() - began))
        client.close()
        out.append("%s:%s" % (name, k))
    lab.sentinel()
    return " ".join(out)


@case(
    "HD10",
    "8-bit content to a next hop without 8BITMIME is converted or refused",
    "SHOULD",
    "RFC 6152",
    last=True,
)
def hd10(lab):
    lab.sink.mode = "no-8bit"
    try:
        token = lab.token()
        lab.deliver(
            [lab.rcpt(b"u-", token)],
            lab.message(
                token,
                b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                b"Content-Transfer-Encoding: 8bit\r\n",
                "naïve café".encode(),
            ),
        )
        m = lab.arrive(token, 1, 5)
    finally:
        lab.sink.mode = "normal"
    if m and re.search(rb"[\x80-\xff]", m[0]["raw"]):
        raise Fail("raw 8-bit sent to a 7-bit host")
    return "converted" if m else "not sent"
