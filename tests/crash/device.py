"""Filesystems to break: images on loop devices, shut down in the middle; what is missing to make them."""
import fcntl
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time

FS_IOC_SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125  # _IOR('X', 125, __u32)
NOLOGFLUSH = 2
OPTIONS = "nodiscard,noatime"


def run(*words):
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if result.returncode != 0:
        raise OSError(f"{' '.join(map(str, words))}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout.strip()


def what_is_missing(*programs, device=None):
    """Why the experiment cannot be made here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for program in programs:
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            return f"needs {program}"
    for node in ("/dev/loop-control", device):
        if node and not os.path.exists(node):
            return f"needs {node}"
    return None


def fast_folder(bytes_needed):
    """A new folder in memory if there is room, else where temporary files are."""
    for place in ("/dev/shm", tempfile.gettempdir()):
        if os.access(place, os.W_OK) and shutil.disk_usage(place).free > 2 * bytes_needed:
            return pathlib.Path(tempfile.mkdtemp(prefix="crash-", dir=place))
    raise OSError(f"no folder with {2 * bytes_needed} bytes free")


class Image:
    """A filesystem in a file, mounted at `folder`/mount while it is in use."""

    def __init__(self, folder, kind, megabytes, options=OPTIONS, make=()):
        self.kind, self.options = kind, options
        self.file, self.mounted = folder / f"{kind}.img", folder / "mount"
        self.mounted.mkdir(exist_ok=True)
        with open(self.file, "wb") as file:
            file.truncate(megabytes << 20)
        words = {"ext4": ["mkfs.ext4", "-q", "-F", "-m", "0", "-E",
                          "nodiscard,lazy_itable_init=0,lazy_journal_init=0"],
                 "xfs": ["mkfs.xfs", "-q", "-f", "-K"]}[kind]
        run(*words, *make, self.file)

    def mount(self):
        run("mount", "-t", self.kind, "-o", f"loop,{self.options}", self.file, self.mounted)

    def shutdown(self):
        """From now on nothing reaches the image, the journal in memory neither."""
        assert self.is_mounted(), "it would be the machine's own filesystem"
        folder = os.open(self.mounted, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(folder, FS_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(folder)

    def unmount(self):
        """The threads of a killed worker let go of their files a moment after it is dead."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return run("umount", self.mounted)
            except OSError as error:
                if "busy" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def is_mounted(self):
        return os.path.ismount(self.mounted)
