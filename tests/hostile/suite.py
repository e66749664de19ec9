"""Hostile input against a mail relay on loopback: what strangers send, and what must not happen.

The relay listens on --port without AUTH and takes mail for --local-domain only; no loopback network
is trusted; all that it accepts goes to the sink that this program runs on --sink-port, and it tries
again within two seconds. Other ports are optional: submission (STARTTLS and AUTH), TLS, NNTP,
SOCKS, HTTP, status. --pid and --log-file let the suite watch memory and the log.

A line a case: PASS|FAIL|SKIP id [MUST|SHOULD] title -- evidence; the last line is JSON.
Exit: 0 no MUST failed, 1 some did, 2 cannot test, 3 out of time.
"""
import argparse
import ipaddress
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from cases import CASES, load
from context import Context
from sink import Sink
from wire import Connection, Fail, Gone, Skip, Slow, show

CRASH = re.compile(
    rb"(signal (4|6|7|8|11)\b|segfault|panic:|AddressSanitizer|UndefinedBehavior|runtime error:"
    rb"|LeakSanitizer|assert(ion)? .*fail|stack smashing|double free|corrupted (size|top)"
    rb"|fatal: .*signal)", re.I)


def parse_options(words):
    parser = argparse.ArgumentParser(description="hostile input against a mail relay on loopback")
    option = parser.add_argument
    option("--host", default="127.0.0.1")
    for name in ("port", "submission-port", "tls-port", "sink-port", "nntp-port", "socks-port",
                 "http-port", "status-port"):
        option("--" + name, type=int)
    option("--proxy-origin-port", type=int, help="loopback port that the HTTP proxy may reach")
    option("--user")
    option("--password", default="")
    option("--local-domain", default="example.test")
    option("--sink-host", default="127.0.0.1")
    option("--pid", type=int, help="main process of the relay: memory is watched")
    option("--log-file", help="log of the relay: crashes and forged lines are watched for")
    option("--only", help="regex of case ids to run")
    option("--skip", help="regex of case ids not to run")
    option("--list", action="store_true", help="list the cases and stop")
    option("--json", help="also write the summary, with every case, here")
    option("--budget", type=float, default=600, help="seconds for the whole run")
    option("--case-timeout", type=float, default=30)
    option("--deliver-wait", type=float, default=8)
    option("--retry-wait", type=float, default=15)
    option("--idle-max", type=float, default=0, help="the relay's limit for silent clients")
    option("--source-net", default="127.77",
           help='first two octets of the client addresses, "" for none')
    options = parser.parse_args(words)
    if not options.list and not (options.port and options.sink_port):
        parser.error("--port and --sink-port are needed")
    if not (options.host.startswith("127.") and options.source_net.startswith("127.")):
        options.source_net = ""
    return options


def list_cases():
    for case in CASES:
        refs = "  [%s]" % case["refs"] if case["refs"] else ""
        print("%-5s %-6s %s%s" % (case["id"], case["level"], case["title"], refs))
    print(len(CASES), "cases")


def is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def healthy(lab, seconds=10.0):
    """How long a new client waits for 220 and 250, and what went wrong: (seconds or None, text)."""
    began, trouble = time.monotonic(), ""
    while time.monotonic() - began < seconds:
        try:
            client = Connection(lab, lab.options.port, 4.0, lab.new_source())
            reply = client.reply()
            if reply.code == 220 and client.ehlo().code == 250:
                client.close()
                return time.monotonic() - began, ""
            trouble = "%r" % reply
            client.close()
        except (Gone, Slow, Fail) as error:
            trouble = str(error)
        time.sleep(0.25)
    return None, trouble


def judge(case, lab):
    """(status, evidence) of the function alone."""
    try:
        return "PASS", case["function"](lab) or "ok"
    except Skip as error:
        return "SKIP", str(error)
    except Fail as error:
        return "FAIL", str(error)
    except Gone as error:
        return "FAIL", "connection lost where an answer was due: %s" % error
    except Slow as error:
        return "FAIL", "no answer in time (%s)" % error
    except Exception as error:  # a fault of the suite must not pass for one of the relay
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "FAIL", "suite error %s: %s at %s:%d" % (
            type(error).__name__, error, os.path.basename(place.filename), place.lineno)


def run_case(case, lab):
    """The case in its own time, then the relay's health and log: (status, evidence)."""
    lab.connections, lab.source, lab.patient = [], lab.new_source(), True
    log_at, box = lab.log_size(), []
    thread = threading.Thread(target=lambda: box.append(judge(case, lab)), daemon=True)
    limit = case["timeout"] or lab.options.case_timeout
    thread.start()
    thread.join(limit)
    if thread.is_alive():
        box.append(("FAIL", "case did not finish in %.0fs" % limit))
    status, evidence = box[0]
    flaws = [flaw for client in lab.connections for flaw in client.reply_flaws]
    for client in list(lab.connections):
        client.close()
    thread.join(3)
    lab.sink.mode, lab.sink.loop = "normal", None
    if status == "PASS" and flaws:
        status, evidence = "FAIL", flaws[0]
    status, evidence = check_health(lab, status, evidence)
    crash = CRASH.search(lab.log_since(log_at))
    if crash:
        status, evidence = "FAIL", evidence + "; CRASH TEXT IN LOG: " + show(crash.group(0))
    return status, evidence


def check_health(lab, status, evidence):
    waited, trouble = healthy(lab)
    if waited is None:
        return "FAIL", evidence + "; SERVER DEAD OR HUNG AFTERWARDS: " + trouble
    if waited > 3:
        evidence += "; note: next client waited %.1fs" % waited
        status = "FAIL" if status == "PASS" else status
    return status, evidence


def greet(lab):
    """The greeting and what EHLO offers; the limit of SIZE is kept."""
    client = Connection(lab, lab.options.port)
    greeting = show(client.reply().raw.strip(), 80)
    client.ehlo()
    match = re.match(rb"SIZE\s+(\d+)", client.caps.get("SIZE", b"").upper())
    lab.size_limit = int(match.group(1)) if match else 0
    print("target %s:%d  %s" % (lab.options.host, lab.options.port, greeting))
    print("extensions: " + " ".join(sorted(client.caps)), flush=True)
    client.close()
    return greeting


class Report:
    def __init__(self, options):
        self.options, self.began = options, time.monotonic()
        self.results, self.greeting = [], ""

    def add(self, case, status, evidence, began):
        result = {key: case[key] for key in ("id", "level", "title", "refs")}
        result.update(status=status, evidence=evidence,
                      seconds=round(time.monotonic() - began, 2))
        self.results.append(result)
        print("%s %s [%s] %s -- %s (%.1fs)" % (
            status, case["id"], case["level"], case["title"], evidence, result["seconds"]),
            flush=True)

    def failed(self, level):
        return [r["id"] for r in self.results if r["status"] == "FAIL" and r["level"] == level]

    def write(self, note=""):
        count = {status: sum(r["status"] == status for r in self.results)
                 for status in ("PASS", "FAIL", "SKIP")}
        summary = {
            "tool": "suite.py", "target": "%s:%d" % (self.options.host, self.options.port),
            "greeting": self.greeting, "total": len(self.results), "passed": count["PASS"],
            "failed": count["FAIL"], "skipped": count["SKIP"],
            "must_failed": self.failed("MUST"), "should_failed": self.failed("SHOULD"),
            "seconds": round(time.monotonic() - self.began, 1), "note": note,
            "cases": self.results}
        if self.options.json:
            with open(self.options.json, "w") as file:
                json.dump(summary, file, indent=1)
        print(json.dumps(dict(summary, cases=len(self.results))), flush=True)


def chosen(options):
    """The cases asked for, those that change the next hop last."""
    for case in sorted(CASES, key=lambda case: case["last"]):
        wanted = not options.only or re.search(options.only, case["id"])
        if wanted and not (options.skip and re.search(options.skip, case["id"])):
            yield case


def run_cases(lab, report):
    dead = ""
    for case in chosen(lab.options):
        began = time.monotonic()
        if not dead and began - report.began > lab.options.budget:
            dead = "time budget used up"
        if dead:
            report.add(case, "SKIP", dead, began)
            continue
        status, evidence = run_case(case, lab)
        if "SERVER DEAD" in evidence and healthy(lab, 20)[0] is None:
            dead = "relay no longer answers (since %s)" % case["id"]
        if case["id"] == "B01" and status != "PASS":
            dead = "baseline delivery does not work"
        report.add(case, status, evidence, began)
    return dead


def watch_time(report):
    def give_up():
        print("WATCHDOG: budget exceeded, giving up", flush=True)
        report.write("watchdog")
        os._exit(3)

    timer = threading.Timer(report.options.budget + 90, give_up)
    timer.daemon = True
    timer.start()


def run(options, folder):
    report = Report(options)
    watch_time(report)
    try:
        sink = Sink(options.sink_host, options.sink_port)
    except OSError as error:
        print("cannot listen on the sink port %d: %s" % (options.sink_port, error))
        return 2
    try:
        sink.make_certificate(folder)
    except (OSError, subprocess.SubprocessError, ssl.SSLError) as error:
        print("no certificate for the sink: %s" % error)
    lab = Context(options, sink)
    waited, trouble = healthy(lab, 5)
    if waited is None:
        print("cannot talk to the relay: " + trouble)
        return 2
    lab.source = lab.new_source()
    report.greeting = greet(lab)
    dead = run_cases(lab, report)
    report.write()
    sink.close()
    if dead.startswith("baseline"):
        return 2
    return 1 if report.failed("MUST") else 0


def main(words):
    load()
    options = parse_options(words)
    if options.list:
        list_cases()
        return 0
    for host in (options.host, options.sink_host):
        if not is_loopback(host):
            print("refused: %s is not a loopback address; only a local server is tested" % host)
            return 2
    folder = tempfile.mkdtemp(prefix="hostile-")
    try:
        return run(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # threads that still wait on a socket do not matter any more
