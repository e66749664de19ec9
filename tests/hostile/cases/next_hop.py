"""The relay as a client: next hops that refuse, vanish, lie and never stop talking."""
import time

from cases import case
from wire import Fail, Skip


@case("CL01", "temporary refusal then success: delivered exactly once", last=True, timeout=40)
def cl01(lab):
    token = lab.token()
    lab.deliver([lab.rcpt(b"tmp1-", token)], lab.message(token))
    lab.arrive(token, 1, lab.options.retry_wait)
    time.sleep(1.0)
    n = len(lab.sink.to(token))
    lab.retry_works = n > 0
    if n == 0:
        raise Fail(
            "no retry within %.0fs: lost, or the back-off is not <= 2 s as the test profile asks"
            % lab.options.retry_wait
        )
    if n != 1:
        raise Fail("delivered %d times" % n)
    return "once"


@case(
    "CL02",
    "next hop vanishes after the final dot: message kept and retried, not lost",
    last=True,
    timeout=40,
)
def cl02(lab):
    lab.need_retry()
    token = lab.token()
    lab.deliver([lab.rcpt(b"drop1-", token)], lab.message(token))
    n = len(lab.arrive(token, 1, lab.options.retry_wait))
    with lab.sink.changed:
        tried = any(k.startswith(b"D") and token in k for k in lab.sink.seen)
    if not tried:
        raise Fail("never attempted")
    if n == 0:
        raise Fail(
            "not retried within %.0fs after the connection was lost" % lab.options.retry_wait
        )
    return "retried and delivered"


@case(
    "CL03",
    "premature 250 before the content is not taken as delivery",
    "SHOULD",
    "reply desync = silent loss",
    last=True,
    timeout=40,
)
def cl03(lab):
    lab.need_retry()
    token = lab.token()
    lab.deliver([lab.rcpt(b"early-", token)], lab.message(token))
    n = len(lab.arrive(token, 1, lab.options.retry_wait))
    if n == 0:
        raise Fail(
            "message lost: unsolicited 250 sent before the content was taken as the final reply"
        )
    return "noticed and retried"


@case(
    "CL04",
    "mixed recipients: refused one bounced, accepted one delivered once",
    last=True,
    timeout=40,
)
def cl04(lab):
    token = lab.token()
    lab.deliver(
        [lab.rcpt(b"perm-", token), lab.rcpt(b"good-", token)],
        lab.message(token),
        sender=b"origin-" + token + b"@" + lab.local,
    )
    lab.arrive(b"good-" + token)
    lab.sink.wait(lambda: lab.sink.to(b"origin-" + token), lab.options.deliver_wait)
    time.sleep(0.7)
    g, b = len(lab.sink.to(b"good-" + token)), lab.sink.to(b"origin-" + token)
    if g != 1 or len(b) != 1:
        raise Fail("good delivered %d times, %d bounces" % (g, len(b)))
    head = b[0]["raw"].split(b"message/rfc822")[0]
    if b"good-" + token in head:
        raise Fail("bounce names the delivered recipient")
    return "delivered once, one bounce for the refused one"


@case(
    "CL05",
    "nonsense reply lines at RCPT (9999, letters, empty, -1): relay survives",
    "SHOULD",
    last=True,
    timeout=40,
)
def cl05(lab):
    token = lab.token()
    lab.deliver([lab.rcpt(b"badcode-", token)], lab.message(token), sender=b"")
    time.sleep(2)
    lab.sentinel()
    return "relay alive, %d deliveries" % len(lab.sink.to(token))


def endless(lab, mode):
    memory_before = lab.memory()
    with lab.sink.changed:
        lab.sink.evil_notes.clear()
    lab.sink.mode = mode
    try:
        lab.deliver([lab.rcpt(b"u-")], lab.message(lab.token()), sender=b"")
        lab.sink.wait(lambda: lab.sink.evil_notes, 14)
        memory_after = lab.memory()
    finally:
        lab.sink.mode = "normal"
    if not lab.sink.evil_notes:
        raise Skip("relay did not connect to the sink")
    how, n = lab.sink.evil_notes[0]
    if memory_after is not None and memory_after - memory_before > 32:
        raise Fail(
            "%s, %.1f MB taken, memory +%.0f MiB" % (how, n / 1e6, memory_after - memory_before)
        )
    if how == "peer kept reading" and n > 4 << 20:
        raise Fail(
            "relay swallowed %.0f MB of one reply without giving up%s"
            % (
                n / 1e6,
                ""
                if memory_after is None
                else " (memory %+.1f MiB)" % (memory_after - memory_before),
            )
        )
    time.sleep(0.5)
    return "%s after %.2f MB%s" % (
        how,
        n / 1e6,
        "" if memory_after is None else ", memory %+.1f MiB" % (memory_after - memory_before),
    )


@case(
    "CL06",
    "next hop sends an endless greeting line",
    "SHOULD",
    "client memory",
    last=True,
    timeout=40,
)
def cl06(lab):
    return endless(lab, "endless-banner")


@case(
    "CL07",
    "next hop sends an endless multi-line EHLO reply",
    "SHOULD",
    "client memory",
    last=True,
    timeout=40,
)
def cl07(lab):
    return endless(lab, "endless-ehlo")


@case(
    "CL08",
    "plaintext injected after 220 to STARTTLS is not used inside TLS",
    refs="CVE-2021-38371, NO STARTTLS response injection",
    last=True,
    timeout=40,
)
def cl08(lab):
    if not lab.sink.tls_context:
        raise Skip("no openssl command to make a sink certificate")
    with lab.sink.changed:
        lab.sink.evil_notes.clear()
        lab.sink.evil_connections = 0
    lab.sink.mode = "tls-inject"
    try:
        token = lab.token()
        lab.deliver([lab.rcpt(b"u-", token)], lab.message(token), sender=b"")
        lab.sink.wait(lambda: lab.sink.evil_notes or lab.sink.to(token), 8)
    finally:
        lab.sink.mode = "normal"
    if not lab.sink.evil_connections:
        raise Skip("relay did not connect")
    notes = [n for k, n in lab.sink.evil_notes if k == "tls-inject"]
    if notes and notes[0].startswith("client went on"):
        raise Fail(notes[0])
    if lab.sink.to(token) and not notes:
        raise Skip("the relay did not use STARTTLS with the sink")
    return notes[0] if notes else "relay gave up the connection"


@case("CL09", "421 greeting then recovery: message delivered", last=True, timeout=40)
def cl09(lab):
    lab.need_retry()
    token = lab.token()
    with lab.sink.changed:
        lab.sink.evil_connections = 0
    lab.sink.mode = "banner-421"
    try:
        lab.deliver([lab.rcpt(b"u-", token)], lab.message(token))
        lab.sink.wait(lambda: lab.sink.evil_connections, 5)
    finally:
        lab.sink.mode = "normal"
    n = len(lab.arrive(token, 1, lab.options.retry_wait))
    if n == 0:
        raise Fail("not delivered within %.0fs after a 421 greeting" % lab.options.retry_wait)
    return "delivered %d time(s)" % n
