# SPDX-License-Identifier: Apache-2.0
"""What the parts of bench/net share: daemons with network devices, and one run of `sidecore bench net`."""

import contextlib
import json
import pathlib
import subprocess
import tempfile

import harness
from harness import Failure


class NetDaemon:
    """sidecored under `policy` with network devices, {name: their `network`}, on one worker."""

    def __init__(self, name, policy, devices, options, folder):
        self.name = name
        self.policy = policy
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        text = (f'[daemon]\ncontrol_socket = "{self.folder}/control.sock"\n\n[policy]\nkind = "{policy}"\n\n'
                f'[[worker]]\nname = "worker0"\ncpu = {options.backend_cpu}\n\n')
        if ON_SWITCH in devices.values():
            text += '[[switch]]\nname = "lan"\n\n'
        for device, network in devices.items():
            text += f'[[device]]\nname = "{device}"\ntype = "net"\nsocket = "{self.socket(device)}"\nnetwork = {network}\n\n'
        config = self.folder / "config.toml"
        config.write_text(text)
        self._backend = harness.run_sidecored(name, config, self.socket(list(devices)[-1]), options, self.folder / "log")

    def __enter__(self):
        try:
            self._backend.wait_until_ready()
        except BaseException:
            self._backend.stop()
            raise
        return self

    def __exit__(self, *_):
        self._backend.stop()

    @property
    def pid(self):
        return self._backend.process.pid

    def socket(self, device):
        return self.folder / f"{device}.sock"


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
