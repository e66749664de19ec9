"""What next hops do wrong, a line each: (name, outcome of the first attempt, dialogue, options).

DELIVERED: the relay holds the hop to its word, once. DEFERRED: it keeps the message, and the second
attempt delivers it. FAILED: it gives the message up, and the sender hears of it once.
"""
from attempts import DEFERRED, DELIVERED, FAILED
from hop import close, drip, flood, pause, reset, say, silent

STAGES = "banner ehlo mail rcpt data dot".split()
RIGHT = {"banner": b"220", "ehlo": b"250", "mail": b"250", "rcpt": b"250", "data": b"354",
         "dot": b"250"}
# The relay tries HELO when EHLO is refused for good, and a host that refuses at its door may have
# a neighbour that does not.
REFUSED = {stage: FAILED for stage in STAGES} | {"banner": DEFERRED, "ehlo": DELIVERED}


def everywhere():
    """The same faults at every stage of a session."""
    for stage in STAGES:
        code = RIGHT[stage]

        def fault(name, *actions, outcome=DEFERRED, **options):
            return "%s at %s" % (name, stage), outcome, {stage: actions}, options

        yield fault("close", close)
        yield fault("reset", reset)
        yield fault("silence", silent)
        yield fault("half a line, then close", say(code + b" o"), close)
        yield fault("half a line, then silence", say(code + b" o"), silent)
        yield fault("first line of two, then close", say(code + b"-more\r\n"), close)
        yield fault("first line of two, then silence", say(code + b"-more\r\n"), silent)
        yield fault("421", say(b"421 4.3.2 going down\r\n"), close)
        yield fault("421, then silence", say(b"421 4.3.2 going down\r\n"), silent)
        yield fault("451", say(b"451 4.3.0 not now\r\n"))
        yield fault("550", say(b"550 5.7.1 never\r\n"), outcome=REFUSED[stage])
        yield fault("no code", say(b"hello there\r\n"))
        yield fault("an empty line", say(b"\r\n"))
        yield fault("four digits", say(b"2500 ok\r\n"))
        yield fault("two digits", say(b"25 ok\r\n"))
        yield fault("code 150", say(b"150 wait\r\n"))
        yield fault("code 650", say(b"650 ok\r\n"))
        yield fault("code 000", say(b"000 ok\r\n"))
        yield fault("code 999", say(b"999 ok\r\n"))
        yield fault("codes that differ", say(code + b"-yes\r\n550 no\r\n"))
        yield fault("codes that differ, good last", say(b"550-no\r\n" + code + b" yes\r\n"))
        yield fault("NUL in the text", say(code + b" o\0k\r\n"))
        yield fault("a line without end", flood(code + b"-" + b"x" * 65536))
        yield fault("lines without end", flood(code + b"-more\r\n" * 4096))
        yield fault("a drip without end", say(code + b" "), *[drip(b"x" * 200, 0.2)] * 4)
        yield fault("right, but slow", drip(code + b" slow\r\n", 0.05), outcome=DELIVERED,
                    accepts=True)
        yield fault("right in many lines", say((code + b"-more\r\n") * 20 + code + b" ok\r\n"),
                    outcome=DELIVERED, accepts=True)
        yield fault("a code alone", say(code + b"\r\n"), outcome=DELIVERED, accepts=True)
        yield fault("8-bit text", say(code + b" \xe4\xf6\xfc\xff\r\n"), outcome=DELIVERED,
                    accepts=True)
        yield fault("control bytes in the text", say(code + b" \x1b[2J\x07\r\n"),
                    outcome=DELIVERED, accepts=True)


def special():
    """Faults that belong to one stage, or to several together."""
    yield "354 to MAIL", DEFERRED, {"mail": [say(b"354 go on\r\n")]}, {}
    yield "354 to RCPT", DEFERRED, {"rcpt": [say(b"354 go on\r\n")]}, {}
    yield "250 to DATA", DEFERRED, {"data": [say(b"250 ok\r\n")]}, {}
    yield "354 after the message", DEFERRED, {"dot": [say(b"354 go on\r\n")]}, {}
    yield "354 twice", DEFERRED, {"data": [say(b"354 go\r\n354 go\r\n")]}, {}
    yield "250 before the message", DEFERRED, {"data": [say(b"354 go\r\n250 stored\r\n"),
                                                        close]}, {}
    yield "250 before the message, at RCPT", DEFERRED, {
        "rcpt": [say(b"250 ok\r\n354 go\r\n250 stored\r\n"), close]}, {}
    yield "250 amid the message", DEFERRED, {"content": [say(b"250 stored\r\n"), close]}, {}
    yield "550 amid the message, then close", (DEFERRED, FAILED), {
        "content": [say(b"550 5.7.1 enough\r\n"), close]}, {}
    yield "421 amid the message", DEFERRED, {
        "content": [say(b"421 4.3.2 going down\r\n"), close]}, {}
    yield "close amid the message", DEFERRED, {"content": [close]}, {}
    yield "reset amid the message", DEFERRED, {"content": [reset]}, {}
    yield "no reading amid the message", DEFERRED, {"content": [pause(8), close]}, {}
    yield "a pause amid the message", DELIVERED, {"content": [pause(0.5)]}, {}
    yield "two greetings", DEFERRED, {"banner": [say(b"220 one\r\n220 two\r\n")]}, {}
    yield "two replies to EHLO", DEFERRED, {"ehlo": [say(b"250 one\r\n250 two\r\n")]}, {}
    yield "more replies than commands", DEFERRED, {"mail": [say(b"250 ok\r\n" * 5)]}, {}
    yield "replies in another order", FAILED, {
        "mail": [say(b"")], "rcpt": [say(b"550 5.1.1 unknown\r\n354 go on\r\n")],
        "data": [say(b"250 sender ok\r\n"), close]}, {}
    yield "all replies at the end", DELIVERED, {
        "mail": [say(b"")], "rcpt": [say(b"")],
        "data": [say(b"250 ok\r\n250 ok\r\n354 go on\r\n")]}, {"accepts": True}
    yield "reply to DATA after a refused RCPT", FAILED, {
        "rcpt": [say(b"550 5.1.1 unknown\r\n")], "data": [say(b"354 go on\r\n")]}, {}
    yield "503 to DATA after a refused RCPT", FAILED, {
        "rcpt": [say(b"550 5.1.1 unknown\r\n")], "data": [say(b"503 5.5.1 no\r\n")]}, {}
    yield "552 at RCPT", DEFERRED, {"rcpt": [say(b"552 5.5.3 too many recipients\r\n")]}, {}
    yield "552 for a full mailbox", FAILED, {"rcpt": [say(b"552 5.2.2 mailbox full\r\n")]}, {}
    yield "550 in three lines", FAILED, {"rcpt": [say(b"550-5.1.1 one\r\n550-5.1.1 two\r\n"
                                                        b"550 5.1.1 three\r\n")]}, {}
    yield "550 with 600 octets of text", FAILED, {
        "rcpt": [say(b"550 5.7.1 " + b"x" * 600 + b"\r\n")]}, {}
    yield "550 with UTF-8 text", FAILED, {
        "rcpt": [say("550 5.1.1 Empfänger unbekannt\r\n".encode())]}, {}
    yield "a greeting after a while", DELIVERED, {"banner": [pause(1), say(b"220 hop\r\n")]}, {}
    for code, outcome in ((b"450", DEFERRED), (b"452", DEFERRED), (b"550", FAILED),
                          (b"552", DEFERRED)):
        yield "%s for one of three" % code.decode(), outcome, {
            "rcpt": [say(code + b" no\r\n")]}, {"others": ("a", "b")}
        yield "LMTP: %s for one of three" % code.decode(), outcome, {
            "dot": [say(code + b" no\r\n250 ok\r\n250 ok\r\n")]}, {
                "lmtp": True, "accepts": True, "others": ("a", "b")}
    yield "452 at RCPT", DEFERRED, {"rcpt": [say(b"452 4.5.3 too many recipients\r\n")]}, {}
    yield "551 at RCPT", FAILED, {"rcpt": [say(b"551 5.1.6 try <x@other.test>\r\n")]}, {}
    yield "251 at RCPT", DELIVERED, {"rcpt": [say(b"251 2.1.5 will forward\r\n")]}, {
        "accepts": True}
    yield "521 as greeting", (DEFERRED, FAILED), {"banner": [say(b"521 5.3.2 no mail\r\n")]}, {}
    yield "552 after the message", FAILED, {"dot": [say(b"552 5.3.4 too big\r\n")]}, {}
    yield "452 after the message", DEFERRED, {"dot": [say(b"452 4.3.1 disk full\r\n")]}, {}
    yield "251 after the message", DELIVERED, {"dot": [say(b"251 forwarded\r\n")]}, {
        "accepts": True}
    # One reply too many makes all doubtful: rather twice than not at all.
    yield "250 and more after the message", DEFERRED, {
        "dot": [say(b"250 stored\r\n550 or not\r\n")]}, {"accepts": True}
    yield "250 and close", DELIVERED, {"dot": [say(b"250 stored\r\n"), close]}, {"accepts": True}
    yield "250 and reset", (DELIVERED, DEFERRED), {
        "dot": [say(b"250 stored\r\n"), pause(0.3), reset]}, {"accepts": True}
    yield "silence at QUIT", DELIVERED, {"quit": [silent]}, {}
    yield "nonsense at QUIT", DELIVERED, {"quit": [say(b"9 lives\r\n")]}, {}
    yield "lines that end in LF", DEFERRED, {"mail": [say(b"250 ok\n")]}, {}
    yield "an enhanced code of another class", FAILED, {"rcpt": [say(b"550 2.1.5 well\r\n")]}, {}
    yield "an enhanced code cut short", FAILED, {"rcpt": [say(b"550 5.\r\n")]}, {}
    yield "EHLO refused, HELO taken", DELIVERED, {"ehlo": [say(b"500 what\r\n")]}, {}
    yield "EHLO and HELO refused", (DEFERRED, FAILED), {
        "ehlo": [say(b"500 what\r\n")], "helo": [say(b"500 what\r\n")]}, {}
    yield "no extensions", DELIVERED, {}, {"extensions": ()}
    yield "SIZE that is too small", FAILED, {}, {"extensions": ("SIZE 1000",)}
    yield "SIZE that is no number", DELIVERED, {}, {"extensions": ("SIZE -1", "SIZE 99999999999999"
                                                                  "9999999999")}
    yield "SIZE that lies", FAILED, {"mail": [say(b"552 5.3.4 too big\r\n")]}, {
        "extensions": ("SIZE 100000000",)}
    yield "hundreds of extensions", (DELIVERED, DEFERRED), {}, {
        "extensions": tuple("X%d yes" % number for number in range(90))}
    yield "PIPELINING that lies: the rest is thrown away", DEFERRED, {
        "mail": [lose, say(b"250 ok\r\n")]}, {}
    yield "closes after the reply to MAIL", DEFERRED, {"mail": [say(b"250 ok\r\n"), close]}, {}
    yield "closes after the reply to RCPT", DEFERRED, {"rcpt": [say(b"250 ok\r\n"), close]}, {}
    yield "closes after 354", DEFERRED, {"data": [say(b"354 go on\r\n"), close]}, {}
    yield "resets after 354", DEFERRED, {"data": [say(b"354 go on\r\n"), reset]}, {}
    yield "HTTP", DEFERRED, {"banner": [say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), close]}, {}
    yield "TLS", DEFERRED, {"banner": [say(b"\x15\x03\x01\0\x02\x02\x46"), close]}, {}
    yield "SSH", DEFERRED, {"banner": [say(b"SSH-2.0-x\r\n")]}, {}
    yield "LMTP: fewer replies than recipients", DEFERRED, {"dot": [close]}, {"lmtp": True}
    yield "LMTP: more replies than recipients", DEFERRED, {
        "dot": [say(b"250 stored\r\n" * 4)]}, {"lmtp": True, "accepts": True}
    yield "LMTP: refused after the message", FAILED, {
        "dot": [say(b"550 5.2.1 mailbox closed\r\n")]}, {"lmtp": True}


def lose(session):
    """What was sent ahead is gone, as in a server that flushes its input between commands."""
    pause(0.3)(session)
    session.sock.setblocking(False)
    try:
        session.sock.recv(65536)
    except BlockingIOError:
        pass
    session.sock.setblocking(True)
    session.buffer = b""


def all_dialogues():
    """(id, name, outcomes, dialogue, options), NH001 and on."""
    for number, row in enumerate([*everywhere(), *special()], 1):
        name, outcome, dialogue, options = row
        outcomes = outcome if isinstance(outcome, tuple) else (outcome,)
        yield "NH%03d" % number, name, outcomes, dialogue, options
