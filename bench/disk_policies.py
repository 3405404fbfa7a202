# SPDX-License-Identifier: Apache-2.0
"""bench/disks, part "policies": the 2014 patch's other experiment on our own front-end: random reads of 4 KiB, two at a time, of disks in memory,
by one front-end and by three whose disks share one worker, under each policy."""

import contextlib
import functools

from disk_common import DiskDaemon, drive
from measuring import Progress, Runs, compare_with_never

FRONT_ENDS = 3
DEPTH = 2  # the patch's guests had two threads
STORAGE = f'{{ kind = "memory", size = {64 << 20} }}'
FIGURES = ["iops", "kicks_per_s", "kicks_per_op", "backend_cpus", "cpu_ns_per_op", "lat_p50_us", "lat_p99_us", "iops_to_never", "kicks_per_s_to_never"]
KEYS = ["load", "policy"]


def random_reads(daemon, device, front_ends, options):
    sockets = [daemon.sockets[f"{device}{number}"] for number in range(front_ends)]
    return drive(f"{daemon.name}, {device}", options, device, sockets, daemon.pid, "--depth", DEPTH)


def one_round(daemons, runs, options):
    for device in ("blk", "scsi"):
        for front_ends in (1, FRONT_ENDS):
            load = f"{device}, {'one front-end' if front_ends == 1 else f'{front_ends} front-ends'}"
            of_load = [runs.add(functools.partial(random_reads, daemon, device, front_ends, options), load=load, policy=daemon.policy)
                       for daemon in daemons]
            compare_with_never(of_load, ["iops", "kicks_per_s"])


def measure(options, folder):
    progress = Progress("policies", options.repetitions)
    disks = {f"{device}{number}": device for device in ("blk", "scsi") for number in range(FRONT_ENDS)}
    runs = Runs()
    for repetition in range(options.repetitions):
        # New daemons for each round: no policy profits from what it learned in the one before.
        with contextlib.ExitStack() as stack:
            daemons = [stack.enter_context(DiskDaemon(policy, disks, STORAGE, options, folder)) for policy in options.policies]
            one_round(daemons, runs, options)
        progress.done(repetition)
    return runs.result(KEYS, FIGURES)
