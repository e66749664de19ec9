"""bench/load keeps honest count: checked against Postfix's smtp-source and smtp-sink, and through the relay.

A figure from a benchmark is worth what its counts are worth, so every message is accounted for at both
ends, by token where both ends know tokens.
"""
import json
import pathlib
import re
import signal
import subprocess

from lab import PROGRAM, Relay, free_port, wait_until

LOAD = PROGRAM.parent / "bench" / "load" / "load"  # of the same build
CONFIG = """network local 127.0.0.0/8;
relay {{ allow from local; }}
route smtp 127.0.0.1:{sink};
deliver {{ allow-local yes; }}
limits {{ connections-per-client 1000; }}
"""


class LoadSink:
    """`load sink` on a port of its own; `counts` after stop() is what it printed."""

    def __init__(self, *options):
        self.process = subprocess.Popen([LOAD, "sink", *options, "127.0.0.1:0"],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.counts = None

    def ask(self):
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.counts = json.loads(self.process.stdout.read())
        assert self.process.wait(10) == 0
        return self.counts

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def send(port, *options, status=0):
    result = subprocess.run([LOAD, "send", "--json", "--timeout", "20", *options, f"127.0.0.1:{port}"],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == status, result.stdout + result.stderr
    return json.loads(result.stdout)


def tokens_in(path):
    tokens = path.read_text().split()
    assert len(tokens) == len(set(tokens)), "a token came twice"
    return set(tokens)


def test_send_agrees_with_smtp_sink(tmp_path):
    port = free_port()
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", "-R", tmp_path, "-d", "mail.", f"127.0.0.1:{port}",
                             "100"])
    try:
        wait_until(lambda: f":{port:04X} " in pathlib.Path("/proc/net/tcp").read_text(), what="smtp-sink listens")
        mine = tmp_path / "tokens"
        report = send(port, "--messages", "300", "--sessions", "10", "--reuse", "7", "--recipients", "3",
                      "--size", "2k", "--tokens", mine)
        more = send(port, "--messages", "50", "--sessions", "3", "--no-pipelining")
        files = [path.read_text() for path in tmp_path.glob("mail.*")]
    finally:
        sink.kill()
        sink.wait()
    assert report["accepted"] == 300 and report["recipients"] == 900
    assert more["accepted"] == more["connections"] == 50
    assert len(files) == 350
    theirs = [re.search("^X-Load-Token: (.*)$", text, re.M)[1] for text in files]
    assert len(set(theirs)) == 350
    assert tokens_in(mine) <= set(theirs)
    assert sum(len(re.findall("^X-Rcpt-Args:", text, re.M)) for text in files) == 950


def test_sink_agrees_with_smtp_source():
    with LoadSink("--threads", "2") as sink:
        for options in (["-m", "300"], ["-m", "200", "-d"], ["-m", "100", "-r", "5"]):
            subprocess.run(["smtp-source", "-s", "10", "-l", "4096", "-f", "a@a.example", "-t", "b@b.example",
                            *options, f"127.0.0.1:{sink.port}"], check=True)
        counts = sink.stop()
    assert counts["messages"] == 600
    assert counts["recipients"] == 300 + 200 + 100 * 5
    assert counts["connections"] == 300 + 10 + 100
    assert counts["bytes"] > 600 * 4096
    assert counts["broken_off"] == counts["bad_commands"] == 0


def test_octets_agree_however_they_travel():
    ways = [[], ["--bdat"], ["--no-pipelining"], ["--no-pipelining", "--bdat"], ["--threads", "2"]]
    for way in ways:
        with LoadSink() as sink:
            report = send(sink.port, "--messages", "200", "--sessions", "10", "--reuse", "3",
                          "--size", "1k:5,10k:4,300k:1", "--domains", "7", "--sources", "20", *way)
            counts = sink.stop()
        for key in ("bytes", "recipients", "connections"):
            assert report[key] == counts[key], (way, key)
        assert report["accepted"] == counts["messages"] == 200


def test_through_the_relay_to_the_message(tmp_path):
    sent, arrived = tmp_path / "sent", tmp_path / "arrived"
    with LoadSink("--tokens", arrived) as sink, Relay(CONFIG.format(sink=sink.port)) as relay:
        all_sent = set()
        for options in (["--reuse", "0"], ["--bdat", "--reuse", "3"], ["--recipients", "20", "--domains", "20"]):
            report = send(relay.port, "--messages", "200", "--sessions", "20", "--tokens", sent, *options)
            assert report["accepted"] == report["latency_us"]["count"] == 200
            all_sent |= tokens_in(sent)
        relay.wait_empty()
        asked = sink.ask()
        assert asked["messages"] == len(arrived.read_text().splitlines())
        counts = sink.stop()
    assert len(all_sent) == 600
    # A message with recipients at many domains may come in several parts, each with its token.
    lines = arrived.read_text().split()
    assert set(lines) == all_sent
    assert len(lines) == counts["messages"]
    assert counts["recipients"] == 200 + 200 + 200 * 20


def test_refusals_are_counted_by_class():
    with LoadSink("--tempfail", "0.25", "--permfail", "0.125") as sink:
        report = send(sink.port, "--messages", "800", "--sessions", "8", "--reuse", "10", status=1)
        counts = sink.stop()
    assert report["refused"] == counts["refused"]
    assert report["refused"]["4yz"] == 200
    assert report["accepted"] == counts["messages"] == 800 - 200 - report["refused"]["5yz"]
    for way in ([], ["--bdat"], ["--no-pipelining"], ["--no-pipelining", "--bdat"]):
        with LoadSink("--tempfail", "0.5", "--fail-at", "rcpt") as sink:
            report = send(sink.port, "--messages", "100", "--reuse", "0", *way, status=1)
            counts = sink.stop()
        assert report["refused"] == {"4yz": 50, "5yz": 0}, way
        assert report["accepted"] == counts["messages"] == 50, way
        assert sum(report["errors"].values()) == counts["bad_commands"] == 0, way


def test_a_stall_is_seen_by_those_who_waited():
    """Twenty messages due within 20 ms at a sink that takes 20 ms for each: the last waited for all."""
    with LoadSink("--delay", "20") as sink:
        report = send(sink.port, "--messages", "20", "--sessions", "1", "--rate", "1000", "--reuse", "5")
    assert report["accepted"] == 20
    assert report["latency_us"]["max"] >= 20 * 20000 - 19 * 1000
    assert report["reply_us"]["p50"] >= 20000


def test_errors_have_names():
    nobody = send(free_port(), "--messages", "5", status=1)
    assert nobody["errors"]["not_connected"] == 5 and nobody["accepted"] == 0
    with LoadSink("--delay", "5000") as sink:
        late = send(sink.port, "--messages", "1", "--timeout", "0.5", status=1)
    assert late["errors"]["timed_out"] == 1
    # The sink leaves after three; whoever comes later is sent away, cut off, or finds nobody.
    with LoadSink("--messages", "3") as sink:
        cut = send(sink.port, "--messages", "10", "--reuse", "0", status=1)
        counts = json.loads(sink.process.stdout.read())
        assert sink.process.wait(10) == 0
    assert cut["accepted"] == counts["messages"] == 3
    assert sum(cut["errors"].values()) + cut["refused"]["4yz"] == 7


def test_idle_connections_are_held():
    with LoadSink() as sink:
        held = send(sink.port, "--idle", "--sessions", "500", "--seconds", "1")
        asked = sink.ask()
        counts = sink.stop()
    assert held["held"] == held["connections"] == asked["connections"] == counts["connections"] == 500
