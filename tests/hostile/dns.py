"""A name server that lies, loops, truncates and keeps silent, on UDP and TCP.

A zone is a function of the query that returns the messages to send: usually one, none for silence.
`Query` has the parts to build right answers and wrong ones from. Names are asked for below the zone
too: the zone of mx.d2.example is d2.example.
"""
import socket
import struct
import threading

A, CNAME, PTR, MX, TXT, AAAA = 1, 5, 12, 15, 16, 28
NXDOMAIN, SERVFAIL = 3, 2
ANSWER = 0x8180  # a reply, recursion available
TRUNCATED = 0x0200


def wire(name):
    """The name as labels; octets are taken as they are."""
    name = name.encode("latin1") if isinstance(name, str) else name
    labels = [label for label in name.split(b".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def mx(preference, host):
    host = host if isinstance(host, bytes) else wire(host)
    return MX, struct.pack(">H", preference) + host


def address(text):
    if ":" in text:
        return AAAA, socket.inet_pton(socket.AF_INET6, text)
    return A, socket.inet_aton(text)


class Query:
    def __init__(self, raw, tcp):
        self.raw, self.tcp = raw, tcp
        self.id, = struct.unpack(">H", raw[:2])
        labels, at = [], 12
        while raw[at]:
            labels.append(raw[at + 1 : at + 1 + raw[at]].decode("latin1"))
            at += 1 + raw[at]
        self.name = ".".join(labels).lower()
        self.type, = struct.unpack(">H", raw[at + 1 : at + 3])
        self.question = raw[12 : at + 5]

    def header(self, answers=0, flags=ANSWER, identity=None, questions=1):
        identity = self.id if identity is None else identity
        return struct.pack(">HHHHHH", identity, flags, questions, answers, 0, 0)

    def record(self, kind, data, owner=b"\xc0\x0c", ttl=60, size=None):
        size = len(data) if size is None else size
        return owner + struct.pack(">HHIH", kind, 1, ttl, size) + data

    def answer(self, records, flags=ANSWER, ttl=60, identity=None):
        """A right answer of (type, data) records that belong to the question, over TCP if long."""
        body = b"".join(self.record(kind, data, ttl=ttl) for kind, data in records)
        message = self.header(len(records), flags, identity) + self.question + body
        if len(message) > 1200 and not self.tcp:
            return self.header(0, flags | TRUNCATED, identity) + self.question
        return message

    def fitting(self, *records):
        """Those of the records that were asked for; a CNAME answers any question."""
        return self.answer([r for r in records if r[0] == self.type or r[0] == CNAME])

    def error(self, code):
        return self.header(0, ANSWER | code) + self.question


class Server:
    def __init__(self, host="127.0.0.1"):
        self.zones, self.queries, self.lock = {}, [], threading.Lock()
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((host, self.port))
        self.stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # forges from elsewhere
        threading.Thread(target=self.serve_udp, daemon=True).start()
        threading.Thread(target=self.serve_tcp, daemon=True).start()

    def zone_of(self, name):
        """The longest zone that holds the name."""
        labels = name.split(".")
        for first in range(len(labels)):
            zone = self.zones.get(".".join(labels[first:]))
            if zone:
                return zone
        return lambda query: [query.error(NXDOMAIN)]

    def replies(self, raw, tcp, peer):
        query = Query(raw, tcp)
        with self.lock:
            self.queries.append((query.name, query.type, query.id, peer[1]))
        return self.zone_of(query.name)(query)

    def asked(self, zone):
        with self.lock:
            return [q for q in self.queries if q[0] == zone or q[0].endswith("." + zone)]

    def serve_udp(self):
        while True:
            raw, peer = self.udp.recvfrom(4096)
            for reply in self.replies(raw, False, peer):
                if isinstance(reply, tuple):  # ("forged", message): from another port
                    self.stranger.sendto(reply[1], peer)
                else:
                    self.udp.sendto(reply[:65000], peer)

    def serve_tcp(self):
        while True:
            client, peer = self.listener.accept()
            threading.Thread(target=self.converse, args=(client, peer), daemon=True).start()

    def converse(self, client, peer):
        with client:
            try:
                client.settimeout(5)
                size, = struct.unpack(">H", client.recv(2, socket.MSG_WAITALL))
                raw = client.recv(size, socket.MSG_WAITALL)
                for reply in self.replies(raw, True, peer):
                    client.sendall(struct.pack(">H", len(reply)) + reply)
            except (OSError, struct.error):
                pass
