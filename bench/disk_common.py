# SPDX-License-Identifier: Apache-2.0
"""What the parts of bench/disks share: daemons with disks."""

import pathlib
import tempfile

import harness
from measuring import Daemon


class DiskDaemon(Daemon):
    """A daemon with disks, {name: its type, "blk" or "scsi"}, all with the same `storage`, shared out among so many workers on one CPU."""

    def __init__(self, policy, disks, storage, options, folder, workers=1):
        folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        self.sockets = {name: folder / f"{name}.sock" for name in disks}
        text = "".join(f'[[worker]]\nname = "worker{number}"\ncpu = {options.backend_cpu}\n\n' for number in range(1, workers))
        text += "".join(f'[[device]]\nname = "{name}"\ntype = "{device}"\nsocket = "{self.sockets[name]}"\nworker = "worker{number % workers}"\n'
                        + ("[[device.unit]]\n" if device == "scsi" else "") + f"storage = {storage}\n\n"
                        for number, (name, device) in enumerate(disks.items()))
        super().__init__(f"sidecored {policy}", policy, folder, self.sockets[list(disks)[-1]], text, options)


def bench_command(options, device, sockets, pid, *arguments):
    """`sidecore bench` on the disks behind these sockets, at once."""
    return harness.bench_command(options, device, *(word for socket in sockets for word in ("--socket", socket)), "--pid", pid,
                                 "--seconds", options.seconds, "--cpu", options.cpu, "--backend-cpu", options.backend_cpu,
                                 "--format", "json", *arguments)


def drive(what, options, device, sockets, pid, *arguments):
    """One run of that, which writes its descriptors anew as a guest's driver does."""
    (run,) = harness.run_json(bench_command(options, device, sockets, pid, "--rewrite-descriptors", *arguments), what)
    run["distance"] = harness.distance_of(run)
    run["cpu_ns_per_op"] = 1e9 * run["backend_cpus"] / max(run["iops"], 1)
    return run
