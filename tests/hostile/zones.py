"""What name servers say to harm, a line each: (id, name, zone, outcome of the first try, hosts).

`hosts` are the addresses that may be connected to, none where the answer must not be used. The
addresses exist in the test's own network only: 192.0.2.1 is the relay, 192.0.2.9 an honest host.
"""
import struct

from attempts import DEFERRED, DELIVERED, FAILED
from dns import A, AAAA, ANSWER, CNAME, MX, NXDOMAIN, SERVFAIL, TRUNCATED, address, mx, wire

OURS, HONEST, FORGED = "192.0.2.1", "192.0.2.9", "192.0.2.66"

# D1: addresses that mail from outside must never be sent to.
FORBIDDEN = (
    "127.0.0.1 127.255.255.254 0.0.0.0 169.254.1.1 224.0.0.1 239.255.255.255 255.255.255.255 "
    "::1 :: fe80::1 ff02::1 ::ffff:127.0.0.1 ::ffff:0.0.0.0 ::ffff:169.254.1.1").split()


def pointing_at(*addresses, preference=10, ttl=60):
    """An ordinary zone: one MX per address."""
    def zone(query):
        labels = query.name.split(".")
        if labels[0].startswith("mx") and labels[0][2:].isdigit():
            records = [address(addresses[int(labels[0][2:])])]
        else:
            records = [mx(preference + number, "mx%d.%s" % (number, query.name))
                       for number in range(len(addresses))]
        fitting = [record for record in records if record[0] == query.type]
        return [query.answer(fitting, ttl=ttl)]
    return zone


def bare(*addresses):
    """No MX: the domain's own addresses."""
    return lambda query: [query.fitting(*[address(text) for text in addresses])]


def many_mx(count, to):
    def zone(query):
        if query.name.startswith("h"):
            return [query.fitting(address(to))]
        records = [mx(number, "h%04d.%s" % (number, query.name)) for number in range(count)]
        return [query.answer(records if query.type == MX else [])]
    return zone


def chain(length):
    """The MX host is an alias of an alias of an alias; the last one is honest."""
    def zone(query):
        first, _, rest = query.name.partition(".")
        if not first.startswith("c"):
            return [query.fitting(mx(10, "c0." + query.name))]
        number = int(first[1:])
        if number == length:
            return [query.fitting(address(HONEST))]
        return [query.fitting((CNAME, wire("c%d.%s" % (number + 1, rest))))]
    return zone


def loop(size):
    """Aliases in a ring, the domain itself among them."""
    def zone(query):
        first, _, rest = query.name.partition(".")
        if not first.startswith("c"):
            return [query.fitting((CNAME, wire("c0." + query.name)))]
        following = (int(first[1:]) + 1) % size
        return [query.fitting((CNAME, wire("c%d.%s" % (following, rest))))]
    return zone


def raw_mx(make):
    """MX answers made by hand, by `make(query)`; hosts below are honest."""
    def zone(query):
        if query.type != MX:
            return [query.fitting(address(HONEST))]
        made = make(query)
        return made if isinstance(made, list) else [made]
    return zone


def answer_with(data, count=1, kind=MX, **options):
    """One record, as given, after a right header and question."""
    return raw_mx(lambda query: query.header(count) + query.question +
                  query.record(kind, data, **options))


def header_only(**options):
    return raw_mx(lambda query: query.header(**options) + query.question)


def right(query, **options):
    return query.answer([mx(10, "mx." + query.name)], **options)


def changing(*codes):
    """A different error for each question about MX, then an honest answer."""
    left = list(codes)

    def zone(query):
        if query.type == MX and left:
            return [query.error(left.pop(0))]
        if query.name.startswith("mx."):
            return [query.fitting(address(HONEST))]
        return [query.fitting(mx(10, "mx." + query.name))]
    return zone


def forged(query):
    """Answers with guessed ids, and one from another port, come before the right one."""
    if query.name.startswith("mx."):
        lie, truth = [address(FORGED)], [address(HONEST)]
    else:
        lie, truth = [mx(10, "evil." + query.name)], [mx(10, "mx." + query.name)]
    lie = [record for record in lie if record[0] == query.type]
    truth = [record for record in truth if record[0] == query.type]
    guesses = [query.answer(lie, identity=(query.id + step) & 0xFFFF)
               for step in (1, 0xFFFF, 0x8000, 256)]
    return [*guesses, ("forged", query.answer(lie)), query.answer(truth)]


def unusable():
    for number, text in enumerate(FORBIDDEN):
        yield "D1", "MX at " + text, pointing_at(text), FAILED, ()
    for text in ("127.0.0.1", "::1", "169.254.1.1"):
        yield "D1", "no MX, address " + text, bare(text), FAILED, ()
    yield "D1", "MX at our own address", pointing_at(OURS), FAILED, ()
    yield "D1", "no MX, our own address", bare(OURS), FAILED, ()
    yield "D1", "our own address before another host", pointing_at(OURS, HONEST), FAILED, ()
    yield "D1", "another host before our own address", pointing_at(HONEST, OURS), DELIVERED, (
        HONEST,)
    yield "D1", "loopback before an honest host", pointing_at("127.0.0.9", HONEST), DELIVERED, (
        HONEST,)
    yield "D1", "an address that is loopback only to the eye", pointing_at("::127.0.0.1"), (
        DEFERRED, FAILED), ()
    yield "D1", "MX localhost", raw_mx(lambda query: query.answer([mx(10, "localhost")])), (
        FAILED, DEFERRED), ()
    yield "D1", "MX that is text for an address", raw_mx(
        lambda query: query.answer([mx(10, "127.0.0.1")])), FAILED, ()
    yield "D1", "null MX", raw_mx(lambda query: query.answer([mx(0, "")])), FAILED, ()


def masses():
    yield "D2", "500 MX, all honest", many_mx(500, HONEST), DELIVERED, (HONEST,)
    yield "D2", "1900 MX, all at loopback", many_mx(1900, "127.0.0.9"), FAILED, ()
    yield "D3", "3 aliases", chain(3), DELIVERED, (HONEST,)
    yield "D3", "100 aliases", chain(100), (DEFERRED, FAILED), ()
    for size in (1, 2, 7):
        yield "D3", "a ring of %d aliases" % size, loop(size), (DEFERRED, FAILED), ()
    yield "D4", "64 KB over TCP", raw_mx(lambda query: query.answer(
        [mx(n, "h%d." % n + "x" * 60 + "." + query.name) for n in range(600)])), DELIVERED, (
        HONEST,)
    yield "D4", "truncated, and no TCP", raw_mx(
        lambda query: [] if query.tcp else query.header(0, ANSWER | TRUNCATED) + query.question), (
        DEFERRED, FAILED), ()
    yield "D4", "truncated, and garbage over TCP", raw_mx(
        lambda query: b"\xff" * 40 if query.tcp
        else query.header(0, ANSWER | TRUNCATED) + query.question), DEFERRED, ()


def malformed():
    """D5: nothing of it may be used, nor be taken for `there is no such domain`."""
    rows = [
        ("a name that points at itself", answer_with(b"\0\x0a" + b"\xc0\xff")),
        ("two names that point at each other", raw_mx(
            lambda q: q.header(1) + q.question + q.record(
                MX, b"\0\x0a" + struct.pack(">H", 0xC000 | (len(q.question) + 26))))),
        ("a pointer behind the end", answer_with(b"\0\x0a\xff\xff")),
        ("a label of type 01", answer_with(b"\0\x0a\x41" + b"a" * 65 + b"\0")),
        ("a label of type 10", answer_with(b"\0\x0a\x81" + b"a" * 10 + b"\0")),
        ("a name of 400 octets", answer_with(b"\0\x0a" + (b"\x3f" + b"a" * 63) * 6 + b"\0")),
        ("a name without end", answer_with(b"\0\x0a\x05abc")),
        ("MX of one octet", answer_with(b"\0")),
        ("MX of none", answer_with(b"")),
        ("MX without a host", answer_with(b"\0\x0a")),
        ("more octets announced than sent", answer_with(b"\0\x0a\x01a\0", size=5000)),
        ("fewer octets announced than sent", answer_with(b"\0\x0a\x03abc\0", size=3)),
        ("65535 records announced, none sent", header_only(answers=65535)),
        ("one record announced, none sent", header_only(answers=1)),
        ("another question", raw_mx(
            lambda q: q.header(1) + wire("other.example") + b"\0\x0f\0\1" +
            q.record(MX, b"\0\x0a" + wire("mx.other.example")))),
        ("no question", raw_mx(lambda q: q.header(1, questions=0) + q.record(
            MX, b"\0\x0a" + wire("mx." + q.name), owner=wire(q.name)))),
        ("another id", raw_mx(lambda q: right(q, identity=q.id ^ 1))),
        ("a question for an answer", raw_mx(lambda q: right(q, flags=0x0100))),
        ("another operation", raw_mx(lambda q: right(q, flags=ANSWER | 0x2800))),
        ("an empty packet", raw_mx(lambda q: b"")),
        ("one octet", raw_mx(lambda q: q.raw[:1])),
        ("half a header", raw_mx(lambda q: q.header()[:7])),
        ("noise", raw_mx(lambda q: q.raw[:2] + bytes(range(256)) * 4)),
        ("error 15", raw_mx(lambda q: q.error(15))),
        ("REFUSED", raw_mx(lambda q: q.error(5))),
        ("FORMERR", raw_mx(lambda q: q.error(1))),
        ("silence", raw_mx(lambda q: [])),
    ]
    for name, zone in rows:
        yield "D5", name, zone, DEFERRED, ()
    yield "D5", "a pointer into the header", answer_with(b"\0\x0a\xc0\x00"), (
        DEFERRED, FAILED), ()  # whatever the id happens to spell
    yield "D5", "an address of 3 octets", short_address(A, 3), (DEFERRED, FAILED), ()
    yield "D5", "an address of 5 octets", short_address(A, 5), (DEFERRED, FAILED), ()
    yield "D5", "an IPv6 address of 4 octets", short_address(AAAA, 4), (DEFERRED, FAILED), ()
    yield "D5", "MX of another name only", raw_mx(
        lambda q: q.header(1) + q.question + q.record(
            MX, b"\0\x0a" + wire("mx." + q.name), owner=wire("other.example"))), (
        DEFERRED, DELIVERED), (HONEST,)
    for name, host in (("NUL", b"\x03a\0b"), ("a line end", b"\x05a\r\nbc"),
                       ("a space", b"\x03a b"), ("8-bit", b"\x02\xff\xfe"), ("a dot", b"\x03a.b"),
                       ("a slash", b"\x04/../"), ("a percent sign", b"\x04%n%s"),
                       ("a quote", b"\x02\"'")):
        data = b"\0\x0a" + host + b"\x07example\0"
        yield "D5", "a host with %s in its name" % name, answer_with(data), (FAILED, DEFERRED), ()


def short_address(kind, size):
    def zone(query):
        if query.type == MX:
            return [right(query)]
        if query.type != kind:
            return [query.answer([])]
        return [query.header(1) + query.question + query.record(kind, b"\x7f\0\0\1\1\1"[:size])]
    return zone


def unsteady():
    yield "D10", "forged answers before the right one", forged, DELIVERED, (HONEST,)
    yield "D10", "TTL 0", pointing_at(HONEST, ttl=0), DELIVERED, (HONEST,)
    yield "D10", "TTL of 2^32-1", pointing_at(HONEST, ttl=0xFFFFFFFF), DELIVERED, (HONEST,)
    yield "D10", "SERVFAIL, later right", changing(*[SERVFAIL] * 5), (DEFERRED, DELIVERED), (
        HONEST,)
    yield "D10", "NXDOMAIN", changing(*[NXDOMAIN] * 99), FAILED, ()
    yield "D10", "SERVFAIL always", changing(*[SERVFAIL] * 9999), DEFERRED, ()


def all_zones():
    """(domain, id, name, zone, outcomes, hosts)."""
    rows = [*unusable(), *masses(), *malformed(), *unsteady()]
    for number, (identity, name, zone, outcome, hosts) in enumerate(rows):
        outcomes = outcome if isinstance(outcome, tuple) else (outcome,)
        yield "z%03d.example" % number, identity, name, zone, outcomes, hosts
