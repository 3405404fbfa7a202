# SPDX-License-Identifier: Apache-2.0
"""bench/disks, part "idle": machines that have started their disks and do nothing: what the back-end's process uses, CPU time and memory."""

import concurrent.futures
import contextlib
import functools
import pathlib
import re
import time

import harness
from disk_common import DiskDaemon, bench_command
from measuring import Progress, Runs

COUNTS = [1, 4, 16, 64]
STORAGE = f'{{ kind = "null", size = {harness.DISK_BYTES} }}'
FIGURES = ["backend_cpus", "memory_mib", "memory_mib_per_vm"]
KEYS = ["load", "backend"]


def memory_mib(pid):
    """What a process has in memory of its own: no guest's, and no program's."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE).group(1)) / 1024


def idle(pid, sockets, options):
    """A VM each, none of which makes a request; memory is looked at while they are there."""
    before = memory_mib(pid)
    streams = [word for socket in sockets for word in ("--stream", f"{socket},depth=0")]
    command = bench_command(options, "blk", [], pid, "--depth", "1", "--queue-size", "256", *streams)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        driving = pool.submit(harness.run_json, command, "idle")
        most = before
        while not driving.done():
            most = max(most, memory_mib(pid))
            time.sleep(0.02)
    (run,) = driving.result()
    run["distance"] = harness.distance_of(run)
    run["memory_mib"] = most
    run["memory_mib_per_vm"] = (most - before) / len(sockets)
    return run


def measure(options, folder):
    progress = Progress("idle", options.repetitions)
    runs = Runs()
    for repetition in range(options.repetitions):
        for count in COUNTS:
            with contextlib.ExitStack() as stack:
                disks = {f"d{number}": "blk" for number in range(count)}
                for policy in options.policies:
                    daemon = stack.enter_context(DiskDaemon(policy, disks, STORAGE, options, folder))
                    runs.add(functools.partial(idle, daemon.pid, list(daemon.sockets.values()), options), load=f"{count:3} VMs", backend=daemon.name)
                for polling in (False, True):
                    peer = harness.start_qemu_storage_daemon(options.backend_cpu, folder, polling, count)
                    stack.callback(peer.stop)
                    peer.wait_until_ready()
                    runs.add(functools.partial(idle, peer.process.pid, peer.sockets, options), load=f"{count:3} VMs", backend=peer.name)
        progress.done(repetition)
    return runs.result(KEYS, FIGURES)
