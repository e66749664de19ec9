"""Relay policy and address parsing: whatever the spelling, nobody relays to a foreign domain."""
import os
import re
import shutil
import tempfile
import time

from cases import case
from wire import CRLF, Fail, Gone, Slow, show


def relay_probe(lab, rcpt_line, foreign, sender=b"probe@client.test"):
    """`foreign`: acceptance is a failure; otherwise only delivery that is not verbatim is."""
    token = lab.token()
    line = rcpt_line.replace(b"TOK", token)
    client = lab.smtp()
    reply = client.command(
        b"MAIL FROM:<"
        + sender
        + b">"
        + (b" SMTPUTF8" if re.search(rb"[\x80-\xff]", line) and "SMTPUTF8" in client.caps else b"")
    )
    if reply.code != 250:
        client.close()
        return "MAIL refused %d" % reply.code
    mark = len(lab.sink.messages)
    try:
        client.send(b"RCPT TO:" + line + CRLF)
        replies, closed = client.drain(5, 0.25)
    except Gone:
        replies, closed = [], True
    if not replies:  # a short line always deserves an answer; silence smells of a crash
        raise Fail("connection closed without any reply" if closed else "no reply")
    reply = replies[0]
    if reply.code not in (250, 251):
        client.close()
        return "refused %r" % reply
    if foreign:
        client.close()
        raise Fail("RCPT accepted: %r" % reply)
    rr = client.command(b"DATA")
    if rr.code != 354:
        return "RCPT %d, DATA %r" % (reply.code, rr)
    client.send(lab.message(token) + b".\r\n")
    fin = client.reply(10)
    client.close()
    lab.sentinel()
    with lab.sink.changed:
        new = [
            m
            for m in lab.sink.messages[mark:]
            if token in m["raw"] and b"MAIL FROM:<>" not in m["mail"].upper()
        ]
    want = line.strip()
    want = want[1:-1] if want.startswith(b"<") else want
    for m in new:
        for a in m["rcpts"]:
            dom = a.rpartition(b"@")[2].lower().rstrip(b".")
            if dom != lab.local.lower():
                raise Fail("relayed to %s" % show(a))
            la, lw = a.rpartition(b"@")[0], want.rpartition(b"@")[0]
            if (
                la.strip(b'"').replace(b"\\", b"") != lw.strip(b'"').replace(b"\\", b"")
                and not foreign
            ):
                raise Fail("local part rewritten: %s -> %s" % (show(want), show(a)))
    return "accepted, final %d, %s" % (fin.code, "forwarded verbatim" if new else "not forwarded")


OR = [
    ("OR01", b"<victim@other.test>", True, "plain foreign recipient", ""),
    ("OR02", b"<@%L:victim@other.test>", True, "source route through us", "RFC 5321 App. C"),
    ("OR03", b"<victim@[192.0.2.7]>", True, "foreign address literal", ""),
    ("OR04", b"<victim%other.test@%L>", False, "percent hack", "Splitting the email atom"),
    ("OR05", b"<other.test!victim@%L>", False, "bang path", "Splitting the email atom"),
    ("OR06", b'<"victim@other.test"@%L>', False, "quoted local part with @", ""),
    ("OR07", b"<victim@other.test@%L>", False, "two unquoted @", "parser differential"),
    ("OR08", b"<victim@%L@other.test>", True, "two @, foreign last", "parser differential"),
    (
        "OR09",
        b'<"victim@%L"@other.test>',
        True,
        "quoted local domain, foreign host",
        "parser differential",
    ),
    (
        "OR10",
        b"<victim@%L.other.test>",
        True,
        "our domain as a prefix label",
        "suffix/prefix match bug",
    ),
    ("OR11", b"<victim@x%L>", True, "our domain as a string suffix (no dot)", "suffix match bug"),
    (
        "OR12",
        b"<=?utf-8?q?victim=40other.test=3e=00?=@%L>",
        False,
        "encoded-word in the local part",
        "Splitting the email atom",
    ),
    (
        "OR13",
        b"<victim@other.test(@%L)>",
        True,
        "comment hides the real domain",
        "parser differential",
    ),
    ("OR14", b"<victim@%L\\@other.test>", True, "backslash-at", "parser differential"),
    (
        "OR15",
        b"<ok-TOK@%L> <victim@other.test>",
        False,
        "second path after the first",
        "parser differential",
    ),
    ("OR16", b"<ok-TOK@%L>,<victim@other.test>", False, "comma list", ""),
    (
        "OR17",
        "victim@ех".encode() + b"ample.test",
        True,
        "Cyrillic homograph domain",
        "IDN homograph",
    ),
    (
        "OR18",
        b"<victim@other.test" + "。".encode() + b"%L>",
        True,
        "ideographic full stop in the domain",
        "IDN mapping",
    ),
    (
        "OR19",
        "<victim@ⓔxample.test>".encode(),
        True,
        "compatibility letter that NFKC folds to our domain",
        "IDN mapping",
    ),
    ("OR20", b"<" + b"a" * 300 + b"@%L>", False, "local part of 300 octets", "RFC 5321 4.5.3.1.1"),
    (
        "OR21",
        b"<victim@" + b"a." * 400 + b"%L>",
        True,
        "domain of 800 octets",
        "RFC 5321 4.5.3.1.2",
    ),
    ("OR22", b"<victim@other.test\r@%L>", False, "bare CR inside the address", "SMTP injection"),
    ("OR23", b'<"victim"@other.test\t@%L>', False, "tab inside the address", ""),
    ("OR24", b"<>", True, "empty recipient", ""),
    (
        "OR25",
        b'<"' + b"\\" * 199 + b'"@%L>',
        False,
        "odd run of backslashes in a quoted string",
        "CVE-2003-0161 class",
    ),
]
for _id, _a, _f, _n, _ref in OR:
    case(_id, "relay policy: " + _n, "MUST", _ref)(
        lambda lab, a=_a, f=_f: relay_probe(lab, a.replace(b"%L", lab.local), f)
    )


@case("OR26", "relay policy: foreign recipient with null sender or our own domain as sender")
def or26(lab):
    return " / ".join(
        relay_probe(lab, b"<victim@other.test>", True, s) for s in (b"", b"postmaster@" + lab.local)
    )


@case(
    "OR27",
    "shell, pipe, file and expansion syntax in addresses has no side effect",
    refs="CVE-2019-10149, CVE-2020-7247, CVE-2016-1000282, sendmail debug",
)
def or27(lab):
    folder = tempfile.mkdtemp(prefix="hostile-side-")
    os.chmod(folder, 0o777)
    out = []
    try:
        number = 0
        forms = [
            "${run{/bin/touch %s}}",
            "$(touch %s)",
            "`touch %s`",
            "|touch %s",
            '"|touch %s"',
            ";touch %s;",
            "/%s",
            ":include:%s",
            "';touch %s;'",
            '"x;touch %s;y"',
            "${run{\\x2fbin\\x2ftouch\\x20%s}}",
            "-OQueueDirectory=%s",
            "-X%s",
        ]
        for form in forms:
            number += 1
            path = os.path.join(folder, "s%02d" % number)
            text = (form % path).encode()
            for where in ("rcpt", "mail"):
                client = lab.smtp()
                try:
                    if where == "rcpt":
                        client.command(b"MAIL FROM:<a@client.test>")
                        reply = client.command(b"RCPT TO:<" + text + b"@" + lab.local + b">")
                    else:
                        reply = client.command(b"MAIL FROM:<" + text + b"@client.test>")
                        if reply.code == 250:
                            reply = client.command(b"RCPT TO:<" + lab.rcpt() + b">")
                    if reply.code == 250:
                        lab.data(client)
                        client.send(lab.message(lab.token(), b"X-Shell: " + text + CRLF) + b".\r\n")
                        reply = client.reply()
                    out.append(reply.code)
                except (Gone, Slow, Fail):
                    out.append(0)
                client.close()
        # the empty-domain form of CVE-2020-7247
        client = lab.smtp()
        out.append(
            client.command(
                b"MAIL FROM:<;touch " + os.path.join(folder, "s99").encode() + b";>"
            ).code
        )
        client.close()
        lab.sentinel()
        time.sleep(0.5)
        made = os.listdir(folder)
        if made:
            raise Fail("COMMAND EXECUTION: side effects %s" % made)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "%d tries, %d accepted as plain text, no side effect" % (len(out), out.count(250))
