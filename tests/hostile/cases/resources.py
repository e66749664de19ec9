"""Floods and silence: memory, connections and buffers stay bounded, others are served."""
import socket
import time

from cases import case
from wire import CRLF, Connection, Fail, Gone, Skip, Slow


@case(
    "RS01",
    "recipient flood: at least 100 accepted, then a limit",
    refs="RFC 5321 4.5.3.1.8",
    timeout=40,
)
def rs01(lab):
    client = lab.smtp(timeout=10)
    client.command(b"MAIL FROM:<a@client.test>")
    ok = bad = 0
    began = time.monotonic()
    try:
        for k in range(60 if "PIPELINING" in client.caps else 0):
            client.send(
                b"".join(
                    b"RCPT TO:<flood%05d@%s>\r\n" % (k * 200 + i, lab.local) for i in range(200)
                )
            )
            for _i in range(200):
                reply = client.reply(10)
                if reply.code in (250, 251):
                    ok += 1
                else:
                    bad += 1
            if bad >= 200 or time.monotonic() - began > 20:
                break
        while (
            "PIPELINING" not in client.caps
            and bad < 20
            and ok < 12000
            and time.monotonic() - began < 20
        ):
            if client.command(b"RCPT TO:<flood%05d@%s>" % (ok, lab.local), 10).code in (250, 251):
                ok += 1
            else:
                bad += 1
    except (Gone, Slow):
        bad = bad or 1
    client.close()
    if ok < 100:
        raise Fail("only %d recipients accepted" % ok)
    if not bad and ok >= 12000:
        raise Fail("12000 recipients accepted without limit")
    return "%d accepted then %s in %.1fs" % (
        ok,
        "limited" if bad else "slowed",
        time.monotonic() - began,
    )


@case(
    "RS02",
    "content larger than SIZE: refused at the dot, stays in step, nothing delivered",
    refs="desync after oversize",
    timeout=40,
)
def rs02(lab):
    limit = lab.size_limit
    if not limit:
        raise Fail("SIZE limit not advertised")
    if limit > 64 << 20:
        raise Skip("SIZE %d too large to test" % limit)
    token = lab.token()
    client = lab.smtp(timeout=20)
    lab.envelope(client, [lab.rcpt(b"u-", token)])
    lab.data(client)
    inner = (
        b"RSET\r\nMAIL FROM:<a@smuggled.test>\r\nRCPT TO:<"
        + lab.rcpt(b"smug-", token)
        + b">\r\nDATA\r\nSubject: s\r\n\r\n"
    )
    chunk = inner + (b"x" * 70 + CRLF) * 900
    sent = 0
    try:
        while sent < limit * 1.08 + 200000:  # the server may count CRLF as one octet
            client.send(chunk)
            sent += len(chunk)
        client.send(b"\r\n.\r\n")
    except (Gone, Slow):
        pass
    replies, closed = client.drain(12, 0.6)
    codes = [reply.code for reply in replies]
    client.close()
    lab.sentinel()
    if lab.sink.to(token):
        raise Fail("delivered although over SIZE, or lines of it ran as commands: %s" % codes)
    if any(k in (250, 354) for k in codes) or (len(codes) > 1 and not closed):
        raise Fail("replies %s" % codes)
    return "sent %d > %d: replies %s%s" % (sent, limit, codes, ", closed" if closed else "")


@case("RS03", "declared SIZE above the limit refused at MAIL")
def rs03(lab):
    if not lab.size_limit:
        raise Fail("SIZE limit not advertised")
    client = lab.smtp()
    reply = client.command(b"MAIL FROM:<a@client.test> SIZE=%d" % (lab.size_limit + 1))
    if reply.code == 250:
        raise Fail("accepted")
    return "%r" % reply


def settled_memory(lab):
    """In MiB, when what was sent has been read: at a busy machine that takes a while. None: not known."""
    memory = lab.memory()
    for _ in range(20):
        time.sleep(0.3)
        before, memory = memory, lab.memory()
        if memory is None or memory <= before + 0.5:
            break
    return memory


@case(
    "RS04",
    "pre-auth memory: 100 connections x 1 MB of one unfinished line",
    refs="memory exhaustion",
    timeout=40,
)
def rs04(lab):
    memory_before = lab.memory()
    clients = []
    sent = 0
    for i in range(100):
        try:
            client = Connection(lab, lab.options.port, 3.0, lab.new_source())
            client.sock.setblocking(False)
            clients.append(client)
        except Gone:
            pass
    blob = b"A" * 65536
    end = time.monotonic() + 8
    left = {client: 1 << 20 for client in clients}
    while left and time.monotonic() < end:
        prog = False
        for client in list(left):
            try:
                k = client.sock.send(blob)
                sent += k
                left[client] -= k
                prog = True
                if left[client] <= 0:
                    del left[client]
            except BlockingIOError:
                pass
            except OSError:
                del left[client]
        if not prog:
            time.sleep(0.02)
    memory_after = settled_memory(lab)
    for client in clients:
        client.close()
    if memory_after is not None and memory_after - memory_before > 32:
        raise Fail(
            "memory grew %.0f MiB for %d MB of pre-auth bytes"
            % (memory_after - memory_before, sent >> 20)
        )
    return "%d conns, %d MB sent%s" % (
        len(clients),
        sent >> 20,
        "" if memory_after is None else ", memory +%.1f MiB" % (memory_after - memory_before),
    )


@case(
    "RS05",
    "slowloris: 220 idle connections from 220 addresses; a new client is served in 5 s",
    refs="connection exhaustion",
    timeout=40,
)
def rs05(lab):
    clients, missed = [], 0
    # 6 misses in a row: the accept queue is full, enough are held
    while len(clients) < 220 and missed < 6:
        try:
            client = Connection(lab, lab.options.port, 0.7, lab.new_source())
            client.raw_send(b"E")
            clients.append(client)
            missed = 0
        except (Gone, Slow):
            missed += 1
            time.sleep(0.2)
    time.sleep(0.5)
    lab.patient = False
    began = time.monotonic()
    try:
        client = lab.open(source=lab.new_source(), timeout=8)
        took = time.monotonic() - began
        ok = client.ehlo().code == 250
    except (Gone, Slow, Fail):
        took, ok = time.monotonic() - began, False
    for k in clients:
        k.close()
    time.sleep(0.5)
    if not ok or took > 5:
        raise Fail(
            "with %d idle connections a new client got %s after %.1fs"
            % (len(clients), "service" if ok else "nothing", took)
        )
    return "%d held, new client served in %.2fs" % (len(clients), took)


@case(
    "RS06",
    "300 connections from one address are limited",
    "SHOULD",
    "per-client limits",
    timeout=40,
)
def rs06(lab):
    source = lab.new_source()
    clients, served, ref = [], 0, 0
    missed = 0
    for i in range(300):
        try:
            clients.append(Connection(lab, lab.options.port, 0.5, source))
            missed = 0
        except Gone as e:
            ref += 1
            missed = missed + 1 if "timed out" in str(e) else 0
            if missed >= 8:  # accept queue full
                break
    end = time.monotonic() + 6
    for client in clients:
        try:
            reply = client.reply(max(0.02, min(1.0, end - time.monotonic())))
            if reply.code == 220:
                served += 1
            else:
                ref += 1
        except Slow:
            pass
        except (Gone, Fail):
            ref += 1
    for client in clients:
        client.close()
    if served >= 300:
        raise Fail("all 300 greeted")
    return "%d tried: %d greeted, %d refused, %d left waiting" % (
        i + 1,
        served,
        ref,
        i + 1 - served - ref,
    )


@case(
    "RS07",
    "client that sends commands and never reads replies is back-pressured",
    refs="output buffer growth",
    timeout=40,
)
def rs07(lab):
    memory_before = lab.memory()
    client = lab.smtp()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sock.settimeout(2.0)
    sent, how = 0, "kept reading"
    blob = b"HELP\r\n" * 10000
    began = time.monotonic()
    try:
        while sent < 48 << 20 and time.monotonic() - began < 10:
            sent += client.sock.send(blob)
    except socket.timeout:
        how = "blocked"
    except OSError:
        how = "closed"
    memory_after = lab.memory()
    client.close()
    if how == "kept reading" and sent > 32 << 20:
        raise Fail("server read %d MB of commands while its replies were not read" % (sent >> 20))
    if memory_after is not None and memory_after - memory_before > 64:
        raise Fail("memory +%.0f MiB" % (memory_after - memory_before))
    return "%s after %.1f MB%s" % (
        how,
        sent / 1e6,
        "" if memory_after is None else ", memory %+.1f MiB" % (memory_after - memory_before),
    )


@case("RS08", "idle client is dropped within --idle-max seconds", "SHOULD", "timeouts", timeout=700)
def rs08(lab):
    if not lab.options.idle_max:
        raise Skip("give --idle-max SECONDS")
    client = lab.smtp()
    began = time.monotonic()
    if not client.closed_within(lab.options.idle_max):
        raise Fail("still open after %ds" % lab.options.idle_max)
    return "closed after %.0fs" % (time.monotonic() - began)


@case(
    "RS09", "50 half-finished TLS handshakes do not block others", refs="TLS slowloris", timeout=30
)
def rs09(lab):
    p = lab.options.tls_port or lab.tls_port()
    clients = []
    for i in range(50):
        try:
            if p == lab.options.tls_port:
                client = Connection(lab, p, 3.0, lab.new_source())
            else:
                client = lab.smtp(p, lab.new_source())
                client.command(b"STARTTLS")
            client.raw_send(b"\x16\x03\x01\x02\x00\x01")
            clients.append(client)
        except (Gone, Slow, Fail):
            pass
    lab.patient = False
    began = time.monotonic()
    try:
        client = lab.smtp(source=lab.new_source())
    except (Gone, Slow) as e:
        raise Fail("%d stalled handshakes, other client: %s" % (len(clients), e))
    took = time.monotonic() - began
    for k in clients:
        k.close()
    if took > 3:
        raise Fail("others waited %.1fs" % took)
    return "%d stalled handshakes, other client served in %.2fs" % (len(clients), took)
