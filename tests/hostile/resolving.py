"""Hostile name servers: every zone of `zones.py` has a message of its own, all at once. [REGEX]

Runs in a network of its own (root; SKIP otherwise), where every address of 192.0.2.0/24 and
11.0.0.0/24 is at home, with one next hop that listens on port 25 of all of them: it sees where the
relay connects to, and only the honest host may be. For each zone the first attempt has one of the
expected outcomes. The whole may cost the relay 50 ms of processor time a zone, and 100 questions.
Reverse names (D9) are looked up for a rule; nothing of them may reach a reply or the log raw.
"""
import ctypes
import fcntl
import os
import pathlib
import re
import smtplib
import socket
import struct
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))

from attempts import DELIVERED, FAILED, attempts, message
from dns import PTR, Server, address, wire
from hop import Hop
from lab import Relay, Sink, wait_until
from suite import CRASH
from wire import Connection, Fail, Gone, Slow
from zones import HONEST, OURS, all_zones

CONFIG = """
network tests 127.0.0.0/8 11.0.0.0/24;
listen smtp %s:2525;
connect { refuse reverse trusted.example; }
relay { allow from tests; }
queue { retry 1s; warn-after 0; }
resolver { forward 127.0.0.1:%%d; timeout 2s; }
deliver { connect-timeout 2s; }
route to back.example smtp 127.0.0.1:%%d;
""" % OURS
# The status in the report to the sender, by what the zone's name says (RFC 3463, RFC 7505).
STATUS = {"our own address": b"5.4.6", "127.0.0.1": b"5.4.6", "null MX": b"5.1.10",
          "MX at": b"5.4.4", "no MX, address": b"5.4.4"}
MOST_CPU_S, MOST_QUESTIONS = 0.05, 100
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK, IFF_UP = 0x8913, 0x8914, 0x8916, 0x891C, 1

# D9: names that 11.0.0.10 and on claim to have. The last is the one of the rule, and is confirmed.
REVERSE = [
    ("line ends", [b"\x0aa\r\nb: c\r\nx\x07example\0"]), ("ESC", [b"\x06\x1b[31mx\x07example\0"]),
    ("NUL", [b"\x03a\0b\x07example\0"]), ("format", [wire("%n%s%n.example")]),
    ("8-bit", [b"\x04\xff\xfe\xc3(\x00"]), ("long", [wire(".".join(["a" * 60] * 4))]),
    ("a loop", [b"\xc0\x0c"]), ("brackets", [wire("x) (by evil [1.2.3.4].example")]),
    ("forged", [wire("trusted.example")]), ("many", [wire("n%d.example" % n) for n in range(40)]),
    ("empty", [b"\0"]), ("the real one", [wire("trusted.example")])]


def enter_network():
    """A new, empty network for this process and what it starts; False if that is not allowed."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        def set_address(request, name, text):
            data = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(text))
            fcntl.ioctl(door, request, data)

        flags = struct.unpack("16sH", fcntl.ioctl(
            door, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))[:18])[1]
        fcntl.ioctl(door, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
        for name, text in ((b"lo:1", OURS), (b"lo:2", "11.0.0.1")):
            set_address(SIOCSIFADDR, name, text)
            set_address(SIOCSIFNETMASK, name, "255.255.255.0")
    return True


def cpu_seconds(pid):
    """Of all threads of the process, in user and in kernel."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Client:
    """What wire.Connection wants to know of the one who connects."""

    class options:
        host = OURS

    def __init__(self):
        self.source, self.connections = None, []


def reverse_zones(server):
    for number, (_, names) in enumerate(REVERSE):
        def zone(query, names=names):
            return [query.answer([(PTR, name) for name in names] if query.type == PTR else [])]
        server.zones["%d.0.0.11.in-addr.arpa" % (10 + number)] = zone
    genuine = "11.0.0.%d" % (10 + len(REVERSE) - 1)
    server.zones["trusted.example"] = lambda query: [query.fitting(address(genuine))]


def check_reverse(relay):
    """A line for each reverse name that did harm."""
    for number, (name, _) in enumerate(REVERSE):
        lab = Client()
        genuine = number == len(REVERSE) - 1
        try:
            client = Connection(lab, 2525, 20, "11.0.0.%d" % (10 + number))
            greeting = client.reply()
        except (Fail, Gone, Slow) as error:
            yield "D9 %s: %s" % (name, error)
            continue
        if (greeting.code // 100 == 5) != genuine:
            yield "D9 %s: greeted with %r" % (name, greeting)
        yield from ("D9 %s: %s" % (name, flaw) for flaw in client.reply_flaws)
        client.close()
    raw = re.search(r"[\x00-\x08\x0b-\x1f\x7f]", relay.log_path.read_bytes().decode("latin1"))
    if raw:
        yield "D9: the log holds %r" % raw.group(0)


def reported(sink, domain, name):
    """One report to the sender, with the status that belongs to the zone's name, if one does."""
    reports = [content for _, _, content in sink.messages if b"r@" + domain.encode() in content]
    wanted = [status for part, status in STATUS.items() if part in name][:1]
    return len(reports) == 1 and all(
        re.search(rb"(?mi)^Status: %s\r$" % re.escape(status), reports[0]) for status in wanted)


def check_zones(relay, server, sink, cases):
    log = relay.log_text()
    for domain, identity, name, _, outcomes, hosts in cases:
        lines = attempts(log, domain)
        questions = len(server.asked(domain))
        fault = ""
        if not lines or lines[0][0] not in outcomes:
            fault = "not %s: %s" % ("/".join(outcomes), lines[:1])
        elif lines[0][0] == FAILED and not reported(sink, domain, name):
            fault = "no report to the sender with the right status"
        elif questions > MOST_QUESTIONS:
            fault = "%d questions" % questions
        print(domain, "FAIL" if fault else "PASS", identity, name, "--",
              fault or "%s, %d questions" % (lines[0][0], questions))
        if fault:
            yield "%s %s: %s" % (identity, name, fault)


def check_guesses(server):
    """D10: ids and ports of the questions are not to be guessed."""
    identities = {query[2] for query in server.queries}
    ports = {query[3] for query in server.queries}
    if min(len(identities), len(ports)) < 0.8 * len(server.queries):
        yield "D10: %d questions had %d ids from %d ports" % (
            len(server.queries), len(identities), len(ports))


def check_addresses(hop):
    wrong = {a.replace("::ffff:", "") for a in hop.addresses} - {HONEST}
    if wrong:
        yield "D1: the relay connected to %s" % ", ".join(sorted(wrong))


def send(relay, cases):
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example", timeout=20) as client:
        for number, case in enumerate(cases):
            if number % 50 == 49:
                client.quit()
                client.connect("127.0.0.1", relay.port)
            client.sendmail("s@back.example", ["r@" + case[0]], message(case[0].encode()))


def warm_up(relay, sink):
    """The first message pays for the files of the spool."""
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example", timeout=20) as client:
        client.sendmail("s@back.example", ["r@back.example"], message(b"first"))
    sink.wait(1)
    time.sleep(1)


def settle(relay, cases):
    """Waits for every first attempt, then for the one that must get better."""
    for case in cases:
        wait_until(lambda: attempts(relay.log_text(), case[0]), 60, "%s %s" % case[1:3])
    for better in [case[0] for case in cases if case[2] == "SERVFAIL, later right"]:
        def delivered():
            relay.command("queue", "retry", "--all", check=False)
            time.sleep(1)
            return any(outcome == DELIVERED for outcome, _ in attempts(relay.log_text(), better))
        wait_until(delivered, 30, "mail for a domain whose name server recovers")


def main():
    if not enter_network():
        print("SKIP: a network of its own needs root")
        sys.exit(77)
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    cases = [case for case in all_zones() if re.search(wanted, case[2])]
    server = Server()
    server.zones = {case[0]: case[3] for case in cases}
    reverse_zones(server)
    hop = Hop({}, listener=socket.create_server(
        ("::", 25), family=socket.AF_INET6, dualstack_ipv6=True, backlog=100))
    with Sink() as sink, Relay(CONFIG % (server.port, sink.port)) as relay:
        worker = relay.worker_pid()
        warm_up(relay, sink)
        began = cpu_seconds(worker)
        send(relay, cases)
        settle(relay, cases)
        cost = (cpu_seconds(worker) - began) / len(cases)
        found = [*check_zones(relay, server, sink, cases), *check_reverse(relay),
                 *check_guesses(server), *check_addresses(hop)]
        if cost > MOST_CPU_S:
            found.append("%.0f ms of processor time a zone" % (cost * 1000))
        same = relay.worker_pid() == worker
        relay.stop()
        crash = CRASH.search(relay.log_text().encode())
        if not same or crash:
            found.append("the worker is %s, the log says %s" % (
                "the same" if same else "another", crash and crash.group(0)))
        print("SKIP D6 D7 D8: there is no SPF, DKIM or DMARC yet")
        print("%d zones, %d reverse names, %d questions, %.1f ms of processor time a zone" % (
            len(cases), len(REVERSE), len(server.queries), cost * 1000))
    for text in found:
        print("FAULT", text)
    sys.stdout.flush()
    os._exit(1 if found else 0)


if __name__ == "__main__":
    main()
