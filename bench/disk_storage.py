# SPDX-License-Identifier: Apache-2.0
"""bench/disks, part "storage": random reads of 4 KiB of disks that are in memory or files, by our own front-end through Sidecore and through
qemu-storage-daemon, beside fio's io_uring on the bare file: on a tmpfs, and on the file system of build/, with and without the host's page cache.

A back-end, and fio, has one CPU; the front-end has the other, which spins there while fio runs: io_uring hands what it cannot do at once to threads of the
kernel, which go where there is room.
"""

import contextlib
import functools
import json
import mmap
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import harness
from disk_common import DiskDaemon, drive
from measuring import Measuring, Progress, Runs

FILE_BYTES = 256 << 20
DEPTHS = [1, 32]
FIGURES = ["iops", "iops_to_fio", "iops_to_qemu", "backend_cpus", "cpu_ns_per_op", "lat_p50_us", "lat_p99_us", "kicks_per_op"]
KEYS = ["load", "backend"]
QEMU = "qemu-storage-daemon"
FIO = "fio, io_uring"


class Place:
    """Where a disk's bytes are; `path` is None for the back-end's own memory."""

    def __init__(self, name, path=None, direct=False):
        self.name = name
        self.path = path
        self.direct = direct

    def storage(self):
        if self.path is None:
            return f'{{ kind = "memory", size = {FILE_BYTES} }}'
        return f'{{ kind = "file", path = "{self.path}", direct = {str(self.direct).lower()} }}'


def write_file(path):
    block = os.urandom(1 << 20)
    with open(path, "wb") as file:
        for _ in range(FILE_BYTES // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return path


def takes_direct(path):
    """Whether O_DIRECT reads work there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return False
    try:
        os.preadv(fd, [mmap.mmap(-1, 4096)], 0)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def places(stack):
    """Every place that this machine has."""
    yield Place("memory")
    for name, parent in (("tmpfs", "/dev/shm"), ("file", harness.ROOT / "build")):
        folder = tempfile.mkdtemp(prefix="sidecore-bench-", dir=parent)
        stack.callback(shutil.rmtree, folder)
        path = write_file(pathlib.Path(folder) / "disk.raw")
        yield Place(f"{name}, buffered", path)
        if takes_direct(path):
            yield Place(f"{name}, direct", path, True)


def front_end(name, pid, socket, depth, options):
    return drive(f"{name} at depth {depth}", options, "blk", [socket], pid, "--depth", depth, "--span", FILE_BYTES)


@contextlib.contextmanager
def spinning(cpu):
    """As a front-end does."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def fio(place, depth, options):
    """On the bare file, on the CPU that the back-ends have."""
    with Measuring(options) as run, spinning(options.cpu):
        command = ["fio", "--name=bare", f"--filename={place.path}", "--rw=randread", "--bs=4k", "--ioengine=io_uring", f"--iodepth={depth}",
                   f"--direct={int(place.direct)}", f"--size={FILE_BYTES}", "--time_based", f"--runtime={options.seconds}", "--ramp_time=0.3",
                   f"--cpus_allowed={options.backend_cpu}", "--invalidate=0", "--thread", "--output-format=json"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if result.returncode != 0:
            raise harness.Failure(f"fio: {result.stderr.strip()}")
        (job,) = json.loads(result.stdout)["jobs"]
        run["iops"] = job["read"]["iops"]
        run["backend_cpus"] = (job["usr_cpu"] + job["sys_cpu"]) / 100
        run["cpu_ns_per_op"] = 1e9 * run["backend_cpus"] / max(run["iops"], 1)
        for percentile, name in (("50.000000", "lat_p50_us"), ("99.000000", "lat_p99_us")):
            run[name] = job["read"]["clat_ns"]["percentile"][percentile] / 1e3
    return run


def compare(runs):
    """Adds ratios to fio and to qemu-storage-daemon of the same round, during which the cores must have stayed where they were."""
    by_name = {run["backend"]: run for run in runs if run is not None}
    for base, figure in ((FIO, "iops_to_fio"), (QEMU, "iops_to_qemu")):
        for run in by_name.values():
            if base in by_name and harness.stayed([by_name[base], run]):
                run[figure] = run["iops"] / by_name[base]["iops"]


@contextlib.contextmanager
def served_by(name, place, options, folder):
    """(process, socket) of back-end `name`: one at a time has the file, which is locked."""
    if name != QEMU:
        with DiskDaemon(name.removeprefix("sidecored "), {"disk": "blk"}, place.storage(), options, folder) as daemon:
            yield daemon.pid, daemon.sockets["disk"]
        return
    disk = f"driver=file,filename={place.path},aio=io_uring,cache.direct={'on' if place.direct else 'off'}"
    peer = harness.start_qemu_storage_daemon(options.backend_cpu, pathlib.Path(tempfile.mkdtemp(dir=folder)), disk=disk)
    try:
        peer.wait_until_ready()
        yield peer.process.pid, peer.socket
    finally:
        peer.stop()


def one_round(place, runs, options, folder):
    loads = {depth: f"{place.name}, depth {depth}" for depth in DEPTHS}
    of_load = {depth: [] for depth in DEPTHS}
    for name in [f"sidecored {policy}" for policy in options.policies] + ([QEMU] if place.path is not None else []):
        with served_by(name, place, options, folder) as (pid, socket):
            for depth, load in loads.items():
                of_load[depth].append(runs.add(functools.partial(front_end, name, pid, socket, depth, options), load=load, backend=name))
    for depth, load in loads.items():
        if place.path is not None:
            of_load[depth].append(runs.add(functools.partial(fio, place, depth, options), load=load, backend=FIO))
        compare(of_load[depth])


def measure(options, folder):
    progress = Progress("storage", options.repetitions)
    runs = Runs()
    with contextlib.ExitStack() as stack:
        found = list(places(stack))
        for repetition in range(options.repetitions):
            for place in found:
                one_round(place, runs, options, folder)
            progress.done(repetition)
    return runs.result(KEYS, FIGURES)
