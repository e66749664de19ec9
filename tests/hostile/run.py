"""The suite against the relay as it comes: a listener, a domain, a rule, a route, quick retries.

Families that mostly wait run side by side, each against a relay and a sink of its own. The test
fails if a case fails, MUST or SHOULD; if one is skipped that is not in MAY_SKIP; if one in MAY_SKIP
is not skipped any more, so that the list can only shrink; if the log or the exit tells of a crash.

    run.py [--only REGEX]     OPENRELAY: the program to test, a sanitized one too
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))

from cases import CASES, load
from lab import Relay, free_port
from suite import CRASH

CONFIG = """
domain ours example.test;
relay { allow to ours; }
route smtp 127.0.0.1:%d;
queue { retry 1s; }
"""
# RS08 looks at the limit for silent clients, which is five minutes where it is not set.
IMPATIENT = CONFIG + "limits { command-timeout 2s; }\n"

# A site that could not be reached is left alone for 10 seconds, whatever the queue's retry says.
RETRY_WAIT_S = "30"

# A name, the cases, the configuration, further words for the suite.
GROUPS = [
    ("content", r"B0|BD|SM|HD", CONFIG, []),
    ("commands", r"PR|OR|LG", CONFIG, []),
    ("resources", r"RS0[1-7]|RS09", CONFIG, []),
    ("bounces", r"BS", CONFIG, []),
    ("replies", r"CL0[1-5]", CONFIG, []),
    ("connections", r"CL0[6-9]", CONFIG, []),
    ("silence", r"RS08", IMPATIENT, ["--idle-max", "10"]),
    ("absent", r"TL|AU|NN|SX|HP|WB", CONFIG, []),
]

NO_TLS = "there is no STARTTLS and no TLS listener yet"
NO_AUTH = "there is no AUTH yet"
MAY_SKIP = {
    r"TL\d\d|BD07|RS09|CL08": NO_TLS,
    r"AU\d\d": NO_AUTH,
    r"NN\d\d": "there is no NNTP relay yet",
    r"SX\d\d": "there is no SOCKS proxy yet",
    r"HP\d\d": "there is no HTTP proxy yet",
    r"WB\d\d": "there is no status page yet",
}


def reason(identity):
    """Why the case may be skipped, or None."""
    found = [text for pattern, text in MAY_SKIP.items() if re.fullmatch(pattern, identity)]
    return found[0] if found else None


class Group(threading.Thread):
    """One relay, one sink, some cases."""

    def __init__(self, number, name, pattern, config, words, only):
        super().__init__()
        self.number, self.name, self.pattern = number, name, pattern
        self.config, self.words = config, words + (["--only", only] if only else [])
        self.results, self.trouble = [], []

    def run(self):
        sink_port = free_port()
        relay = Relay(self.config % sink_port)
        try:
            relay.start()
            self.run_suite(relay, sink_port)
            if relay.stop() != 0:
                self.trouble.append("the relay ended with status %s" % relay.process.returncode)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            self.trouble.append("%s: %s" % (type(error).__name__, error))
            relay.stop()
        crash = CRASH.search(relay.log_text().encode())
        if crash:
            self.trouble.append("the log says %s, see %s" % (crash.group(0), relay.log_path))
        if not self.trouble and all(result["status"] != "FAIL" for result in self.results):
            shutil.rmtree(relay.folder)

    def run_suite(self, relay, sink_port):
        summary = relay.folder / "summary.json"
        command = [
            sys.executable, HERE / "suite.py", "--port", str(relay.port), "--sink-port",
            str(sink_port), "--pid", str(relay.process.pid), "--log-file", relay.log_path,
            "--source-net", "127.%d" % (80 + self.number), "--retry-wait", RETRY_WAIT_S,
            "--json", summary, *self.words]
        if "--only" not in self.words:
            command += ["--only", "^(%s)" % self.pattern]
        else:
            command += ["--skip", "^(?!%s)" % self.pattern]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if summary.exists():
            self.results = json.loads(summary.read_text())["cases"]
        if done.returncode not in (0, 1):
            self.trouble.append("the suite ended with %d: %s" % (done.returncode, done.stdout))


def faults(groups, only):
    """What keeps the run from being a success, a line each."""
    results = {}
    for group in groups:
        for text in group.trouble:
            yield "%s: %s" % (group.name, text)
        for result in group.results:
            results[result["id"]] = result
    for case in CASES:
        identity = case["id"]
        if only and not re.search(only, identity):
            continue
        result = results.get(identity)
        if result is None:
            yield "%s did not run" % identity
        elif result["status"] == "FAIL":
            yield "%s FAILED: %s" % (identity, result["evidence"])
        elif result["status"] == "SKIP" and reason(identity) is None:
            yield "%s was skipped and must run: %s" % (identity, result["evidence"])
        elif result["status"] != "SKIP" and reason(identity) is not None:
            yield "%s runs now: take it out of MAY_SKIP (%s)" % (identity, reason(identity))


def show(groups):
    count = {"PASS": 0, "FAIL": 0, "SKIP": 0}
    for result in (result for group in groups for result in group.results):
        count[result["status"]] += 1
        why = reason(result["id"]) if result["status"] == "SKIP" else None
        print("%-4s %-4s [%s] %s -- %s (%.1fs)" % (
            result["status"], result["id"], result["level"], result["title"],
            why or result["evidence"], result["seconds"]))
    print("%(PASS)d passed, %(FAIL)d failed, %(SKIP)d skipped" % count)


def main():
    parser = argparse.ArgumentParser(description="hostile input against the real relay")
    parser.add_argument("--only", help="regex of case ids")
    only = parser.parse_args().only
    load()
    groups = [Group(number, *group, only) for number, group in enumerate(GROUPS)
              if not only or any(re.match(group[1], case["id"]) and re.search(only, case["id"])
                                 for case in CASES)]
    for group in groups:
        group.start()
    for group in groups:
        group.join()
    show(groups)
    found = list(faults(groups, only))
    for text in found:
        print("FAULT", text)
    sys.stdout.flush()
    os._exit(1 if found else 0)


if __name__ == "__main__":
    main()
