# SPDX-License-Identifier: Apache-2.0
"""What the tests with real guests share: a back-end, disks and guests that are gone when a test ends."""

import hashlib
import os
import pathlib
import random
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "guest"))

from guestlib.disks import Disk  # noqa: E402
from guestlib.guests import GUESTS, build_images  # noqa: E402
from guestlib.processes import Workspace  # noqa: E402

MIB = 1 << 20
POLICIES = ["never", "always", "rate", "fixed", "grow_shrink", "breakeven", "adaptive"]


def for_each_kind(cls):
    """Makes of one class of tests a class per kind of guest; the original has none and is not run."""
    module = sys.modules[cls.__module__]
    for kind in GUESTS:
        derived = type(f"{cls.__name__}_{kind}", (cls,), {"kind": kind, "__module__": cls.__module__})
        setattr(module, derived.__name__, derived)
    return cls


def needs(*abilities):
    """Marks a test that asks of the back-end what not each has; the runner leaves it out for the others."""
    def mark(function):
        function.needs = set(abilities)
        return function
    return mark


def slow_with(*kinds):
    """Marks a test that is run with these kinds of guests only where it is named: it takes long, and another kind shows the same of the back-end."""
    def mark(function):
        function.slow_with = set(kinds)
        return function
    return mark


class GuestTest(unittest.TestCase):
    """A back-end under test, and guests of one kind."""

    kind = None
    make_back_end = None  # set by the runner

    def setUp(self):
        build_images(self.kind)
        self.workspace = Workspace()
        self.addCleanup(self.workspace.close)
        self.back_end = self.make_back_end()
        self.addCleanup(self.back_end.kill)
        self.back_end.start()
        self.guests = []
        # Random, so that many runs try many sequences; printed, so that one of them can be had again.
        self.seed = int(os.environ.get("SIDECORE_GUEST_SEED", random.randrange(1 << 31)))
        self.say(f"seed {self.seed} (SIDECORE_GUEST_SEED to repeat)")

    def say(self, text):
        print(f"    {text}", flush=True)

    def file_disk(self, name="disk", size=32 * MIB, **options):
        """A disk whose storage is a file of its own."""
        disk = Disk(name=name, storage="file", size=size, path=self.workspace / f"{name}.img", **options)
        disk.create_file()
        self.back_end.add(disk)
        return disk

    def memory_disk(self, name="memory", size=32 * MIB, **options):
        disk = Disk(name=name, storage="memory", size=size, **options)
        self.back_end.add(disk)
        return disk

    def boot(self, *disks, kind=None, **options):
        """A guest with these disks: /dev/vda, /dev/vdb …"""
        kind = kind or self.kind
        guest = GUESTS[kind]([disk.socket for disk in disks], name=f"{kind}{len(self.guests)}", **options)
        self.addCleanup(guest.kill)
        self.guests.append(guest)
        self.say(f"{guest.name} booted in {guest.boot_seconds:.2f} s")
        return guest

    def use_as_filesystem(self, guest, device, disk):
        """Makes a filesystem, fills, trims and checks it in the guest, which then ends; the host finds the same files in it."""
        sums = guest.run(f"""
            mkfs.ext4 -q -F -E nodiscard {device}
            mount -t ext4 {device} /mnt
            mkdir -p /mnt/deep/er
            cp /bin/busybox /bin/fio /lib/x86_64-linux-gnu/* /mnt/deep/er/
            for i in $(seq 1 60); do dd if=/dev/urandom of=/mnt/deep/$i bs=7001 count=$i 2>/dev/null; done
            dd if=/dev/urandom of=/mnt/large bs=1M count=24 conv=fsync 2>/dev/null
            ln -s deep/1 /mnt/link
            cd /mnt && find . -type f | sort | xargs sha256sum
        """, timeout=90)
        full = disk.allocated_bytes()
        trimmed = guest.run("cd /; rm /mnt/large; sync; fstrim -v /mnt", timeout=60)
        self.assertIn("trimmed", trimmed)
        self.assertLess(disk.allocated_bytes(), full - 20 * MIB)
        check = guest.run(f"umount /mnt; fsck.ext4 -f -n {device}", timeout=60)
        self.assertNotIn("FIXED", check)
        guest.shut_down()

        expected = {line.split()[1]: line.split()[0] for line in sums.splitlines() if "large" not in line}
        self.assertGreater(len(expected), 60)
        self.assertEqual(files_in(disk.path, self.workspace / "files"), expected)

    def finish(self):
        """The orderly end, which looks for complaints of the guests and of the back-end."""
        for guest in self.guests:
            if guest.running():
                guest.shut_down()
        self.back_end.stop()


class Flipping:
    """Changes the daemon's policy every 50 ms."""

    def __init__(self, back_end):
        self.flips = 0
        self._back_end = back_end
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.wait(0.05):
            self._back_end.set_policy(policy=POLICIES[self.flips % len(POLICIES)])
            self.flips += 1


class Receiver(threading.Thread):
    """Takes one TCP connection and all that comes through it."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.listener = socket.create_server(address)
        self.listener.settimeout(60)
        self.bytes = 0
        self.digest = None
        self.start()

    def run(self):
        digest = hashlib.sha256()
        with self.listener:
            connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(60)
            try:
                while chunk := connection.recv(MIB):
                    digest.update(chunk)
                    self.bytes += len(chunk)
            except TimeoutError:
                return  # the other end has gone without a word
        self.digest = digest.hexdigest()

    def finish(self):
        """The digest of what came, once the other end has closed."""
        self.join(60)
        return self.digest


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(MIB):
            digest.update(chunk)
    return digest.hexdigest()


def files_in(image, directory):
    """Checks the ext4 image on the host and copies its files out, without mounting it: {path: SHA-256}."""
    subprocess.run(["/sbin/e2fsck", "-f", "-n", image], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    directory.mkdir()
    subprocess.run(["/sbin/debugfs", "-R", f"rdump / {directory}", image], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return {f"./{path.relative_to(directory)}": sha256_of(path)
            for path in directory.rglob("*") if path.is_file() and not path.is_symlink()}


def fio_verify(device, size, seed, bs="512-64k", depth=16, rw="randwrite", name="verify", extra=""):
    """The fio command that writes `size` bytes and reads all of them back, with a CRC32C in every block."""
    return (f"fio --name={name} --filename={device} --ioengine=io_uring --direct=1 --thread --rw={rw} --bsrange={bs} "
            f"--iodepth={depth} --size={size} --randseed={seed} --verify=crc32c --verify_fatal=1 --eta=never {extra} "
            f"--output=/tmp/{name}.out || {{ cat /tmp/{name}.out; exit 1; }}")


def in_parallel(commands):
    """A shell script that runs the commands at the same time and fails if one of them does."""
    commands = list(commands)
    lines = [f"( {command} ) & p{index}=$!" for index, command in enumerate(commands)]
    return "\n".join(lines + [f"wait $p{index}" for index in range(len(commands))])


def expect_within(condition, timeout, what):
    """Looks again and again until `condition()` holds, and returns its value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.02)
    return value
