# SPDX-License-Identifier: Apache-2.0
"""bench/disks, part "scale": does the cost of a request stay the same when more devices share the workers? 1 to 256 null disks on one worker and on
two, each with so many requests in flight at all times that the workers never rest.

The CPU time of all workers by the requests served, to that of the fewest devices that keep the workers busy. Two workers have the back-end's CPU to themselves
in turns: what is shown is what sharing costs, not how fast two are.
"""

import functools

import harness
from disk_common import DiskDaemon, drive
from measuring import Progress, Runs

COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
WORKERS = [1, 2]
DEPTH = 16
STORAGE = f'{{ kind = "null", size = {harness.DISK_BYTES} }}'
BASE_DEVICES = 4  # fewer wait for the driver
FIGURES = ["iops", "backend_cpus", "cpu_ns_per_op", "cpu_ns_per_op_to_few", "lat_p99_us"]
KEYS = ["load", "devices"]


def run_load(workers, devices, options, folder):
    disks = {f"d{number}": "blk" for number in range(devices)}
    with DiskDaemon("always", disks, STORAGE, options, folder, workers) as daemon:
        return drive(f"{devices} devices", options, "blk", daemon.sockets.values(), daemon.pid, "--depth", DEPTH, "--queue-size", "64")


def measure(options, folder):
    progress = Progress("scale", options.repetitions)
    runs = Runs()
    for repetition in range(options.repetitions):
        for workers in WORKERS:
            of_load = {devices: runs.add(functools.partial(run_load, workers, devices, options, folder),
                                         load=f"{workers} worker{'s' if workers > 1 else ''}", devices=f"{devices}")
                       for devices in COUNTS if devices >= workers}
            base = of_load[BASE_DEVICES]
            for run in of_load.values():
                if base is not None and run is not None and harness.stayed([base, run]):
                    run["cpu_ns_per_op_to_few"] = run["cpu_ns_per_op"] / base["cpu_ns_per_op"]
        progress.done(repetition)
    return runs.result(KEYS, FIGURES)
