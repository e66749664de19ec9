"""AUTH: only under TLS, alike for all failures, bounded guessing, strict base64."""
from base64 import b64encode
import statistics
import time

from cases import case
from wire import Fail, Gone, Skip, Slow, show


@case("AU01", "AUTH neither offered nor accepted in plaintext", refs="RFC 4954 4, STRIPTLS")
def au01(lab):
    p = lab.options.submission_port
    if not p or not lab.options.user:
        raise Skip("no submission port / user")
    client = lab.smtp(p)
    if "AUTH" in client.caps:
        raise Fail("AUTH offered in plaintext: " + show(client.caps["AUTH"]))
    reply = client.command(b"AUTH PLAIN " + lab.plain())
    if reply.code in (235, 334):
        raise Fail("AUTH in plaintext answered %r" % reply)
    r2 = client.command(b"AUTH LOGIN")
    if r2.code in (235, 334):
        raise Fail("AUTH LOGIN in plaintext answered %r" % r2)
    return "%r" % reply


@case("AU02", "correct login works and may relay; unauthenticated session may not")
def au02(lab):
    client = lab.submission()
    reply = client.command(b"MAIL FROM:<a@client.test>")
    r2 = client.command(b"RCPT TO:<victim@other.test>") if reply.code == 250 else reply
    if r2.code in (250, 251):
        raise Fail("relays without AUTH")
    client.close()
    client = lab.submission()
    a = client.command(b"AUTH PLAIN " + lab.plain())
    if a.code != 235:
        raise Fail("login failed: %r" % a)
    token = lab.token()
    reply = lab.deliver(
        [b"u-" + token + b"@other.test"],
        lab.message(token),
        sender=lab.options.user.encode() + b"@" + lab.local,
        client=client,
    )
    if reply.code != 250 or not lab.arrive(token):
        raise Fail("authenticated relay failed: %r" % reply)
    raw = lab.sink.to(token)[0]["raw"]
    if lab.options.password.encode() in raw:
        raise Fail("password in the forwarded message")
    return "no AUTH %r; with AUTH delivered" % r2


@case("AU03", "wrong password and unknown user give the same answer", refs="user enumeration")
def au03(lab):
    client = lab.submission(lab.new_source())
    a = client.command(b"AUTH PLAIN " + lab.plain(password=b"wrong"), 10)
    client.close()
    client = lab.submission(lab.new_source())
    b = client.command(b"AUTH PLAIN " + lab.plain(user=b"nosuchuser", password=b"wrong"), 10)
    client.close()
    if a.code == 235 or b.code == 235:
        raise Fail("wrong password accepted")
    if a.raw != b.raw:
        raise Fail("answers differ: %r / %r" % (a, b))
    return "%r" % a


@case("AU04", "timing does not reveal whether a user exists", "SHOULD", "timing oracle", timeout=60)
def au04(lab):
    kn, unfolded = [], []
    for i in range(8):
        for l, u in (
            (kn, lab.options.user.encode() if lab.options.user else b""),
            (unfolded, b"zz%06d" % i),
        ):
            client = lab.submission(lab.new_source())
            began = time.perf_counter()
            client.command(b"AUTH PLAIN " + lab.plain(user=u, password=b"wrong-%d" % i), 12)
            l.append(time.perf_counter() - began)
            client.close()
    a, b = statistics.median(kn), statistics.median(unfolded)
    mad = statistics.median([abs(v - a) for v in kn] + [abs(v - b) for v in unfolded])
    if abs(a - b) > max(0.010, 5 * mad):
        raise Fail("known %.1f ms, unknown %.1f ms (MAD %.1f)" % (a * 1e3, b * 1e3, mad * 1e3))
    return "known %.1f ms, unknown %.1f ms (MAD %.1f)" % (a * 1e3, b * 1e3, mad * 1e3)


@case("AU05", "malformed base64 of every length and kind", refs="CVE-2018-6789", timeout=90)
def au05(lab):
    out = {}
    tries = [b"A" * n for n in (1, 2, 3, 5, 6, 7, 255, 256, 257, 1023, 4095)] + [
        b"====",
        b"A===",
        b"!!!!",
        b"AAAA====AAAA",
        b"\xff\xff",
        b"*",
        b"=",
        b64encode(b"\0" * 5),
        b64encode(b"\0" * 300),
        b64encode(b"a"),
        b64encode(b"\0a"),
        b64encode(b"\0\0"),
        b64encode(b"x" * 9000),
        b"A" * 70000,
    ]
    for s in tries:
        client = lab.submission(lab.new_source())
        try:
            reply = client.command(b"AUTH PLAIN " + s, 12).code
        except Gone:
            reply = "closed"
            if len(s) < 12000:
                raise Fail("closed without a reply to AUTH PLAIN " + show(s, 20))
        except Slow:
            raise Fail("no answer to AUTH PLAIN " + show(s, 20))
        if reply == 235:
            raise Fail("accepted " + show(s, 20))
        out[reply] = out.get(reply, 0) + 1
        client.close()
    return str(out)


@case("AU06", 'AUTH sequencing: cancel "*", repeat after success, inside a transaction')
def au06(lab):
    client = lab.submission()
    reply = client.command(b"AUTH PLAIN")
    note = "334:%d" % reply.code
    if reply.code == 334:
        reply = client.command(b"*")
        if reply.code not in (501, 535):
            raise Fail("cancel answered %r" % reply)
        note += " cancel:%d" % reply.code
    reply = client.command(b"AUTH PLAIN " + lab.plain())
    if reply.code != 235:
        raise Fail("login after cancel: %r" % reply)
    reply = client.command(b"AUTH PLAIN " + lab.plain())
    if reply.code != 503:
        raise Fail("second AUTH answered %r" % reply)
    client.close()
    client = lab.submission()
    m = client.command(b"MAIL FROM:<a@client.test>")
    reply = client.command(b"AUTH PLAIN " + lab.plain())
    if m.code == 250 and reply.code == 235:
        raise Fail("AUTH inside a transaction accepted")
    return note + " again:503 in-transaction MAIL %d AUTH %d" % (m.code, reply.code)


@case(
    "AU07",
    "unknown mechanisms with junk: EXTERNAL NTLM GSSAPI SCRAM CRAM-MD5",
    refs="CVE-2023-42114/5/6, CVE-2026-40687",
    timeout=40,
)
def au07(lab):
    out = []
    for mech, junk in (
        (b"EXTERNAL", b"="),
        (b"EXTERNAL", b64encode(b"root")),
        (b"NTLM", b64encode(b"NTLMSSP\0\1" + b"\xff" * 60)),
        (b"GSSAPI", b"A" * 400),
        (b"SCRAM-SHA-256", b64encode(b"n,,n=a,r=" + b"r" * 400)),
        (b"CRAM-MD5", b""),
        (b"XOAUTH2", b64encode(b"user=a\1auth=Bearer x\1\1")),
        (b"PLAIN" + b"N" * 500, b""),
        (b"\xff", b""),
    ):
        client = lab.submission(lab.new_source())
        try:
            reply = client.command(b"AUTH " + mech + (b" " + junk if junk else b""), 10)
            if reply.code == 334:
                reply = client.command(b64encode(b"\xff" * 500), 10)
            if reply.code == 235:
                raise Fail("AUTH %s with junk accepted" % show(mech))
            out.append("%s:%d" % (show(mech, 12), reply.code))
        except (Gone, Slow):
            out.append("%s:closed" % show(mech, 12))
        client.close()
    return " ".join(out)


@case("AU08", "authorisation identity of another user is refused", "SHOULD", "authzid confusion")
def au08(lab):
    client = lab.submission(lab.new_source())
    reply = client.command(b"AUTH PLAIN " + lab.plain(authorize=b"postmaster"), 10)
    if reply.code == 235:
        raise Fail("authzid=postmaster with our own password accepted")
    return "%r" % reply


@case("AU09", "guessing in one connection is cut off or slowed", refs="brute force", timeout=40)
def au09(lab):
    client = lab.submission(lab.new_source())
    n, began = 0, time.monotonic()
    try:
        while n < 40 and time.monotonic() - began < 15:
            reply = client.command(b"AUTH PLAIN " + lab.plain(password=b"guess%d" % n), 10)
            if reply.code == 421:
                return "421 after %d guesses" % n
            n += 1
    except (Gone, Slow):
        return "closed after %d guesses in %.1fs" % (n, time.monotonic() - began)
    took = time.monotonic() - began
    if n >= 40 and took < 10:
        raise Fail("40 guesses in %.1fs on one connection" % took)
    return "%d guesses took %.1fs" % (n, took)


@case(
    "AU10",
    "guessing over many connections from one address is throttled",
    "SHOULD",
    "brute force",
    timeout=60,
)
def au10(lab):
    source, lat, ref = lab.new_source(), [], 0
    lab.submission(source).close()  # skips where there is no AUTH
    began = time.monotonic()
    for i in range(25):
        try:
            client = lab.submission(source)
            k = time.monotonic()
            reply = client.command(b"AUTH PLAIN " + lab.plain(password=b"guess%d" % i), 12)
            lat.append(time.monotonic() - k)
            if reply.code in (421, 450, 454, 454):
                ref += 1
            client.close()
        except (Gone, Slow, Fail, Skip):
            ref += 1
        if time.monotonic() - began > 35 or ref >= 3:
            break
    took = time.monotonic() - began
    if ref == 0 and lat and statistics.mean(lat[-5:]) < 0.8:
        raise Fail("%d guesses in %.1fs, none refused or slowed" % (len(lat), took))
    return "%d guesses in %.1fs, %d refused, last latency %.1fs" % (
        len(lat),
        took,
        ref,
        lat[-1] if lat else 0,
    )


@case(
    "AU11",
    "over-long, binary and newline-laden credentials",
    refs="log and parser injection",
    timeout=60,
)
def au11(lab):
    out = []
    for u, p in (
        (b"a\r\nb", b"x"),
        (b"a" * 5000, b"x"),
        (b"a", b"p" * 5000),
        (b"\xff\xfe", b"\xff"),
        (b"%n%s", b"%n"),
        (b"a' OR '1'='1", b"' OR 1=1 --"),
        (b"*)(uid=*))(|(uid=*", b"x"),
        (b"../../etc/passwd", b"x"),
        (b"", b""),
        (lab.options.user.encode() if lab.options.user else b"", b""),
    ):
        client = lab.submission(lab.new_source())
        try:
            reply = client.command(b"AUTH PLAIN " + lab.plain(user=u, password=p), 12).code
        except Gone:
            raise Fail("closed without a reply to user=%s" % show(u, 30))
        if reply == 235:
            raise Fail("accepted user=%s" % show(u, 30))
        out.append(str(reply))
        client.close()
    return " ".join(out)


@case("AU12", "AUTH dialogue interrupted: EHLO in the challenge, pipelined credentials, drop")
def au12(lab):
    client = lab.submission(lab.new_source())
    reply = client.command(b"AUTH LOGIN")
    if reply.code == 334:
        reply = client.command(b"EHLO again.test")
        if reply.code == 250:
            raise Fail("EHLO accepted as a command inside the AUTH dialogue")
    client.close()
    client = lab.submission(lab.new_source())
    client.send(b"AUTH LOGIN\r\n")
    time.sleep(0.1)
    client.close(rst=True)
    return "challenge answer treated as data: %r" % reply
