"""Do the cases see anything? The suite against `badrelay.py`, which does everything wrong.

Every case has to FAIL there, but for those in CANNOT_FIRE; one that no longer does has gone blind
and fails this test. A new case fires, or it is put on the list with its reason.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))

from cases import CASES, load
from lab import free_port, wait_until

POSITIVE = "a positive control: ordinary mail passes the broken relay too"
BOUNDED = "needs a relay that crashes, hangs or loses mail there; this one is merely rude"
LIBRARY = "the TLS library does it right for the broken relay too"
ABSENT = "the broken relay has no such service"
CANNOT_FIRE = {
    r"B0\d|PR16|PR18|CL01|CL04": POSITIVE,
    r"HD04|HD05|HD08|HD11|RS06|RS07|RS09|CL05": BOUNDED,
    r"TL08|TL11|TL12": LIBRARY,
    r"NN\d\d|SX\d\d|HP\d\d|WB01": ABSENT,
}
# Side by side: each group has a broken relay and a sink of its own.
GROUPS = [r"SM0|BD", r"SM1|HD", r"PR", r"OR", r"BS", r"RS0[1-4]|RS08|LG", r"RS05", r"TL", r"AU",
          r"CL0[1-4]", r"CL0[5-9]"]


def fires(identity):
    return not any(re.fullmatch(pattern, identity) for pattern in CANNOT_FIRE)


def make_certificate(folder):
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
    subprocess.run(
        [*words.split(), "-subj", "/CN=bad.test", "-keyout", folder / "key.pem", "-out",
         folder / "cert.pem"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def listens(port):
    """Whether something does, asked without a connection that the relay would notice."""
    wanted = ":%04X" % port
    with open("/proc/net/tcp") as file:
        return any(line.split()[1].endswith(wanted) and line.split()[3] == "0A"
                   for line in list(file)[1:])


def run_group(number, pattern, folder, results):
    ports = [free_port() for _ in range(4)]
    log, summary = folder / ("log%d" % number), folder / ("summary%d.json" % number)
    relay = subprocess.Popen(
        [sys.executable, HERE / "badrelay.py", *map(str, ports), log, folder / "cert.pem",
         folder / "key.pem"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: all(listens(port) for port in ports[:3]), what="the broken relay")
        wanted = [case["id"] for case in CASES
                  if re.match(pattern, case["id"]) and fires(case["id"])]
        subprocess.run(
            [sys.executable, HERE / "suite.py", "--port", str(ports[0]), "--submission-port",
             str(ports[1]), "--tls-port", str(ports[2]), "--sink-port", str(ports[3]), "--user",
             "alice", "--password", "secret", "--pid", str(relay.pid), "--log-file", log,
             "--idle-max", "2", "--deliver-wait", "4", "--retry-wait", "5", "--case-timeout", "15",
             "--source-net", "127.%d" % (100 + number), "--only", "^(%s)$" % "|".join(wanted),
             "--json", summary], stdout=subprocess.DEVNULL)
        for result in json.loads(summary.read_text())["cases"]:
            results[result["id"]] = result
    finally:
        relay.kill()
        relay.wait()


def main():
    load()
    results, blind = {}, 0
    with tempfile.TemporaryDirectory(prefix="hostile-control-") as name:
        folder = pathlib.Path(name)
        make_certificate(folder)
        threads = [threading.Thread(target=run_group, args=(number, pattern, folder, results))
                   for number, pattern in enumerate(GROUPS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for case in CASES:
        if not fires(case["id"]):
            continue
        result = results.get(case["id"], {"status": "MISSING", "evidence": "", "seconds": 0})
        good = result["status"] == "FAIL" and "suite error" not in result["evidence"]
        blind += not good
        print("%s %s %s (%.1fs)" % ("fires" if good else "BLIND: " + result["status"],
                                   case["id"], result["evidence"], result["seconds"]))
    print("%d detectors fire, %d are blind, %d cases cannot fire" % (
        sum(fires(case["id"]) for case in CASES) - blind, blind,
        sum(not fires(case["id"]) for case in CASES)))
    sys.stdout.flush()
    os._exit(1 if blind else 0)


if __name__ == "__main__":
    main()
