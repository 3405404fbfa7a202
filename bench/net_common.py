# SPDX-License-Identifier: Apache-2.0
"""What the parts of bench/net share: daemons with network devices, and one run of `sidecore bench net`."""

import contextlib
import json
import pathlib
import subprocess
import tempfile

import harness
from harness import Failure
from measuring import Daemon


class NetDaemon(Daemon):
    """A daemon with network devices, {name: their `network`}."""

    def __init__(self, name, policy, devices, options, folder):
        self._folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        text = '[[switch]]\nname = "lan"\n\n' if ON_SWITCH in devices.values() else ""
        for device, network in devices.items():
            text += f'[[device]]\nname = "{device}"\ntype = "net"\nsocket = "{self.socket(device)}"\nnetwork = {network}\n\n'
        super().__init__(name, policy, self._folder, self.socket(list(devices)[-1]), text, options)

    def socket(self, device):
        return self._folder / f"{device}.sock"


NULL = '{ kind = "null" }'
ON_SWITCH = '{ kind = "switch", switch = "lan" }'
LOOPBACK = '{ kind = "loopback" }'


def net_bench_command(options, socket, pid, mode, seconds, *arguments):
    return [*harness.bench_command(options, "net"), "--socket", str(socket), "--pid", str(pid), "--mode", mode, "--seconds", str(seconds),
            "--warm-up", str(min(0.3, seconds)), "--cpu", str(options.cpu), "--backend-cpu", str(options.backend_cpu), "--format", "json",
            "--rewrite-descriptors", "--no-control", *map(str, arguments)]


def net_bench(options, socket, pid, mode, *arguments):
    """One run: its JSON, with the cores' distance."""
    command = net_bench_command(options, socket, pid, mode, options.seconds, *arguments)
    (run,) = harness.run_json(command, f"sidecore bench net, {mode}")
    run["distance"] = harness.distance_of(run)
    return run


def net_benches(options, sockets, pid, mode, *arguments):
    """Several at once, all on the driver's core: their JSON, in order."""
    processes = [subprocess.Popen(net_bench_command(options, socket, pid, mode, options.seconds, *arguments),
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for socket in sockets]
    runs = []
    try:
        for process in processes:
            output, errors = process.communicate(timeout=300)
            if process.returncode != 0:
                raise Failure(f"sidecore bench net, {mode}: {errors.strip() or 'faults'}")
            runs += json.loads(output)
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
    return runs
