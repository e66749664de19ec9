"""Reloads by the dozen, refused and accepted, and workers that are lost: nothing piles up."""
import os
import pathlib
import signal

from lab import Relay, wait_until

OPEN = "network office 127.0.0.0/8;\nrelay { allow from office; }\n"
RELOADS = 50
EVERY_BAD = 5


def descriptors(pid):
    """What the process has open, but for the segments of the spool, which come and go."""
    names = [os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
    return sorted(name.split(":")[0] for name in names if ".seg" not in name)


def reload(relay, pattern):
    before = len(relay.log_lines(pattern))
    relay.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(relay.log_lines(pattern)) > before, what=f"one more {pattern}")


def test_reloads_leave_no_descriptor():
    relay = Relay(OPEN)
    relay.log_path = relay.folder / "events"
    good = OPEN + f"log text to {relay.log_path} level info;\n"
    relay.write(good)
    with relay:
        reload(relay, "info reloaded")
        worker = relay.worker_pid()
        wait_until(lambda: relay.status()["sessions"] >= 0, what="the worker is idle")
        before = None
        for number in range(RELOADS):
            bad = number % EVERY_BAD == 0
            relay.write(good + ("nonsense;\n" if bad else ""))
            reload(relay, "error \"?not reloaded" if bad else "info reloaded")
            if number == 0:
                before = descriptors(relay.process.pid), descriptors(worker)
        wait_until(lambda: descriptors(worker) == before[1],
                   what=f"the worker's descriptors are as before: {before[1]}, "
                        f"{descriptors(worker)}")
        assert descriptors(relay.process.pid) == before[0]
        assert relay.worker_pid() == worker


def lose_worker(relay, number):
    pid = relay.worker_pid()
    os.kill(pid, number)
    wait_until(lambda: relay.worker_pid() not in (None, pid), what="a new worker")
    relay.wait_ready()


def test_a_killed_worker_is_told_and_replaced():
    with Relay(OPEN) as relay:
        lose_worker(relay, signal.SIGSYS)  # how the sandbox kills
        assert relay.log_lines('worker ended"? how="signal 31"')


def test_a_broken_file_stops_no_new_worker():
    """Somebody is still writing the file when the worker dies: what held goes on."""
    with Relay(OPEN) as relay:
        relay.write(OPEN + "nonsense;\n")
        lose_worker(relay, signal.SIGKILL)
        assert relay.log_lines("not reloaded")
        relay.write(OPEN)
        reload(relay, "info reloaded")
