"""Hostile next hops: every dialogue of `dialogues.py` at once, each with a domain of its own.

For each: the first attempt has one of the expected outcomes; a message that was deferred is
delivered by the second; whoever said 250 has the content octet for octet, once; a failure is
reported to the sender, once. In the end nothing is queued, the worker is the one that was started,
and no dialogue took many connections.
"""
import os
import pathlib
import shutil
import smtplib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))

from attempts import DEFERRED, DELIVERED, FAILED, attempts, message
from dialogues import all_dialogues
from hop import Hop
from lab import Relay, Sink, wait_until
from suite import CRASH

# Short, so that silence ends within the test. The rule lets the test's own client through.
CONFIG = """
network tests 127.0.0.0/8;
relay { allow from tests; }
queue { retry 500ms; warn-after 0; }
deliver {
    greeting-timeout 3s; envelope-timeout 3s; data-timeout 3s; content-timeout 3s; final-timeout 3s;
}
route to back.example smtp 127.0.0.1:%d;
"""
MOST_CONNECTIONS = 6
BODY = b".\r\n..\r\n.x\r\n" + b"z" * 990 + b"\r\n\r\n..end\r\n"
LONG = (b"." + b"0123456789" * 7 + b"\r\n") * 60000  # more than all buffers on the way


class Case:
    def __init__(self, identity, name, outcomes, dialogue, options):
        self.identity, self.name, self.outcomes = identity, name, outcomes
        options = dict(options)
        self.others = options.pop("others", ())  # recipients beside r, which all goes well with
        self.hop = Hop(dialogue, **options)
        self.domain = identity.lower() + ".example"
        self.content = message(identity.encode(), BODY + (LONG if "content" in dialogue else b""))

    def route(self):
        way = "lmtp" if self.hop.lmtp else "smtp"
        return "route to %s %s 127.0.0.1:%d;" % (self.domain, way, self.hop.port)

    def faults(self, log, bounces):
        lines = attempts(log, self.domain)
        found = [outcome for outcome, _ in lines]
        first = found[0] if found else "nothing"
        last = found[-1] if found else "nothing"
        if first not in self.outcomes:
            yield "the first attempt was %s, not %s: %s" % (
                first, "/".join(self.outcomes), lines[:1])
        if last != (FAILED if first == FAILED else DELIVERED):
            yield "the last attempt was %s (%s)" % (last, found)
        if last == DELIVERED and found.count(DELIVERED) != 1:
            yield "logged as delivered %d times" % found.count(DELIVERED)
        expected = 1 + (first == DEFERRED and self.hop.accepts)
        if last == DELIVERED and self.times("r") != expected:
            yield "the hop has taken it %d times" % self.times("r")
        for local in self.others:
            outcomes = [outcome for outcome, _ in attempts(log, self.domain, local)]
            if outcomes != [DELIVERED] or self.times(local) != 1:
                yield "%s: %s, taken %d times" % (local, outcomes, self.times(local))
        for _, content in self.hop.stored:
            if not content.endswith(self.content):
                yield "the content differs: %r ... %r" % (content[:60], content[-60:])
        reports = [content for content in bounces if self.domain.encode() in content]
        if len(reports) != (last == FAILED):
            yield "%d reports to the sender" % len(reports)
        if self.hop.connections > MOST_CONNECTIONS:
            yield "%d connections" % self.hop.connections
        if self.hop.swallowed:
            yield "the relay took %d bytes of one reply" % self.hop.swallowed


    def times(self, local):
        """How often the hop has taken the message for this recipient."""
        return sum(local + "@" + self.domain in rcpts for rcpts, _ in self.hop.stored)


def send(relay, cases):
    with smtplib.SMTP("127.0.0.1", relay.port, "client.example", timeout=20) as client:
        for number, case in enumerate(cases):
            if number % 50 == 49:
                client.quit()
                client.connect("127.0.0.1", relay.port)
            rcpts = [local + "@" + case.domain for local in ("r", *case.others)]
            client.sendmail("s@back.example", rcpts, case.content)


def settle(relay, cases):
    """Waits for every first attempt, then for every message; rests after failures are cut short."""
    for case in cases:
        wait_until(lambda: case.hop.first_done.is_set() or attempts(relay.log_text(), case.domain),
                   60, "the first attempt of %s %s" % (case.identity, case.name))
    deadline = time.monotonic() + 60
    while relay.status()["queued_messages"] and time.monotonic() < deadline:
        relay.command("queue", "retry", "--all", check=False)
        time.sleep(0.5)


def main():
    cases = [Case(*row) for row in all_dialogues()]
    failures = 0
    with Sink() as sink:
        relay = Relay(CONFIG % sink.port + "\n".join(case.route() for case in cases))
        relay.start()
        worker = relay.worker_pid()
        send(relay, cases)
        settle(relay, cases)
        queued = relay.status()["queued_messages"]
        same = relay.worker_pid() == worker
        relay.stop()
        log = relay.log_text()
        bounces = [content for _, _, content in sink.messages]
        for case in cases:
            faults = list(case.faults(log, bounces))
            print(case.identity, "FAIL" if faults else "PASS", case.name, "--", "; ".join(faults))
            failures += bool(faults)
    crash = CRASH.search(log.encode())
    if queued or not same or crash:
        failures += 1
        print("FAIL: %d still queued, worker %s, log says %s" % (
            queued, "the same" if same else "another", crash and crash.group(0)))
    print("%d dialogues, %d failures; log %s" % (len(cases), failures, relay.log_path))
    if not failures:
        shutil.rmtree(relay.folder)
    sys.stdout.flush()
    os._exit(1 if failures else 0)


if __name__ == "__main__":
    main()
