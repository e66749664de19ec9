"""Command lines, their order and their parameters; other protocols on the SMTP port."""
import random
import re
import socket
import time

from cases import case
from wire import CRLF, Connection, Fail, Gone, Skip, Slow, show


@case("PR01", "NUL bytes in commands: no truncated address is accepted")
def pr01(lab):
    out = []
    for line in (b"EHLO cli\0ent.test", b"NO\0OP", b"MAIL FROM:<a\0b@client.test>"):
        client = lab.smtp()
        try:
            out.append(str(client.command(line).code))
        except (Gone, Slow):
            out.append("closed")
        client.close()
    token = lab.token()
    client = lab.smtp()
    client.command(b"MAIL FROM:<a@client.test>")
    code = "closed"
    try:
        code = client.command(b"RCPT TO:<nul-" + token + b"@" + lab.local + b"\0@other.test>").code
        if code == 250:
            lab.data(client)
            client.send(lab.message(token) + b".\r\n")
            client.reply()
    except (Gone, Slow):
        pass
    time.sleep(1.0 if code == 250 else 0.1)
    if lab.sink.to(b"nul-" + token):
        raise Fail("address truncated at NUL and delivered")
    return "codes %s, RCPT %s" % (",".join(out), code)


@case(
    "PR02",
    "bare LF does not split one command line into two (address smuggling)",
    refs="command injection",
)
def pr02(lab):
    token = lab.token()
    client = lab.smtp()
    client.command(b"MAIL FROM:<a@client.test>")
    try:
        client.send(
            b'RCPT TO:<"x\nRCPT TO:<inj-'
            + token
            + b"@"
            + lab.local
            + b'>\ny"@'
            + lab.local
            + b">\r\n"
        )
        replies, closed = client.drain(3, 0.5)
    except Gone:
        replies, closed = [], True
    if len(replies) > 1:
        raise Fail(
            "one CRLF line gave %d replies (%s): bare LF ends a command"
            % (len(replies), [reply.code for reply in replies])
        )
    return "replies %s%s" % ([reply.code for reply in replies], ", closed" if closed else "")


@case("PR03", "bare CR does not split a command line")
def pr03(lab):
    client = lab.smtp()
    try:
        client.send(b"NOOP a\rNOOP b\rNOOP c\r\n")
        replies, closed = client.drain(3, 0.5)
    except Gone:
        replies, closed = [], True
    if len(replies) > 1:
        raise Fail("one line gave %d replies" % len(replies))
    return "replies %s" % [reply.code for reply in replies]


@case("PR04", "over-long command line: one error or close, tail not run as a command")
def pr04(lab):
    out = []
    for n in (600, 1100, 5000, 20000, 200000):
        client = lab.smtp()
        try:
            client.send(b"NOOP " + b"A " * (n // 2) + CRLF)
            replies, closed = client.drain(4, 0.4)
        except (Gone, Slow):
            replies, closed = [], True
        client.close()
        if len(replies) > 1 and not closed:
            raise Fail("%d-byte line gave %d replies: tail parsed as commands" % (n, len(replies)))
        out.append(
            "%d:%s%s" % (n, replies[0].code if replies else "-", "/closed" if closed else "")
        )
    return " ".join(out)


@case(
    "PR05",
    "hostile EHLO arguments (11 KB name, broken literals, 8-bit, format strings)",
    refs="CVE-2019-16928, CVE-2019-15846 class",
)
def pr05(lab):
    out = []
    for a in (
        b"A" * 11500,
        b"A" * 1022,
        b"[",
        b"[]",
        b"[IPv6:",
        b"[IPv6:" + b":" * 300 + b"]",
        b"[999.1.1.1]",
        b"%s%n%x" * 30,
        b"\xff" * 200,
        b"..",
        b"-" * 300,
        b"a\\",
        b"",
        b"localhost\t\t",
        b"../../etc/passwd",
        b"${run{/bin/true}}",
    ):
        client = lab.open()
        try:
            reply = client.command(b"EHLO " + a)
            out.append(str(reply.code))
            if re.search(rb"[\x80-\xff\0]", reply.raw):
                raise Fail("raw 8-bit bytes echoed in the EHLO reply: " + show(reply.raw))
        except (Gone, Slow) as e:
            out.append("closed" if isinstance(e, Gone) else "SLOW")
        client.close()
    if "SLOW" in out:
        raise Fail("no answer to a hostile EHLO: " + " ".join(out))
    if "closed" in out[1:]:
        raise Fail("closed without a reply to a short hostile EHLO: " + " ".join(out))
    return " ".join(out)


@case(
    "PR06",
    "100 unknown commands: session is slowed or closed",
    "SHOULD",
    "error limits",
    timeout=30,
)
def pr06(lab):
    client = lab.smtp()
    n, began = 0, time.monotonic()
    try:
        while n < 100 and time.monotonic() - began < 12:
            if client.command(b"BOGUS%d" % n).code == 421:
                return "421 after %d" % n
            n += 1
    except (Gone, Slow):
        return "closed after %d errors" % n
    took = time.monotonic() - began
    if n >= 100 and took < 5:
        raise Fail("100 errors answered in %.1fs with no penalty" % took)
    return "%d errors took %.1fs" % (n, took)


@case("PR07", "3000 RSET/NOOP without mail: bounded", "SHOULD", timeout=30)
def pr07(lab):
    client = lab.smtp()
    n, began = 0, time.monotonic()
    try:
        for i in range(15):
            client.send(b"RSET\r\nNOOP\r\n" * 100)
            for _k in range(200):
                if client.reply(8).code == 421:
                    return "421 after %d" % n
                n += 1
            if time.monotonic() - began > 10:
                break
    except (Gone, Slow):
        return "closed/slowed after %d" % n
    took = time.monotonic() - began
    if n >= 3000 and took < 5:
        raise Fail("3000 idle commands served in %.1fs without limit" % took)
    return "%d commands in %.1fs" % (n, took)


@case("PR08", "command order: RCPT/DATA without MAIL, nested MAIL, DATA without valid RCPT")
def pr08(lab):
    client = lab.smtp()
    a = client.command(b"RCPT TO:<" + lab.rcpt() + b">").code
    b = client.command(b"DATA").code
    if b == 354:
        raise Fail("354 without MAIL")
    client.close()
    client = lab.smtp()
    client.command(b"MAIL FROM:<a@client.test>")
    d = client.command(b"DATA").code
    if d == 354:
        raise Fail("354 without any RCPT")
    e = client.command(b"MAIL FROM:<b@client.test>").code
    if e == 250:
        raise Fail("nested MAIL accepted")
    f = client.command(b"RCPT TO:<victim@other.test>").code
    g = client.command(b"DATA").code
    if g == 354:
        raise Fail("354 with every RCPT refused")
    if a == 250:
        raise Fail("RCPT before MAIL accepted")
    return "RCPT %d DATA %d / DATA %d MAIL2 %d RCPT %d DATA %d" % (a, b, d, e, f, g)


@case("PR09", "EHLO and RSET in mid-transaction drop the envelope")
def pr09(lab):
    out = []
    for v in (b"EHLO client.test", b"RSET", b"HELO client.test"):
        client = lab.smtp()
        client.command(b"MAIL FROM:<a@client.test>")
        client.command(b"RCPT TO:<" + lab.rcpt() + b">")
        client.command(v)
        reply = client.command(b"DATA").code
        if reply == 354:
            raise Fail("envelope survived " + show(v))
        out.append("%d" % reply)
        client.close()
    return "DATA after EHLO/RSET/HELO: " + ",".join(out)


@case(
    "PR10",
    "dangerous or privileged verbs refused (DEBUG WIZ TURN XCLIENT XFORWARD PROXY SITE ETRN-SQL)",
    refs="CVE-2025-26794, CVE-2023-42117",
)
def pr10(lab):
    out = []
    for v in (
        b"DEBUG",
        b"WIZ",
        b"KILL",
        b"TURN",
        b"XCLIENT ADDR=10.9.9.9 NAME=trusted.test LOGIN=admin",
        b"XFORWARD ADDR=10.9.9.9",
        b"XEXCH50 1 1",
        b"SITE EXEC id",
        b"BDMT",
        b"ONEX",
        b"VERB",
        b"ETRN #' OR 1=1 --",
        b"ETRN @" + b"A" * 900,
        b"ETRN ;id",
        b"LHLO x",
        b"SEND FROM:<a@client.test>",
    ):
        client = lab.smtp()
        try:
            reply = client.command(v)
            if (
                v.startswith(
                    (
                        b"DEBUG",
                        b"WIZ",
                        b"KILL",
                        b"TURN",
                        b"XC",
                        b"XF",
                        b"XE",
                        b"SITE",
                        b"LHLO",
                        b"SEND",
                    )
                )
                and reply.code < 400
            ):
                raise Fail("%s answered %r" % (show(v, 30), reply))
            out.append("%s:%d" % (v.split()[0].decode(), reply.code))
        except (Gone, Slow):
            out.append(v.split()[0].decode() + ":closed")
        client.close()
    client = Connection(lab, lab.options.port)
    try:
        client.send(b"PROXY TCP4 10.9.9.9 10.9.9.8 1 25\r\n")
        codes = [reply.code for reply in client.drain(2, 0.5)[0]]
        out.append("PROXY:%s" % codes)
    except Gone:
        out.append("PROXY:closed")
    return " ".join(out)


@case("PR11", "VRFY/EXPN do not confirm or deny users", "SHOULD", "enumeration")
def pr11(lab):
    client = lab.smtp()
    a = client.command(b"VRFY postmaster").code
    b = client.command(b"VRFY nosuchuser-" + lab.token()).code
    d = client.command(b"EXPN root").code
    if d in (250, 251):
        raise Fail("EXPN %d" % d)
    if a in (250, 251):
        raise Fail("VRFY %d confirms" % a)
    return "VRFY %d/%d EXPN %d" % (a, b, d)


@case(
    "PR12",
    "MAIL/RCPT parameters: unknown, duplicate, overflow, newline in xtext",
    refs="CVE-2020-28021, CVE-2020-28022, CVE-2020-28026",
)
def pr12(lab):
    out = []
    for p in (
        b"SIZE=-1",
        b"SIZE=99999999999999999999999",
        b"SIZE=1x",
        b"SIZE",
        b"BODY=FOO",
        b"NOSUCH=1",
        b"SIZE=1 SIZE=2",
        b"AUTH=",
        b'AUTH="',
        b"=",
        b"==",
        b'"',
        b"RET=BOGUS",
        b"ENVID=" + b"A" * 3000,
        b"X=" * 2000,
        b"AUTH=" + b"+" * 500,
        b"SMTPUTF8=1",
    ):
        client = lab.smtp()
        try:
            reply = client.command(b"MAIL FROM:<a@client.test> " + p).code
        except (Gone, Slow):
            reply = "closed"
        if reply == 250 and p in (
            b"SIZE=-1",
            b"SIZE=99999999999999999999999",
            b"NOSUCH=1",
            b"BODY=FOO",
        ):
            raise Fail("MAIL %s accepted" % show(p))
        out.append("%s" % reply)
        client.close()
    token = lab.token()
    client = lab.smtp()
    dsn = "DSN" in client.caps
    mark = len(lab.sink.commands)
    reply = client.command(
        b"MAIL FROM:<a@client.test>" + (b" ENVID=q+0D+0ARSET+0D+0A" + token if dsn else b"")
    )
    if reply.code != 250:
        client.command(b"RSET")
        client.command(b"MAIL FROM:<a@client.test>")
    r2 = client.command(
        b"RCPT TO:<"
        + lab.rcpt(b"u-", token)
        + b">"
        + (b" ORCPT=rfc822;a+0D+0ARSET+0A" + token if dsn else b"")
    )
    if r2.code != 250:
        r2 = client.command(b"RCPT TO:<" + lab.rcpt(b"u-", token) + b">")
    lab.data(client)
    client.send(lab.message(token) + b".\r\n")
    client.reply()
    client.close()
    lab.arrive(token)
    with lab.sink.changed:
        mine = lab.sink.commands[mark:]
    if any(re.match(rb"(RSET" + token + rb"|" + token + rb")", m) for m in mine):
        raise Fail("xtext newline decoded into a command for the next hop")
    return "MAIL codes %s; xtext kept encoded" % ",".join(out)


@case("PR13", "HTTP request on the SMTP port never becomes mail", refs="cross-protocol, ALPACA")
def pr13(lab):
    token = lab.token()
    body = (
        b"EHLO a.test\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<"
        + lab.rcpt(b"u-", token)
        + b">\r\nDATA\r\n"
        + lab.message(token)
        + b".\r\nQUIT\r\n"
    )
    client = lab.open()
    try:
        client.send(
            b"POST / HTTP/1.1\r\nHost: relay\r\nContent-Type: text/plain\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body
        )
    except Gone:
        pass
    replies, closed = client.drain(3, 0.6)
    lab.sentinel()
    if lab.sink.to(token):
        raise Fail(
            "mail delivered from an HTTP POST; replies %s" % [reply.code for reply in replies]
        )
    return "replies %s%s" % ([reply.code for reply in replies], ", closed" if closed else "")


@case("PR14", "binary garbage on the plain port (TLS hello, SSH, SMB, random)")
def pr14(lab):
    out = []
    numbers = random.Random(5)
    for d in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 506,
        b"SSH-2.0-x\r\n",
        b"\0\0\0\x85\xffSMBr" + b"\0" * 120,
        bytes(numbers.getrandbits(8) for _i in range(20000)),
        b"\xff\xf4\xff\xfd\x06" * 50,
        b"\n" * 3000,
        b"\r" * 3000,
        b"\0" * 3000,
    ):
        client = lab.open()
        try:
            client.send(d + CRLF)
            replies, closed = client.drain(3, 0.2, 200)
            if any(reply.code in (250, 354) for reply in replies):
                raise Fail("garbage accepted: " + show(d, 20))
            out.append("%d%s" % (len(replies), "c" if closed else ""))
        except (Gone, Slow):
            out.append("c")
        client.close()
    return "replies per blob (c=closed): " + " ".join(out)


@case("PR15", "client vanishes (FIN without final dot): nothing delivered")
def pr15(lab):
    token = lab.token()
    for mode in ("fin", "rst", "half"):
        client = lab.smtp()
        lab.envelope(client, [lab.rcpt(b"u-" + mode.encode() + b"-", token)])
        lab.data(client)
        client.send(lab.message(token))
        time.sleep(0.1)
        if mode == "half":
            client.sock.shutdown(socket.SHUT_WR)
            replies, closed = client.drain(2, 0.3)
            if any(reply.code == 250 for reply in replies):
                raise Fail("250 for a message without end-of-data")
        client.close(rst=mode == "rst")
    lab.sentinel()
    if lab.sink.to(token):
        raise Fail("truncated message delivered")
    return "FIN, RST, half-close: discarded"


@case("PR16", "half-close right after the final dot: at most one delivery, and one if 250 was sent")
def pr16(lab):
    token = lab.token()
    client = lab.smtp()
    lab.envelope(client, [lab.rcpt(b"u-", token)])
    lab.data(client)
    client.send(lab.message(token) + b".\r\n")
    client.sock.shutdown(socket.SHUT_WR)
    replies, closed = client.drain(5, 0.3)
    lab.sentinel()
    n = len(lab.sink.to(token))
    if n > 1 or (any(reply.code == 250 for reply in replies) and n != 1):
        raise Fail("replies %s but %d deliveries" % ([reply.code for reply in replies], n))
    return "replies %s, %d delivery" % ([reply.code for reply in replies], n)


@case("PR17", "replies never echo control bytes or split lines (address and verb reflection)")
def pr17(lab):
    bad = []
    for line in (
        b"BOGUS\x1b[31m\x07\x08x",
        b"MAIL FROM:<a\x1b]0;x\x07@client.test>",
        b"RCPT TO:<\x7f\x01@" + lab.local + b">",
        b"VRFY a\x0bb\x1b",
        b"HELP \x1b[2J",
    ):
        client = lab.smtp()
        try:
            client.command(line)
        except (Gone, Slow, Fail):
            pass
        bad += client.reply_flaws
        client.close()
    if bad:
        raise Fail(bad[0])
    return "replies clean"


@case(
    "PR18",
    "postmaster without domain and null sender are accepted",
    "SHOULD",
    "RFC 5321 4.5.1, 4.5.5",
)
def pr18(lab):
    client = lab.smtp()
    a = client.command(b"MAIL FROM:<>").code
    b = client.command(b"RCPT TO:<postmaster@" + lab.local + b">").code
    if a != 250 or b not in (250, 251):
        raise Fail("MAIL FROM:<> %s, RCPT postmaster@domain %s" % (a, b))
    return "ok"


@case("PR19", "20 pipelined transactions in one connection stay in step")
def pr19(lab):
    token = lab.token()
    client = lab.smtp(timeout=15)
    if "PIPELINING" not in client.caps:
        raise Skip("PIPELINING not offered")
    n = 20
    for i in range(n):
        client.send(
            b"MAIL FROM:<a@client.test>\r\nRCPT TO:<"
            + lab.rcpt(b"u%02d-" % i, token)
            + b">\r\nRCPT TO:<no%d@other.test>\r\nDATA\r\n" % i
        )
        codes = [client.reply().code for _k in range(4)]
        if codes[0] != 250 or codes[1] != 250 or codes[2] < 400 or codes[3] != 354:
            if i >= 5 and codes[0] in (421, 450, 452):
                n = i
                break
            raise Fail("transaction %d: %s" % (i, codes))
        client.send(lab.message(token) + b".\r\n")
        reply = client.reply()
        if reply.code != 250:
            raise Fail("transaction %d end: %r" % (i, reply))
    lab.sink.wait(lambda: len(lab.sink.to(token)) >= n, 8)
    got = len(lab.sink.to(token))
    if got != n:
        raise Fail("%d accepted, %d delivered" % (n, got))
    return "%d transactions, each 250,250,5xx,354,250; all delivered once" % n
