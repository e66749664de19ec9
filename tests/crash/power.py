#!/usr/bin/env python3
"""E2: the filesystem is shut down under load without its journal's last words, mounted again, recovered.

power.py [CUTS [SEED]]: so many cuts each on ext4 (data=ordered, data=journal) and xfs, each followed by a
restart and an empty queue. The controls run a relay whose syncs do nothing; they must lose mail.
"""
import pathlib
import random
import shutil
import sys
import tempfile
import time

from device import OPTIONS, Image, what_is_missing
from oracle import (CrashRelay, Judgement, Ledger, Senders, SlowSink, bound, config, finish,
                    percentiles, report, report_skip)

KINDS = {"ext4-ordered": ("ext4", 96, OPTIONS + ",data=ordered"),
         "ext4-journal": ("ext4", 96, OPTIONS + ",data=journal,nodelalloc"),
         "xfs": ("xfs", 320, OPTIONS)}


def cut_once(image, relay, ledger, sink, chance, is_control):
    """Load, cut, restart, empty queue. Ends with the relay stopped and the image unmounted."""
    image.mount()
    relay.start()
    senders = Senders(relay.port, ledger, seed=chance.randrange(1 << 30), sink=sink)
    try:
        time.sleep(chance.uniform(0.05, 0.6))
        image.shutdown()
        time.sleep(chance.choice((0, 0.002, 0.05)))  # a disk may be gone before its machine is
        relay.kill_all()
    finally:
        senders.stop()
    sink.epoch += 1
    relay.read_log()
    image.unmount()
    image.mount()
    before = time.monotonic()
    relay.start()
    back_ms = (time.monotonic() - before) * 1000
    sink.pause_s = 0
    relay.settle(sink, 0.7) if is_control else relay.drain()
    sink.pause_s = 0.04
    relay.kill_all() if is_control else relay.stop()
    relay.read_log()
    image.unmount()
    return back_ms


def cut_often(kind, cuts, seed, disk=None):
    filesystem, megabytes, options = KINDS[kind]
    chance, ledger, back_ms = random.Random(seed), Ledger(), []
    folder = pathlib.Path(tempfile.mkdtemp(prefix="crash-"))
    image = Image(folder, filesystem, megabytes, options)
    with SlowSink(ledger) as sink:
        relay = CrashRelay(config(sink.port), spool=image.mounted / "spool", disk=disk, folder=folder)
        try:
            for _ in range(cuts):
                back_ms.append(cut_once(image, relay, ledger, sink, chance, disk is not None))
        finally:
            if relay.process and relay.process.poll() is None:
                relay.kill_all()
            if image.is_mounted():
                image.unmount()
        shutil.rmtree(folder)
        return Judgement(ledger, sink.taken), relay, back_ms


def experiment(kind, cuts, seed):
    judgement, relay, back_ms = cut_often(kind, cuts, seed)
    good = judgement.is_good() and relay.alarms == 0
    return report(f"E2 {kind}", good, f"{cuts} cuts (seed {seed}): {judgement}; recovery "
                  f"{percentiles(relay.took_ms)}; start to 220 {percentiles(back_ms)}; torn tails "
                  f"{relay.torn}, false alarms {relay.alarms}" + bound(cuts, judgement.lost))


def control(kind, cuts, seed):
    judgement, _, _ = cut_often(kind, cuts, seed, "nosync")
    return report(f"E2c {kind}", len(judgement.lost) > 0,
                  f"{cuts} cuts with syncs that do nothing: {judgement.accepted} accepted, "
                  f"{len(judgement.lost)} lost (some must be)")


def main():
    cuts = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    controlled = ["ext4-ordered"] if cuts < 10 else list(KINDS)
    results = []
    for kind, (filesystem, _, _) in KINDS.items():
        missing = what_is_missing(f"mkfs.{filesystem}", "mount", "umount")
        if missing:
            report_skip(f"E2 {kind}", missing)
            results.append(None)
            continue
        results.append(experiment(kind, cuts, seed))
        if kind in controlled:
            results.append(control(kind, max(1, cuts // 20), seed))
    finish(results)


if __name__ == "__main__":
    main()
