"""The two pairs of source and sink: Postfix's, which everybody knows, and ours, which cost less.

Each pair is made for one case and one run. `send` returns when the source has all its replies, `wait`
when the sink has everything; both say how many seconds after `begin` that was.
"""
import json
import resource
import subprocess
import sys
import time

from relays import PROGRAM, free_port, is_open, wait_until

LOAD = PROGRAM.parent / "bench" / "load" / "load"  # of the same build


def children_cpu():
    """Of the children that have ended: of the source, if that is the only one between two calls."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class PostfixTools:
    name = "smtp-source and smtp-sink"
    columns = []

    def __init__(self, case, is_direct):
        # With -M smtp-sink leaves before its last reply. A relay tries again; smtp-source would complain
        # and sleep for a second, and the chain without a relay seem slower than it is.
        self.case, self.port, self.is_direct = case, free_port(), is_direct
        self.sink = subprocess.Popen(["smtp-sink", "-u", "nobody",
                                      *([] if is_direct else ["-M", str(case.messages)]),
                                      f"127.0.0.1:{self.port}", "1000"], stdout=subprocess.DEVNULL)
        wait_until(lambda: is_open(self.port), what="smtp-sink listens")

    def send(self, port, begin):
        case = self.case
        command = ["smtp-source", "-s", str(case.sessions), "-m", str(case.messages), "-l", str(case.size),
                   "-f", "src@a.example", "-t", "dst@b.example"]
        command += ["-r", str(case.recipients)] if case.recipients > 1 else []
        command += ["-d"] if case.reuse else []
        source = subprocess.run([*command, f"127.0.0.1:{port}"], capture_output=True, text=True)
        accepted = time.monotonic() - begin
        if source.returncode or source.stderr:
            sys.exit(f"smtp-source: {source.stderr}")
        return accepted, {}

    def wait(self, begin):
        if not self.is_direct:
            self.sink.wait(600)
        return time.monotonic() - begin

    def stop(self):
        if self.sink.poll() is None:
            self.sink.kill()
        self.sink.wait()


class LoadTools:
    name = "load send and load sink"
    columns = ["p50 us", "p99 us", "reply p50", "reply p99"]

    def __init__(self, case, is_direct):
        del is_direct  # load sink gives its last reply, then leaves
        self.case = case
        self.recipients = case.messages * case.recipients
        self.sink = subprocess.Popen([LOAD, "sink", "--recipients", str(self.recipients), "127.0.0.1:0"],
                                     stdout=subprocess.PIPE, text=True)
        self.port = int(self.sink.stdout.readline().rsplit(":", 1)[1])

    def send(self, port, begin):
        case = self.case
        command = [LOAD, "send", "--json", "--sessions", str(case.sessions), "--messages", str(case.messages),
                   "--size", str(case.size), "--recipients", str(case.recipients),
                   "--domains", str(case.domains), "--reuse", "0" if case.reuse else "1"]
        command += ["--rate", str(case.rate)] if case.rate else []
        source = subprocess.run([*command, f"127.0.0.1:{port}"], capture_output=True, text=True)
        if source.returncode:
            sys.exit(f"load send: {source.stdout}{source.stderr}")
        report = json.loads(source.stdout)
        latency, reply = report["latency_us"], report["reply_us"]
        return report["seconds"], {"p50 us": latency["p50"], "p99 us": latency["p99"],
                                   "reply p50": reply["p50"], "reply p99": reply["p99"]}

    def wait(self, begin):
        output, _ = self.sink.communicate(timeout=600)
        counts = json.loads(output)
        # The honesty of all the rest: what was accepted is what arrived.
        if counts["recipients"] != self.recipients:
            sys.exit(f"load sink: {counts['recipients']} recipients, not {self.recipients}")
        return counts["last_s"] - begin

    def stop(self):
        if self.sink.poll() is None:
            self.sink.kill()
        self.sink.wait()
        self.sink.stdout.close()
