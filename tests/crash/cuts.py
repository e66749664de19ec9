#!/usr/bin/env python3
"""E3: every write to the drive is recorded, then power is cut at every flush and at random moments.

cuts.py [CUTS [SEED]]. A relay runs under load on ext4 on a loop device on a recorded drive (blocks). With
each final 250 the size of the record is noted. A cut takes the writes before it: all that a flush
completed, of the rest any sectors of 512 octets. The image is mounted and its spool opened; each message
accepted before the cut and not delivered until then must be there and whole, none that was refused, and
no record may look damaged. Control: the same with a relay whose syncs do nothing.
"""
import bisect
import io
import os
import random
import shutil
import struct
import subprocess
import sys
import time

from device import Image, fast_folder, run, what_is_missing
from oracle import (TOOLS, CrashRelay, Ledger, Senders, SlowSink, bound, config, finish, percentiles, report,
                    report_skip, token_of, tool, wait_until)

MEGABYTES = 40
SECTOR = 512
SUPERBLOCK = 1024  # its two sectors live or die together: torn, ext4 cannot be mounted at all
HEADER = struct.Struct("=IIQ")
FLUSH = 2
SIZES = (1, 12, 60, 850)
LOAD_LIMIT_S = 300


class Recording:
    """The write log: for each record its end in the log, whether it is a flush, offset and data."""

    def __init__(self, path):
        data, at = path.read_bytes(), 0
        self.ends, self.records, self.flushes = [], [], []
        while at < len(data):
            kind, size, offset = HEADER.unpack_from(data, at)
            at += HEADER.size
            if kind == FLUSH:
                self.flushes.append(len(self.records))
            self.records.append((offset, data[at:at + size]))
            at += size
            self.ends.append(at)


class Drive:
    """The recorded loop device with its filesystem, a relay on it, senders and a sink."""

    def __init__(self, folder):
        self.folder, self.log = folder, folder / "log.blocks"
        self.image = Image(folder, "ext4", MEGABYTES)
        shutil.copyfile(self.image.file, folder / "base.img")
        self.fuse = folder / "drive"
        self.fuse.mkdir()
        self.recorder = subprocess.Popen([tool("blocks"), self.image.file, self.log, self.fuse])
        self.device = None

    def __enter__(self):
        wait_until((self.fuse / "disk").exists, what="the recorder answers")
        self.device = run("losetup", "-f", "--show", self.fuse / "disk")
        run("mount", "-o", "nodiscard,noatime", self.device, self.image.mounted)
        return self

    def __exit__(self, *error):
        if self.image.is_mounted():
            self.image.unmount()
        if self.device:
            run("losetup", "-d", self.device)
        wait_until(lambda: subprocess.run(["fusermount3", "-u", self.fuse], check=False,
                                          capture_output=True).returncode == 0, what="fuse ends")
        self.recorder.wait(10)


def record(folder, letters, seed, disk):
    """(ledger, {token: place when delivered}, recording) of a relay under load."""
    ledger = Ledger()
    with Drive(folder) as drive, SlowSink(ledger, 0.05) as sink:
        ledger.place = lambda: os.path.getsize(drive.log)
        relay = CrashRelay(config(sink.port), spool=drive.image.mounted / "spool", disk=disk,
                           folder=folder)
        relay.start()
        senders = Senders(relay.port, ledger, count=3, seed=seed, sizes=SIZES, sink=sink,
                          backlog=150)
        deadline = time.monotonic() + LOAD_LIMIT_S
        try:
            while time.monotonic() < deadline and len(ledger.accepted) < letters:
                time.sleep(0.05)
        finally:
            senders.stop()
            relay.kill_all()
        delivered = dict(sink.first_place)
    return ledger, delivered, Recording(drive.log)


class Cuts:
    """Image after image, forwards through the recording; each is mounted and looked into."""

    def __init__(self, folder, ledger, delivered, recording, seed):
        self.folder, self.ledger, self.delivered, self.recording = folder, ledger, delivered, recording
        self.chance = random.Random(seed)
        self.known = ledger.known()
        self.image = Image(folder, "ext4", 1)  # its file is replaced by each cut's
        self.durable = open(folder / "base.img", "r+b", buffering=0)
        self.applied = 0  # records that are in `durable`
        self.count = self.lost = self.ghosts = self.damaged = self.torn = self.alarms = 0
        self.unmountable, self.again, self.took_ms = 0, 0, []

    def choose(self, wanted):
        """(records before the cut, share of unflushed sectors that are lost), sorted."""
        first = next((i for i, end in enumerate(self.recording.ends)
                      if end >= min(place for _, place in self.ledger.accepted.values())), 0)
        flushes = [i + 1 for i in self.recording.flushes if i >= first]
        if len(flushes) > wanted // 2:
            flushes = self.chance.sample(flushes, wanted // 2)
        total = len(self.recording.records)
        others = [(self.chance.randint(first, total), self.chance.choice((0, 0.1, 0.5, 0.9, 1)))
                  for _ in range(wanted - len(flushes))]
        return sorted([(at, 0) for at in flushes] + others), len(flushes)

    def cut(self, at, share):
        """Writes the image that a power cut before record `at` leaves."""
        records, flushes = self.recording.records, self.recording.flushes
        last = bisect.bisect_left(flushes, at)
        flushed = flushes[last - 1] if last else 0
        for offset, data in records[self.applied:flushed]:
            os.pwrite(self.durable.fileno(), data, offset)
        self.applied = max(self.applied, flushed)
        shutil.copyfile(self.durable.name, self.image.file)
        with open(self.image.file, "r+b", buffering=0) as file:
            is_kept = True
            for offset, data in records[self.applied:at]:
                for part in range(0, len(data), SECTOR):
                    if offset + part != SUPERBLOCK + SECTOR:
                        is_kept = self.chance.random() >= share
                    if is_kept:
                        os.pwrite(file.fileno(), data[part:part + SECTOR], offset + part)

    def look(self):
        """What the spool of the image holds: [(token, digest, open recipients, damaged)]."""
        answer = subprocess.run([tool("letters"), self.image.mounted / "spool"], check=True,
                                capture_output=True).stdout
        reader, found = io.BytesIO(answer), []
        _, torn, records, messages, took_ms = reader.readline().split()
        while (line := reader.readline()) != b"end\n":
            open_recipients, is_damaged, size = map(int, line.split()[1:])
            found.append((*token_of(reader.read(size)), open_recipients, is_damaged))
        self.torn += int(torn) > 0
        self.took_ms.append(int(took_ms))
        return found, int(records) + int(messages)

    def judge(self, at, share):
        place = self.recording.ends[at - 1] if at else 0
        self.cut(at, share)
        self.count += 1
        try:
            self.image.mount()
        except OSError as error:
            print(f"cut {at} share {share}: {error}", flush=True)
            self.unmountable += 1
            return
        try:
            found, alarms = self.look()
            if self.count % 10 == 0:
                again, _ = self.look()  # recovery of what recovery left
                alarms += sorted(map(str, again)) != sorted(map(str, found))
        finally:
            self.image.unmount()
        self.compare(found, alarms, place, f"cut {at} share {share}")

    def compare(self, found, alarms, place, where):
        whole = {token: digest for token, digest, is_open, is_damaged in found
                 if is_open and not is_damaged}
        due = [token for token, (_, said) in self.ledger.accepted.items() if said <= place
               and self.delivered.get(token, place + 1) > place]
        lost = [token for token in due if token not in whole]
        ghosts = [token for token in whole if token not in self.known
                  or token in self.ledger.refused]
        damaged = [token for token, digest in whole.items()
                   if token in self.known and self.known[token][0] != digest]
        again = sum(self.delivered.get(token, place + 1) <= place for token in whole)
        self.again = max(self.again, again)
        self.lost += len(lost)
        self.ghosts += len(ghosts)
        self.damaged += len(damaged)
        self.alarms += alarms
        if lost or ghosts or damaged or alarms:
            print(f"{where}: due {len(due)} lost {lost[:5]} ghosts {ghosts[:5]} damaged "
                  f"{damaged[:5]} false alarms {alarms}", flush=True)

    def is_good(self):
        return not (self.lost or self.ghosts or self.damaged or self.alarms or self.unmountable)


def experiment(name, wanted, seed, disk=None):
    folder = fast_folder(400 << 20)
    try:
        ledger, delivered, recording = record(folder, max(400, wanted // 3), seed, disk)
        cuts = Cuts(folder, ledger, delivered, recording, seed)
        chosen, at_flushes = cuts.choose(wanted)
        for at, share in chosen:
            cuts.judge(at, share)
            if disk and cuts.lost and cuts.count >= 10:
                break
        cuts.durable.close()
    finally:
        shutil.rmtree(folder)
    if disk:
        return report(name, cuts.lost > 0, f"{cuts.count} cuts with syncs that do nothing: "
                      f"{len(ledger.accepted)} accepted, {cuts.lost} lost (some must be)")
    return report(name, cuts.is_good() and len(ledger.accepted) > 0,
                  f"{cuts.count} cuts (seed {seed}; {at_flushes} at flushes of "
                  f"{len(recording.flushes)}, {len(recording.records)} records): "
                  f"{len(ledger.accepted)} accepted, {cuts.lost} lost, {cuts.ghosts} ghosts, "
                  f"{cuts.damaged} damaged, {cuts.unmountable} mount failures; to be delivered again "
                  f"at most {cuts.again}; recovery {percentiles(cuts.took_ms)}; torn tails "
                  f"{cuts.torn}, false alarms {cuts.alarms}" + bound(cuts.count, cuts.lost))


def main():
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    missing = what_is_missing("mkfs.ext4", "mount", "losetup", "fusermount3", device="/dev/fuse")
    if not missing and not (TOOLS / "blocks").exists():
        missing = "needs blocks: install libfuse3-dev and configure the build folder anew"
    if missing:
        report_skip("E3", missing)
        finish([None])
    finish([experiment("E3", wanted, seed),
            experiment("E3 control", max(10, wanted // 100), seed, "nosync")])


if __name__ == "__main__":
    main()
