"""Many messages: what was accepted is delivered. (Kills in between: tests/crash.)

The number is small here; MESSAGES in the environment makes it as large as one likes.
"""
import os
import re
import signal
import subprocess
import tempfile
import time

import pytest

from lab import Relay, free_port, wait_until

MESSAGES = int(os.environ.get("MESSAGES", "2000"))
CONFIG = ("network office 127.0.0.0/8;\nrelay {{ allow from office; }}\nroute smtp 127.0.0.1:{};\n"
          "queue {{ retry 1s; lifetime 1h; }}\nlimits {{ connections-per-client 1000; }}\n"
          "deliver {{ allow-local yes; }}\ndestinations {{ connections 50; }}\n")


class PostfixSink:
    """smtp-sink, which counts what it takes."""

    def __init__(self):
        self.port = free_port()
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(["smtp-sink", "-c", "-u", "nobody", f"127.0.0.1:{self.port}", "1000"],
                                        stdout=self.output)
        wait_until(self.listens, what="smtp-sink listens")

    def listens(self):
        with open("/proc/net/tcp") as table:
            return f"0100007F:{self.port:04X} 00000000:0000 0A" in table.read()

    def messages(self):
        self.output.seek(0)
        counts = re.findall(rb"mesg=(\d+)", self.output.read())
        return int(counts[-1]) if counts else 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("options", [[], ["-d"], ["-l", "102400"], ["-r", "50"]],
                         ids=["connections", "reuse", "100K", "50-recipients"])
def test_smtp_source_to_smtp_sink(options):
    count = MESSAGES // 10 if "-r" in options or "-l" in options else MESSAGES
    with PostfixSink() as sink, Relay(CONFIG.format(sink.port)) as relay:
        source = subprocess.run(["smtp-source", "-s", "50", "-m", str(count), *options,
                                 "-f", "a@sender.example", "-t", "b@dest.example",
                                 f"127.0.0.1:{relay.port}"], capture_output=True, text=True, timeout=600)
        assert source.returncode == 0 and source.stderr == ""
        relay.wait_empty(300)
        status = relay.status()
        assert status["received"] == count
        assert sink.messages() == count
        assert status["delivered"] == count * (50 if "-r" in options else 1)
        assert relay.log_lines(" (error|failed|deferred) ") == []


def test_reload_under_load_drops_no_session():
    with PostfixSink() as sink, Relay(CONFIG.format(sink.port)) as relay:
        source = subprocess.Popen(["smtp-source", "-s", "20", "-m", str(MESSAGES), "-d",
                                   f"127.0.0.1:{relay.port}"], stderr=subprocess.PIPE, text=True)
        while source.poll() is None:
            os.kill(relay.process.pid, signal.SIGHUP)
            time.sleep(0.05)
        assert source.returncode == 0 and source.stderr.read() == ""
        relay.wait_empty(120)
        assert relay.log_lines(" reloaded ")
