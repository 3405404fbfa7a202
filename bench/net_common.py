# SPDX-License-Identifier: Apache-2.0
"""What the parts of bench/net share: daemons with network devices, one run of net_bench, medians."""

import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import harness
from harness import ROOT, Failure

sys.path.insert(0, str(ROOT / "tools" / "guest"))

from guestlib.processes import GuestError  # noqa: E402


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
    return [str(options.build / "bin" / "net_bench"), "--socket", str(socket), "--pid", str(pid), "--mode", mode, "--seconds", str(seconds),
            "--warm-up", str(min(0.3, seconds)), "--cpu", str(options.cpu), "--backend-cpu", str(options.backend_cpu), "--json", "-",
            "--rewrite-descriptors", "--no-control", *map(str, arguments)]


def net_bench(options, socket, pid, mode, *arguments):
    """One run: its JSON, with the cores' distance."""
    command = net_bench_command(options, socket, pid, mode, options.seconds, *arguments)
    (run,) = harness.run_json(command, f"net_bench, {mode}")
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
                raise Failure(f"net_bench, {mode}: {errors.strip() or 'faults'}")
            runs += json.loads(output)
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
    return runs


def core_distance(options):
    """What a cache line takes from the driver's core to the back-end's and back, in ns."""
    command = [str(options.build / "bin" / "core_distance"), "--cpu", str(options.cpu), "--backend-cpu", str(options.backend_cpu)]
    return float(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)


def cpu_seconds(pid):
    """CPU time that all threads of a process have used."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Measuring:
    """The cores' distance before and after what is measured: `run` has it afterwards, under the names that net_bench uses."""

    def __init__(self, options):
        self.options = options
        self.run = {}

    def __enter__(self):
        self.run["ping_pong_before_ns"] = core_distance(self.options)
        return self.run

    def __exit__(self, kind, *_):
        if kind is None:
            self.run["ping_pong_after_ns"] = core_distance(self.options)
            self.run["distance"] = harness.distance_of(self.run)


def summarise(runs, keys, figures):
    """One row for each combination of the `keys`, those with the cores at either distance apart: medians and extremes of the figures."""
    groups = {}
    for run in runs:
        groups.setdefault((run["distance"], *(run[key] for key in keys)), []).append(run)
    rows = []
    for (distance, *values), group in groups.items():
        row = {"distance": distance, **dict(zip(keys, values)), "runs": len(group)}
        for figure in figures:
            numbers = [run[figure] for run in group if run.get(figure) is not None]
            if numbers:
                row[figure] = {"median": statistics.median(numbers), "min": min(numbers), "max": max(numbers)}
        row["ping_pong_ns"] = statistics.median(run[key] for run in group for key in ("ping_pong_before_ns", "ping_pong_after_ns"))
        rows.append(row)
    return rows


class Runs:
    """What was measured, and what could not be: on a busy machine a run may fail, and the others count."""

    def __init__(self):
        self.runs = []
        self.failures = []

    def add(self, drive, **names):
        """Drives a run, which is called `names`; none if it fails."""
        try:
            run = drive()
        except (Failure, GuestError, subprocess.TimeoutExpired) as failure:
            self.failures.append({**names, "why": str(failure)})
            print(f"bench/net: {', '.join(names.values())}: {failure}", file=sys.stderr, flush=True)
            return None
        run.update(names)
        self.runs.append(run)
        return run

    def result(self, keys, figures):
        return {"rows": summarise(self.runs, keys, figures), "failures": self.failures, "runs": self.runs}


def compare_with_never(runs, figures):
    """Adds ratios to the run under `never` to runs of one load in one round, during which the cores must have stayed where they were."""
    runs = [run for run in runs if run is not None]
    never = next((run for run in runs if run["policy"] == "never"), None)
    if never is None or not harness.stayed(runs):
        return
    for run in runs:
        for figure in figures:
            if never.get(figure):
                run[f"{figure}_to_never"] = run[figure] / never[figure]


class Progress:
    def __init__(self, part, repetitions):
        self._part = part
        self._repetitions = repetitions
        self._start = time.monotonic()

    def done(self, repetition):
        print(f"{self._part}: repetition {repetition + 1} of {self._repetitions}, {time.monotonic() - self._start:.0f} s", file=sys.stderr,
              flush=True)
