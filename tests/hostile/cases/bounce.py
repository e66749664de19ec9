"""Bounces: at most one, to a real sender, small, and clean whatever the next hop said."""
import re
import time

from cases import case
from wire import CRLF, Fail, show, wire_flaws


def dsns(lab, token):
    return [m for m in lab.sink.find(token) if re.match(rb"(?i)MAIL FROM:\s*<>", m["mail"])]


@case(
    "BS01",
    "null-sender message refused by the next hop creates no bounce",
    refs="backscatter, null-sender loop",
)
def bs01(lab):
    token = lab.token()
    reply = lab.deliver([lab.rcpt(b"perm-", token)], lab.message(token), sender=b"")
    lab.sentinel()
    time.sleep(1.0)
    if lab.sink.find(token):
        raise Fail(
            "a message was generated for a null sender: " + show(lab.sink.find(token)[0]["mail"])
        )
    return "final %d, no bounce" % reply.code


@case(
    "BS02",
    "refused message: exactly one bounce, null sender, limited size, marked auto-generated",
    refs="RFC 3464, RFC 3834",
)
def bs02(lab):
    token = lab.token()
    big = lab.message(token) + (b"P" * 70 + CRLF) * 20000
    client = lab.smtp(timeout=12)
    reply = lab.deliver(
        [lab.rcpt(b"perm-", token)],
        big,
        sender=b"origin-" + token + b"@" + lab.local,
        client=client,
        timeout=12,
    )
    if reply.code != 250:
        return "refused at once: %r" % reply
    lab.sink.wait(lambda: lab.sink.to(b"origin-" + token), lab.options.deliver_wait)
    time.sleep(1.5)
    d = lab.sink.to(b"origin-" + token)
    if len(d) != 1:
        raise Fail("%d bounces" % len(d))
    m = d[0]
    if not re.match(rb"(?i)MAIL FROM:\s*<>", m["mail"]):
        raise Fail("bounce sender " + show(m["mail"]))
    size, note = len(m["raw"]), ""
    if size > len(big) // 2:
        raise Fail("bounce returns the whole 1.4 MB original (%d bytes): amplification" % size)
    if b"multipart/report" not in m["raw"]:
        note += "; not multipart/report"
    if b"auto-submitted" not in m["raw"].lower():
        note += "; no Auto-Submitted"
    return "one bounce, <>, %d bytes%s" % (size, note)


@case("BS03", "bounce that is itself refused causes no further mail (double-bounce loop)")
def bs03(lab):
    token = lab.token()
    lab.deliver(
        [lab.rcpt(b"perm-a-", token)],
        lab.message(token),
        sender=b"perm-b-" + token + b"@" + lab.local,
    )
    lab.sentinel()
    time.sleep(2.0)
    got = [m for m in lab.sink.find(token)]
    if len(got) > 1:
        raise Fail("%d extra messages" % len(got))
    return "%d extra message" % len(got)


@case(
    "BS04",
    "hostile refusal text (ESC, NUL, CR, header look-alike) is made harmless in the bounce",
    refs="CVE-2020-8794 class, DSN injection",
)
def bs04(lab):
    token = lab.token()
    lab.deliver(
        [lab.rcpt(b"evilr-", token)],
        lab.message(token),
        sender=b"origin-" + token + b"@" + lab.local,
    )
    lab.sink.wait(lambda: lab.sink.to(b"origin-" + token), lab.options.deliver_wait)
    d = lab.sink.to(b"origin-" + token)
    if not d:
        lab.sentinel()
        return "no bounce sent"
    m = d[0]
    flaws = wire_flaws(m["raw"])
    if re.search(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]", m["raw"]):
        flaws.append("control byte")
    if re.search(rb"(?m)^Injected-Header:", m["raw"]):
        flaws.append("injected line")
    if flaws:
        raise Fail("bounce contains " + ", ".join(sorted(set(flaws))))
    return "bounce clean, %d bytes" % len(m["raw"])


@case(
    "BS05",
    "1.6 MB multi-line refusal: relay survives, bounce stays small",
    refs="CVE-2020-8794 class",
    timeout=40,
)
def bs05(lab):
    token = lab.token()
    lab.deliver(
        [lab.rcpt(b"huger-", token)],
        lab.message(token),
        sender=b"origin-" + token + b"@" + lab.local,
    )
    lab.sink.wait(lambda: lab.sink.to(b"origin-" + token), 12)
    d = lab.sink.to(b"origin-" + token)
    lab.sentinel()
    if d and len(d[0]["raw"]) > 200000:
        raise Fail("bounce of %d bytes" % len(d[0]["raw"]))
    return "bounce %s" % ("%d bytes" % len(d[0]["raw"]) if d else "not sent")


@case(
    "BS06",
    "one message, 60 refused recipients: one bounce, not 60",
    refs="mail bomb / amplification",
)
def bs06(lab):
    token = lab.token()
    lab.deliver(
        [lab.rcpt(b"perm-%02d-" % i, token) for i in range(60)],
        lab.message(token),
        sender=b"origin-" + token + b"@" + lab.local,
    )
    lab.sink.wait(lambda: lab.sink.to(b"origin-" + token), lab.options.deliver_wait)
    time.sleep(2.0)
    n = len(lab.sink.to(b"origin-" + token))
    if n > 5:
        raise Fail("%d bounces for one message" % n)
    return "%d bounce(s)" % n
