#!/usr/bin/env python3
"""E1: kill -9 of the worker, the master or both, at random moments, under eight senders and a slow sink.

kill.py [KILLS [SEED]]. Three runs: E1 as the kernel has it (its page cache survives, so this says nothing
of fdatasync), E1v with a disk that forgets what was not synced, and the control: the same with syncs
that do nothing, which must lose mail.
"""
import collections
import os
import random
import shutil
import signal
import sys
import time

from oracle import (CrashRelay, Judgement, Ledger, Senders, SlowSink, bound, config, finish,
                    percentiles, report)


LOSING = "hold-nosync"
ROUND = 100


def kill(relay, chance, kinds):
    kind, worker = chance.choice(kinds), relay.worker_pid()
    if kind == "worker" and worker:
        os.kill(worker, signal.SIGKILL)
        return kind
    if kind == "master":
        relay.kill()
    else:
        relay.kill_all()
    relay.start(wait=False)
    return kind


def crash_often(kills, seed, disk, kinds):
    """(judgement, relay, times until the next greeting) after `kills` kills and an empty queue."""
    chance, ledger, back_ms = random.Random(seed), Ledger(), collections.defaultdict(list)
    with SlowSink(ledger) as sink:
        relay = CrashRelay(config(sink.port), disk=disk)
        relay.start()
        senders = Senders(relay.port, ledger, seed=seed, sink=sink)
        try:
            for _ in range(kills):
                time.sleep(chance.uniform(0.005, 0.5))
                sink.epoch += 1
                before = time.monotonic()
                kind = kill(relay, chance, kinds)
                relay.wait_ready(60)
                back_ms[kind].append((time.monotonic() - before) * 1000)
                relay.read_log()
        finally:
            senders.stop()
            sink.pause_s = 0
        relay.settle(sink) if disk == LOSING else relay.drain(300)
        relay.stop()
        relay.read_log()
        shutil.rmtree(relay.folder)
        return Judgement(ledger, sink.taken), relay, back_ms


def experiment(name, kills, seed, disk, kinds=("worker", "master", "both")):
    """In rounds, each with an empty spool at its beginning and an empty queue at its end."""
    judgement, took_ms, back_ms, torn, alarms = None, [], collections.defaultdict(list), 0, 0
    for first in range(0, kills, ROUND):
        part, relay, back = crash_often(min(ROUND, kills - first), seed + first, disk, kinds)
        judgement = judgement.add(part) if judgement else part
        torn, alarms = torn + relay.torn, alarms + relay.alarms
        took_ms += relay.took_ms
        for kind, times in back.items():
            back_ms[kind] += times
    back = ", ".join(f"{kind} {percentiles(times)}" for kind, times in sorted(back_ms.items()))
    return report(name, judgement.is_good() and alarms == 0,
                  f"{kills} kills (seed {seed}): {judgement}; recovery {percentiles(took_ms)}; "
                  f"kill to 220: {back}; torn tails {torn}, false alarms {alarms}" +
                  bound(kills, judgement.lost))


def control(name, kills, seed):
    judgement, _, _ = crash_often(kills, seed, LOSING, ("both",))
    return report(name, len(judgement.lost) > 0,
                  f"{kills} kills with syncs that do nothing: {judgement.accepted} accepted, "
                  f"{len(judgement.lost)} lost (some must be)")


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    finish([experiment("E1", kills, seed, None),
            experiment("E1v", kills, seed + 1, "hold"),
            control("E1v control", max(3, kills // 20), seed + 2)])


if __name__ == "__main__":
    main()
