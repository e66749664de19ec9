"""Ordinary mail first: if this does not pass, nothing else means anything."""
from base64 import b64encode
import hashlib
import random
import threading
import time

from cases import case
from wire import CRLF, Fail, Gone, Slow, show


@case("B01", "ordinary message is accepted and delivered once, with a Received line on top")
def b01(lab):
    token = lab.token()
    reply = lab.deliver([lab.rcpt(b"u-", token)], lab.message(token))
    if reply.code != 250:
        raise Fail("not accepted: %r" % reply)
    m = lab.arrive(token)
    if len(m) != 1:
        raise Fail("delivered %d times in %.0fs" % (len(m), lab.options.deliver_wait))
    if not m[0]["data"].lower().lstrip().startswith((b"received:", b"return-path:")):
        raise Fail("no Received field on top: " + show(m[0]["data"]))
    return "%r; delivered once" % reply


@case("B02", "byte-at-a-time sender: dribbled CRLF.CRLF still ends the data, exactly once")
def b02(lab):
    token = lab.token()
    client = lab.smtp()
    lab.envelope(client, [lab.rcpt(b"u-", token)])
    lab.data(client)
    for ch in lab.message(token) + b".\r\n":
        client.send(bytes([ch]))
        if ch in b"\r\n.":
            time.sleep(0.002)
    reply = client.reply()
    client.send(b"QUIT\r\n")
    n = len(lab.arrive(token))
    if reply.code != 250 or n != 1:
        raise Fail("%r, delivered %d" % (reply, n))
    return "one delivery"


@case("B03", "dot-stuffing and 8-bit bytes survive the relay unchanged", refs="RFC 5321 4.5.2")
def b03(lab):
    token = lab.token()
    lines = [
        b".",
        b"..",
        b".x",
        b"...",
        b"a.",
        b"",
        b".QUIT",
        b"caf\xc3\xa9 \xff\xfe",
        b"end " + token,
    ]
    body = CRLF.join(lines)
    wire = CRLF.join((b"." + l if l.startswith(b".") else l) for l in lines)
    hdr = lab.message(
        token,
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n",
        b"",
    )
    client = lab.smtp()
    reply = client.command(
        b"MAIL FROM:<sender@client.test>"
        + (b" BODY=8BITMIME" if "8BITMIME" in client.caps else b"")
    )
    if reply.code != 250:
        raise Fail("MAIL BODY=8BITMIME: %r" % reply)
    client.command(b"RCPT TO:<" + lab.rcpt(b"u-", token) + b">")
    lab.data(client)
    client.send(hdr + wire + b"\r\n.\r\n")
    reply = client.reply()
    m = lab.arrive(token)
    if reply.code != 250 or len(m) != 1:
        raise Fail("%r, %d deliveries" % (reply, len(m)))
    if body not in m[0]["data"]:
        raise Fail("body changed: " + show(m[0]["data"][-120:], 120))
    return "identical"


@case("B04", "5 MB message arrives intact (sha256)", timeout=40)
def b04(lab):
    token = lab.token()
    numbers = random.Random(7)
    blob = b"".join(
        b64encode(numbers.getrandbits(8 * 57).to_bytes(57, "big")) + CRLF for _ in range(60000)
    )
    limit = lab.size_limit if lab.size_limit else 10**8
    blob = blob[: max(1000, min(len(blob), limit - 20000)) // 78 * 78]
    client = lab.smtp(timeout=20)
    reply = lab.deliver(
        [lab.rcpt(b"u-", token)], lab.message(token, b"", b"") + blob, client=client, timeout=20
    )
    m = lab.arrive(token, 1, 20)
    if reply.code != 250 or len(m) != 1:
        raise Fail("%r, %d deliveries" % (reply, len(m)))
    ok = hashlib.sha256(blob).digest() == hashlib.sha256(m[0]["data"][-len(blob) :]).digest()
    if not ok:
        raise Fail("content differs")
    return "%d bytes identical" % len(blob)


@case("B05", "40 concurrent senders: every accepted message delivered exactly once", timeout=40)
def b05(lab):
    token = lab.token()
    res, lock = {}, threading.Lock()

    def one(i):
        a = b"%s-%03d" % (token, i)
        try:
            reply = lab.deliver([lab.rcpt(b"u-", a)], lab.message(a), source=lab.new_source())
            code = reply.code
        except (Fail, Gone, Slow) as e:
            code = str(e)
        with lock:
            res[a] = code

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    acc = [a for a, code in res.items() if code == 250]
    lab.sink.wait(lambda: all(lab.sink.to(a) for a in acc), 15)
    time.sleep(0.5)
    lost = [a for a in acc if not lab.sink.to(a)]
    dup = [a for a in acc if len(lab.sink.to(a)) > 1]
    if lost or dup or len(acc) < 30:
        raise Fail("accepted %d, lost %d, duplicated %d" % (len(acc), len(lost), len(dup)))
    return "accepted %d, lost 0, duplicated 0" % len(acc)
