# SPDX-License-Identifier: Apache-2.0
"""bench/disks, part "start": from the start of a back-end to a socket that a front-end can connect to, what it has in memory then, and what it is
made of: its program and the libraries that the program needs, in files."""

import functools
import pathlib
import re
import shutil
import socket as sockets
import statistics
import subprocess
import tempfile
import time

import harness
from disk_common import DiskDaemon
from measuring import Measuring, Progress, Runs

STARTS = 10  # in each run, of which the median counts
STORAGE = f'{{ kind = "null", size = {harness.DISK_BYTES} }}'
FIGURES = ["start_ms", "rss_mib", "anonymous_mib", "program_mib", "libraries", "libraries_mib"]
KEYS = ["backend"]


def sizes(program):
    """What the program's file and those of its libraries have, in MiB, and how many libraries there are."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    paths = re.findall(r"=> (/\S+)", listed)
    return {"program_mib": pathlib.Path(program).stat().st_size / 2**20, "libraries": len(paths),
            "libraries_mib": sum(pathlib.Path(path).resolve().stat().st_size for path in paths) / 2**20}


def memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return {name: int(re.search(rf"^{key}:\s+(\d+) kB", status, re.MULTILINE).group(1)) / 1024
            for name, key in (("rss_mib", "VmRSS"), ("anonymous_mib", "RssAnon"))}


def connectable(socket):
    with sockets.socket(sockets.AF_UNIX) as connection:
        try:
            connection.connect(str(socket))
        except OSError:
            return False
        return True


def time_starts(start, program, options):
    """`start()`: a harness.Backend that was just started."""
    with Measuring(options) as run:
        times = []
        for _ in range(STARTS):
            begin = time.monotonic()
            backend = start()
            try:
                while not connectable(backend.socket):
                    if time.monotonic() > begin + 10:
                        raise harness.Failure(f"{backend.name} does not listen:\n{backend.log.read_text(errors='replace')}")
                times.append(1e3 * (time.monotonic() - begin))
                figures = memory(backend.process.pid)
            finally:
                backend.stop()
            pathlib.Path(backend.socket).unlink(missing_ok=True)
        run.update(start_ms=statistics.median(times), **figures, **sizes(program))
    return run


def start_sidecored(options, folder):
    return DiskDaemon("adaptive", {"disk": "blk"}, STORAGE, options, folder).backend


def start_qemu(options, folder):
    return harness.start_qemu_storage_daemon(options.backend_cpu, pathlib.Path(tempfile.mkdtemp(dir=folder)))


def measure(options, folder):
    progress = Progress("start", options.repetitions)
    runs = Runs()
    programs = {"sidecored": (start_sidecored, str(options.build / "bin" / "sidecored")),
                "qemu-storage-daemon": (start_qemu, shutil.which("qemu-storage-daemon"))}
    for repetition in range(options.repetitions):
        for name, (start, program) in programs.items():
            if program is not None:
                runs.add(functools.partial(time_starts, functools.partial(start, options, folder), program, options), backend=name)
        progress.done(repetition)
    return runs.result(KEYS, FIGURES)
