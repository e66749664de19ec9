"""SMTP smuggling: content that looks like its own end must never become a second message."""
from cases import case
from wire import CRLF, Connection, Fail, Gone, Skip, Slow, show, wire_flaws

SEQS = [
    ("SM01", b"\n.\n", "<LF>.<LF>", "CVE-2023-51764/5/6"),
    ("SM02", b"\n.\r\n", "<LF>.<CR><LF>", "CVE-2023-51764, Exchange/GMX outbound"),
    ("SM03", b"\r.\r", "<CR>.<CR>", "Cisco Secure Email CR/LF handling"),
    ("SM04", b"\r.\r\n", "<CR>.<CR><LF>", "smtpsmug crcrlf"),
    ("SM05", b"\r.\n", "<CR>.<LF>", "smtpsmug crlf"),
    ("SM06", b"\n.\r", "<LF>.<CR>", "smtpsmug lfcr"),
    ("SM07", b"\r\n.\n", "<CR><LF>.<LF>", "CVE-2023-51764"),
    ("SM08", b"\r\n.\r", "<CR><LF>.<CR>", "Cisco"),
    ("SM09", b"\r\n\0.\r\n", "<CR><LF><NUL>.<CR><LF>", "sendmail NUL stripping"),
    ("SM10", b"\r\n.\0\r\n", "<CR><LF>.<NUL><CR><LF>", ""),
    ("SM11", b"\r\n. \r\n", "<CR><LF>.<SP><CR><LF>", ""),
    ("SM12", b"\r\r\n.\r\r\n", "<CR><CR><LF>.<CR><CR><LF>", ""),
    ("SM13", b"\r\n.\r\r\n", "<CR><LF>.<CR><CR><LF>", ""),
    (
        "SM14",
        b"\r\n\x0b.\x0c\r\n\x85.\x85\xe2\x80\xa8.\xe2\x80\xa8",
        "VT/FF/NEL/U+2028 around the dot",
        "",
    ),
    ("SM15", b"\n\r\n.\n\r\n", "<LF><CR><LF>.<LF><CR><LF>", ""),
]


def smuggle(lab, seq):
    token = lab.token()
    client = lab.smtp()
    lab.envelope(client, [lab.rcpt(b"outer-", token)])
    lab.data(client)
    inner = (
        b"MAIL FROM:<admin@smuggled.test>\r\nRCPT TO:<"
        + lab.rcpt(b"smug-", token)
        + b">\r\nDATA\r\n"
        b"From: <admin@smuggled.test>\r\nSubject: smuggled " + token + b"\r\n\r\nsmuggled\r\n.\r\n"
    )
    try:
        client.send(lab.message(token, b"", b"outer") + b"line" + seq + inner)
    except Gone:
        pass
    replies, closed = client.drain()
    if not closed:
        try:
            client.send(b"QUIT\r\n")
        except (Gone, Slow):
            pass
    client.close()
    lab.sentinel()
    smug = lab.sink.to(b"smug-" + token)
    outer = lab.sink.to(b"outer-" + token)
    codes = ",".join(str(reply.code) for reply in replies) or "none"
    if not replies and not closed:
        raise Fail("no reply although the content ended with a true CRLF.CRLF")
    if smug:
        raise Fail(
            "SMUGGLED: second message delivered to %s; replies %s"
            % (show(smug[0]["rcpts"][0]), codes)
        )
    if len(replies) > 1 and any(reply.code < 400 for reply in replies[1:]):
        raise Fail("content after the sequence ran as commands; replies " + codes)
    if len(replies) > 1 and not closed:
        raise Fail("desync: %d replies (%s) to one DATA" % (len(replies), codes))
    for m in outer:
        flaws = wire_flaws(m["raw"])
        if flaws:
            raise Fail("forwarded %s to the next hop (outbound smuggling)" % ", ".join(flaws))
    how = "forwarded normalised" if outer else "refused" + (", closed" if closed else "")
    return "replies %s; %s" % (codes, how)


for _id, _seq, _name, _ref in SEQS:
    case(_id, "end-of-data look-alike %s" % _name, refs=_ref)(lambda lab, s=_seq: smuggle(lab, s))


@case(
    "SM16",
    "bare CR / bare LF / NUL inside a header value never reach the next hop",
    refs="header injection",
)
def sm16(lab):
    out = []
    for name, bad in (
        ("CR", b"a\rBcc: <victim@other.test>"),
        ("LF", b"a\nBcc: <victim@other.test>"),
        ("NUL", b"a\0b"),
    ):
        token = lab.token()
        client = lab.smtp()
        try:
            reply = lab.deliver(
                [lab.rcpt(b"u-", token)],
                lab.message(token, b"X-Test: " + bad + CRLF),
                client=client,
            )
            code = reply.code
        except (Gone, Slow):
            code = "closed"
        client.close()
        m = lab.arrive(token, 1, 4 if code == 250 else 0.3)
        if m:
            flaws = wire_flaws(m[0]["raw"])
            if flaws:
                raise Fail("%s in header forwarded as %s" % (name, ",".join(flaws)))
        out.append("%s:%s%s" % (name, code, "/delivered clean" if m else ""))
    return " ".join(out)


@case(
    "SM17",
    "pipelining after HELO (never offered) is refused",
    "SHOULD",
    "smtpd_forbid_unauth_pipelining",
)
def sm17(lab):
    token = lab.token()
    client = lab.open()
    if client.command(b"HELO client.test").code != 250:
        raise Skip("HELO refused")
    try:
        client.send(
            b"MAIL FROM:<a@client.test>\r\nRCPT TO:<"
            + lab.rcpt(b"u-", token)
            + b">\r\nDATA\r\n"
            + lab.message(token)
            + b".\r\nQUIT\r\n"
        )
    except Gone:
        pass
    replies, closed = client.drain()
    codes = [reply.code for reply in replies]
    if 354 in codes and 250 in codes[codes.index(354) :]:
        raise Fail(
            "whole session incl. message content accepted in one write after HELO; replies %s"
            % codes
        )
    return "replies %s%s" % (codes, ", closed" if closed else "")


@case(
    "SM18",
    "client that talks before the greeting is not served blindly",
    "SHOULD",
    "early talker / pregreet",
)
def sm18(lab):
    token = lab.token()
    client = Connection(lab, lab.options.port)
    client.send(
        b"EHLO c.test\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<"
        + lab.rcpt(b"u-", token)
        + b">\r\nDATA\r\n"
        + lab.message(token)
        + b".\r\nQUIT\r\n"
    )
    replies, closed = client.drain()
    codes = [reply.code for reply in replies]
    if 354 in codes and 250 in codes[codes.index(354) :]:
        raise Fail(
            "message accepted from a client that sent everything before the greeting: %s" % codes
        )
    return "replies %s" % codes
