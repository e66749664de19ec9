"""The relays that are measured, each in a folder of its own, and what a relay costs the machine."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
from lab import PROGRAM, free_port, wait_until  # noqa: E402

CLOCK = os.sysconf("SC_CLK_TCK")


def descendants(pid):
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except OSError:
            pass
    return found


def cpu_seconds(pid):
    """User and system time of a process, its descendants, and those of them that have ended."""
    total = 0
    for member in descendants(pid):
        try:
            fields = pathlib.Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:15]))
        except OSError:
            pass
    return total / CLOCK


def memory_mib(pid):
    """Proportional memory of a process and its descendants."""
    total = 0
    for member in descendants(pid):
        try:
            for line in pathlib.Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total / 1024


def device_flushes():
    return sum(int(path.read_text().split()[15]) for path in pathlib.Path("/sys/block").glob("*/stat")
               if len(path.read_text().split()) > 15)


def is_open(port):
    with open("/proc/net/tcp") as table:
        return f"0100007F:{port:04X} 00000000:0000 0A" in table.read()


class Openrelay:
    name = "openrelay"

    def __init__(self, folder, sink):
        self.port = free_port()
        config = folder / "openrelay.conf"
        config.write_text(
            f"hostname relay.example;\nspool {folder}/spool;\nlisten smtp 127.0.0.1:{self.port};\n"
            "network local 127.0.0.0/8;\nrelay { allow from local; }\n"
            f"route smtp 127.0.0.1:{sink};\ndeliver {{ allow-local yes; }}\n"
            "limits { connections-per-client 1000; }\ndestinations { connections 100; }\n")
        self.log = open(folder / "openrelay.log", "wb")
        self.process = subprocess.Popen([PROGRAM, "serve", "-c", config], stderr=self.log)
        self.pid = self.process.pid

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()


class Postfix:
    name = "postfix"

    def __init__(self, folder, sink):
        self.port = free_port()
        self.config = folder / "postfix"
        spool, data = folder / "postfix-spool", folder / "postfix-data"
        for path in (self.config, spool, data):
            path.mkdir()
        shutil.chown(data, "postfix")
        os.chmod(folder, 0o755)
        here = pathlib.Path(__file__).parent / "postfix"
        for name in ("main.cf", "master.cf"):
            text = (here / name).read_text()
            (self.config / name).write_text(
                text.replace("@FOLDER@", str(folder)).replace("@SINK@", str(sink))
                .replace("@PORT@", str(self.port)))
        if pathlib.Path("/etc/postfix/dynamicmaps.cf").exists():
            shutil.copy("/etc/postfix/dynamicmaps.cf", self.config)
        subprocess.run(["postfix", "-c", self.config, "start"], check=True, capture_output=True)
        pid_file = spool / "pid" / "master.pid"
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), what="Postfix starts")
        self.pid = int(pid_file.read_text())

    def stop(self):
        subprocess.run(["postfix", "-c", self.config, "stop"], check=True, capture_output=True)


class Direct:
    """No relay: the source talks to the sink."""
    name = "no relay"

    def __init__(self, folder, sink):
        self.port, self.pid = sink, None

    def stop(self):
        pass


class Watch(threading.Thread):
    """Highest memory while it runs."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.is_over = pid, 0, False
        self.start()

    def run(self):
        while not self.is_over and self.pid:
            self.peak = max(self.peak, memory_mib(self.pid))
            time.sleep(0.3)
