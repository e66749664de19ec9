#!/usr/bin/env python3
"""E5: no space. Until 452, then the queue runs empty, then mail is accepted again, and so on.

full.py [CYCLES [SEED]]. On a filesystem of 32 MB: letters come while nothing can be delivered until the
relay refuses; then the last octet of the filesystem is taken away and deliveries must work at 0 bytes
free; then there is space and letters are accepted again. The same with a limit on the size of files
(RLIMIT_FSIZE, set on the running worker) and, where the kernel has disk quotas, with a quota.
"""
import ctypes
import os
import pathlib
import pwd
import random
import resource
import shutil
import sys
import tempfile
import threading
import time

from device import OPTIONS, Image, what_is_missing
from oracle import (CrashRelay, Judgement, Ledger, Senders, SlowSink, config, finish, report,
                    report_skip, wait_until)

MEGABYTES = 32
USER = "nobody"
SIZES = (12, 250, 900)
Q_SETQUOTA, USRQUOTA, QIF_BLIMITS = 0x800008, 0, 1


class Kept(SlowSink):
    """A next hop that can be held up: it takes no letter until it is let go."""

    def __init__(self, ledger):
        self.may_take, self.rounds = threading.Event(), 0
        super().__init__(ledger, 0)

    def finish(self, *letter):
        round_now = self.rounds
        self.may_take.wait()
        if self.rounds != round_now:
            return False
        return super().finish(*letter)

    def forget(self):
        """Those who wait were killed: their letters are not taken."""
        self.rounds += 1


class Filler:
    """Takes what is free on a filesystem, to the last octet, and gives it back."""

    def __init__(self, folder):
        self.path, self.folder = folder / "filler", folder

    def take(self):
        with open(self.path, "wb", buffering=0) as file:
            for size in (1 << 16, 512, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    pass
        return self.free_bytes()

    def free_bytes(self):
        about = os.statvfs(self.folder)
        return about.f_bavail * about.f_frsize

    def give_back(self):
        self.path.unlink(missing_ok=True)


def is_refusing(senders):
    """Nothing was accepted for a while, and the relay said why."""
    before = senders.replies["250 2.0.0"]
    refused = sum(count for reply, count in senders.replies.items() if reply.startswith("45"))
    time.sleep(0.3)
    return refused > 0 and senders.replies["250 2.0.0"] == before and sum(
        count for reply, count in senders.replies.items() if reply.startswith("45")) > refused


def load_until_refused(relay, ledger, chance, seconds=60):
    """The replies of a load that went on until nothing was accepted any more."""
    senders = Senders(relay.port, ledger, count=4, seed=chance.randrange(1 << 30), sizes=SIZES)
    try:
        wait_until(lambda: is_refusing(senders), seconds, f"the relay refuses ({senders.replies})")
    finally:
        senders.stop()
    return senders.replies


def accepts_again(relay, ledger, chance):
    before = len(ledger.accepted)
    senders = Senders(relay.port, ledger, count=2, seed=chance.randrange(1 << 30), sizes=(1,))
    try:
        wait_until(lambda: len(ledger.accepted) > before + 20, 30,
                   f"mail is accepted again ({senders.replies})")
    finally:
        senders.stop()


class Space:
    """A filesystem that is full."""

    marks_fit = True

    def __init__(self, mounted):
        self.filler, self.least = Filler(mounted), None

    def begin(self, relay):
        pass

    def at_the_end(self, relay):
        """The relay refuses; what is still free goes away too."""
        self.least = max(self.least or 0, self.filler.take())

    def end(self, relay):
        self.filler.give_back()

    def __str__(self):
        return f"deliveries worked at {self.least} bytes free"


class FileSize:
    """RLIMIT_FSIZE on the running worker, somewhere in the middle of a segment."""

    marks_fit = False  # no write behind the limit can be made

    def __init__(self, chance):
        self.chance, self.size = chance, None

    def begin(self, relay):
        self.size = self.chance.randrange(64 << 10, 1 << 20)
        limits = (self.size, resource.RLIM_INFINITY)
        resource.prlimit(relay.worker_pid(), resource.RLIMIT_FSIZE, limits)

    def at_the_end(self, relay):
        pass

    def end(self, relay):
        resource.prlimit(relay.worker_pid(), resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def __str__(self):
        return "limits of 64K to 1M on segments of 1M"


class Quota:
    """A user quota; the worker must not be root, whom none holds."""

    marks_fit = True

    def __init__(self, mounted):
        self.mounted = mounted

    @staticmethod
    def set(device, kilobytes):
        class Block(ctypes.Structure):
            _fields_ = [(name, ctypes.c_uint64) for name in
                        ("hard", "soft", "space", "ihard", "isoft", "inodes", "btime", "itime")]
            _fields_.append(("valid", ctypes.c_uint32))

        libc = ctypes.CDLL(None, use_errno=True)
        block = Block(hard=kilobytes, soft=kilobytes, valid=QIF_BLIMITS)
        command = Q_SETQUOTA << 8 | USRQUOTA
        if libc.quotactl(ctypes.c_int(command - (1 << 32) if command >= 1 << 31 else command),
                         device.encode(), pwd.getpwnam(USER).pw_uid, ctypes.byref(block)) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"quotactl: {os.strerror(number)}")

    def begin(self, relay):
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            device, place = line.split()[:2]
            if place == str(self.mounted):
                self.set(device, 12 << 10)

    def at_the_end(self, relay):
        pass

    def end(self, relay):
        pass

    def __str__(self):
        return "a user's quota of 12M"


def cycle(relay, ledger, sink, chance, limit):
    """Refuses, delivers while nothing can grow, accepts again. True: the relay had to be restarted."""
    time.sleep(0.3)  # by then the marks of what was delivered before are written (mark-delay)
    sink.may_take.clear()
    limit.begin(relay)
    replies = load_until_refused(relay, ledger, chance)
    limit.at_the_end(relay)
    if limit.marks_fit:
        sink.may_take.set()
        relay.drain(60)
    limit.end(relay)
    must_restart = relay.health() == "broken"  # it says so after two failed writes
    if must_restart:
        relay.kill_all()  # nothing was delivered, so nothing comes twice
        sink.forget()
        relay.start()
    sink.may_take.set()
    accepts_again(relay, ledger, chance)
    relay.drain(60)
    return replies, must_restart


def experiment(name, cycles, seed, make_limit, extra="", mkfs=(), options=OPTIONS, user=None):
    chance, ledger, replies, restarts = random.Random(seed), Ledger(), {}, 0
    folder = pathlib.Path(tempfile.mkdtemp(prefix="crash-"))
    folder.chmod(0o755)
    image = Image(folder, "ext4", MEGABYTES, options, mkfs)
    image.mount()
    limit = make_limit(image.mounted, chance)
    spool = image.mounted / "spool"
    if user:
        spool.mkdir(mode=0o700)
        shutil.chown(spool, user)
        extra += f"user {user};"
    with Kept(ledger) as sink:
        relay = CrashRelay(config(sink.port) + extra, spool=spool, folder=folder)
        try:
            relay.start()
            for _ in range(cycles):
                seen, restarted = cycle(relay, ledger, sink, chance, limit)
                restarts += restarted
                for reply, count in seen.items():
                    replies[reply] = replies.get(reply, 0) + count
            relay.stop()
            text = relay.read_log()
            died = text.count("worker died") + text.count("worker ended")
        finally:
            if relay.process and relay.process.poll() is None:
                relay.kill_all()
            image.unmount()
            shutil.rmtree(folder)
        judgement = Judgement(ledger, sink.taken)
    said = ", ".join(f"{count} {reply}" for reply, count in sorted(replies.items()))
    return report(name, judgement.is_good() and judgement.duplicates == 0 and died == 0,
                  f"{cycles} cycles (seed {seed}): {judgement}; {limit}; replies: {said}; "
                  f"restarts asked for {restarts}, workers that died {died}, false alarms "
                  f"{relay.alarms}")


def quota_experiment(cycles, seed):
    """None where this kernel has no disk quotas: then it is said."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="crash-"))
    make, options = ("-O", "quota", "-E", "quotatype=usrquota"), OPTIONS + ",usrquota"
    try:
        image = Image(folder, "ext4", MEGABYTES, options, make)
        image.mount()
        image.unmount()
    except OSError as error:
        report_skip("E5 quota", "this kernel mounts no ext4 with quotas (CONFIG_QFMT_V2): "
                    f"{str(error).splitlines()[0][-60:]}")
        return None
    finally:
        shutil.rmtree(folder)
    return experiment("E5 quota", cycles, seed, lambda mounted, chance: Quota(mounted),
                      mkfs=make, options=options, user=USER)


def main():
    cycles = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    missing = what_is_missing("mkfs.ext4", "mount", "umount")
    if missing:
        report_skip("E5", missing)
        finish([None])
    finish([experiment("E5 full", cycles, seed, lambda mounted, chance: Space(mounted)),
            experiment("E5 fsize", cycles, seed, lambda mounted, chance: FileSize(chance)),
            quota_experiment(cycles, seed)])


if __name__ == "__main__":
    main()
