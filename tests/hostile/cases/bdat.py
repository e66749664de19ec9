"""BDAT (RFC 3030): chunks are counted, never searched, and never run as commands."""
import re
import time

from cases import case
from wire import CRLF, Fail, Gone, Skip, Slow, show, wire_flaws


def bdat_conn(lab):
    client = lab.smtp()
    if "CHUNKING" not in client.caps:
        raise Skip("CHUNKING not offered")
    return client


@case("BD01", "BDAT content holding CRLF.CRLF and commands stays one message", refs="RFC 3030")
def bd01(lab):
    client = bdat_conn(lab)
    token = lab.token()
    lab.envelope(client, [lab.rcpt(b"outer-", token)])
    body = lab.message(token) + (
        b"\r\n.\r\nMAIL FROM:<admin@smuggled.test>\r\nRCPT TO:<"
        + lab.rcpt(b"smug-", token)
        + b">\r\nDATA\r\nSubject: s\r\n\r\nx\r\n.\r\n"
    )
    client.send(b"BDAT %d LAST\r\n" % len(body) + body)
    replies, closed = client.drain()
    lab.sentinel()
    if lab.sink.to(b"smug-" + token):
        raise Fail("smuggled message delivered")
    o = lab.sink.to(b"outer-" + token)
    if len(replies) != 1 or replies[0].code != 250 or len(o) != 1:
        raise Fail("replies %s, delivered %d" % ([reply.code for reply in replies], len(o)))
    if b"smug-" not in o[0]["data"]:
        raise Fail("content after CRLF.CRLF was cut off")
    return "one message, dot-stuffed for the next hop"


@case(
    "BD02",
    "refused BDAT still consumes its octets (no command execution from a chunk)",
    refs="RFC 3030 4.2",
)
def bd02(lab):
    client = bdat_conn(lab)
    inner = b"NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n"
    client.send(b"BDAT %d LAST\r\n" % len(inner) + inner)
    replies, closed = client.drain()
    ok = [reply for reply in replies if reply.code == 250]
    if ok or (len(replies) > 1 and not closed):
        raise Fail("chunk octets ran as commands: %s" % [reply.code for reply in replies])
    return "replies %s%s" % ([reply.code for reply in replies], ", closed" if closed else "")


@case("BD03", "BDAT size overflow / sign / syntax", refs="CVE-2017-16943, CVE-2017-16944")
def bd03(lab):
    out = []
    for s in (
        b"4294967301",
        b"18446744073709551621",
        b"9223372036854775807",
        b"-1",
        b"+5",
        b"0x5",
        b"5x",
        b"",
        b" 5",
        b"5 FIRST",
        b"5 LAST LAST",
    ):
        client = bdat_conn(lab)
        token = lab.token()
        lab.envelope(client, [lab.rcpt(b"u-", token)])
        big = s.isdigit() and len(s) > 5
        client.send(
            b"BDAT "
            + s
            + (b" LAST" if big or not s else b"")
            + b"\r\n"
            + (b"ABCDE" if s != b" 5" else b"ABCDE")
        )
        replies, closed = client.drain(2.0, 0.3)
        codes = [reply.code for reply in replies]
        client.close()
        if big and 250 in codes:
            raise Fail("BDAT %s accepted as a small chunk: %s" % (show(s), codes))
        if s == b"-1" and 250 in codes:
            raise Fail("negative size accepted")
        out.append("%s:%s" % (show(s), codes[0] if codes else ("closed" if closed else "waits")))
    lab.sentinel()
    return " ".join(out)


@case("BD04", "DATA inside a BDAT sequence, and BDAT without LAST then QUIT: nothing delivered")
def bd04(lab):
    client = bdat_conn(lab)
    token = lab.token()
    lab.envelope(client, [lab.rcpt(b"u-", token)])
    m = lab.message(token)
    r1 = client.command(b"BDAT %d" % len(m) + CRLF + m[:-2]) if m.endswith(CRLF) else None
    r2 = client.command(b"DATA")
    if r2.code == 354:
        raise Fail("DATA accepted in the middle of BDAT")
    try:
        client.command(b"QUIT")
    except (Gone, Slow):
        pass
    lab.sentinel()
    if lab.sink.to(token):
        raise Fail("incomplete BDAT message delivered")
    return "BDAT %r, DATA %r" % (r1, r2)


@case(
    "BD05",
    "bare CR/LF/NUL in BDAT content not forwarded in DATA",
    refs="RFC 5321 2.3.8, CVE-2023-51766",
)
def bd05(lab):
    client = bdat_conn(lab)
    token = lab.token()
    lab.envelope(client, [lab.rcpt(b"outer-", token)])
    body = lab.message(token) + b"a\n.\nb\r.\rc\n.\r\nMAIL FROM:<admin@smuggled.test>\r\nd\0e\r\n"
    client.send(b"BDAT %d LAST\r\n" % len(body) + body)
    replies, closed = client.drain()
    client.close()
    lab.sentinel()
    for m in lab.sink.to(token):
        flaws = wire_flaws(m["raw"])
        if flaws:
            raise Fail("forwarded " + ", ".join(flaws))
    return "replies %s, %s" % (
        [reply.code for reply in replies],
        "delivered clean" if lab.sink.to(token) else "not delivered",
    )


@case("BD06", "connection lost inside a BDAT chunk: nothing delivered")
def bd06(lab):
    client = bdat_conn(lab)
    token = lab.token()
    lab.envelope(client, [lab.rcpt(b"u-", token)])
    m = lab.message(token)
    client.send(b"BDAT %d LAST\r\n" % (len(m) + 50) + m)
    time.sleep(0.2)
    client.close()
    lab.sentinel()
    if lab.sink.to(token):
        raise Fail("truncated message delivered")
    return "discarded"


@case(
    "BD07",
    "TLS close_notify in mid-chunk, then plaintext bytes on the socket",
    refs="CVE-2026-45185",
)
def bd07(lab):
    client = lab.smtps()
    if "CHUNKING" not in client.caps:
        raise Skip("CHUNKING not offered in TLS")
    token = lab.token()
    lab.envelope(client, [lab.rcpt(b"u-", token)])
    m = lab.message(token)
    client.send(b"BDAT %d LAST\r\n" % (len(m) + 6) + m)
    client.close_notify()
    try:
        client.raw_send(b"abcd\r\nNOOP\r\n")
        d = client.raw_recv(1.5)
        if re.search(rb"(^|\n)[2-5]\d\d[ -]", d):
            raise Fail("server went on in plaintext after close_notify: " + show(d))
    except (Slow, Gone):
        pass
    client.close()
    lab.sentinel()
    if lab.sink.to(token):
        raise Fail("message completed with plaintext octets")
    return "session ended, nothing delivered"
