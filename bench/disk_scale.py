# SPDX-License-Identifier: Apache-2.0
"""bench/disks, part "scale": does the cost of a request stay the same when more devices share the workers? 1 to 256 null disks on one worker and on
two, each with so many requests in flight at all times that the workers never rest.

The CPU time of all workers by the requests served, to that of the fewest devices that keep the workers busy. Two workers have the back-end's CPU to themselves
in turns: what is shown is what sharing costs, not how fast two are.
"""

import functools
import pathlib
import tempfile

import harness
from disk_common import bench_command
from measuring import Daemon, Progress, Runs

COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
WORKERS = [1, 2]
DEPTH = 16
STORAGE = f'{{ kind = "null", size = {harness.DISK_BYTES} }}'
BASE_DEVICES = 4  # fewer wait for the driver
FIGURES = ["iops", "backend_cpus", "cpu_ns_per_op", "cpu_ns_per_op_to_few", "lat_p99_us"]
KEYS = ["load", "devices"]


class Crowd(Daemon):
    """A daemon whose disks are shared out among its workers."""

    def __init__(self, workers, devices, options, folder):
        folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        self.sockets = [folder / f"d{number}.sock" for number in range(devices)]
        text = "".join(f'[[worker]]\nname = "worker{number}"\ncpu = {options.backend_cpu}\n\n' for number in range(1, workers))
        text += "".join(f'[[device]]\nname = "d{number}"\ntype = "blk"\nsocket = "{socket}"\nworker = "worker{number % workers}"\nstorage = {STORAGE}\n\n'
                        for number, socket in enumerate(self.sockets))
        super().__init__(f"{devices} devices on {workers}", "always", folder, self.sockets[-1], text, options)


def drive(workers, devices, options, folder):
    with Crowd(workers, devices, options, folder) as daemon:
        command = bench_command(options, "blk", daemon.sockets, daemon.pid, "--depth", DEPTH, "--queue-size", "64", "--rewrite-descriptors")
        (run,) = harness.run_json(command, daemon.name)
    run["distance"] = harness.distance_of(run)
    run["cpu_ns_per_op"] = 1e9 * run["backend_cpus"] / max(run["iops"], 1)
    return run


def measure(options, folder):
    progress = Progress("scale", options.repetitions)
    runs = Runs()
    for repetition in range(options.repetitions):
        for workers in WORKERS:
            of_load = {devices: runs.add(functools.partial(drive, workers, devices, options, folder),
                                         load=f"{workers} worker{'s' if workers > 1 else ''}", devices=f"{devices}")
                       for devices in COUNTS if devices >= workers}
            base = of_load[BASE_DEVICES]
            for run in of_load.values():
                if base is not None and run is not None and harness.stayed([base, run]):
                    run["cpu_ns_per_op_to_few"] = run["cpu_ns_per_op"] / base["cpu_ns_per_op"]
        progress.done(repetition)
    return runs.result(KEYS, FIGURES)
