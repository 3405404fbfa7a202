# SPDX-License-Identifier: Apache-2.0
"""Runs of a benchmark: what is known of the machine around each, medians of those that compare, and the program around the parts of a benchmark."""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import harness
import tables
from harness import ROOT, Failure

sys.path.insert(0, str(ROOT / "tools" / "guest"))

from guestlib.processes import GuestError  # noqa: E402

POLICIES = ["never", "rate", "always", "adaptive"]


class Daemon:
    """sidecored under `policy` with one worker, and devices that `tables` describes, in TOML; the last one's socket is `socket`, in `folder`."""

    def __init__(self, name, policy, folder, socket, tables_text, options):
        self.name = name
        self.policy = policy
        config = folder / "config.toml"
        config.write_text(f'[daemon]\ncontrol_socket = "{folder}/control.sock"\n\n[policy]\nkind = "{policy}"\n\n'
                          f'[[worker]]\nname = "worker0"\ncpu = {options.backend_cpu}\n\n{tables_text}')
        self.backend = harness.run_sidecored(name, config, socket, options, folder / "log")

    def __enter__(self):
        try:
            self.backend.wait_until_ready()
        except BaseException:
            self.backend.stop()
            raise
        return self

    def __exit__(self, *_):
        self.backend.stop()

    @property
    def pid(self):
        return self.backend.process.pid


def core_distance(options):
    """What a cache line takes from the driver's core to the back-end's and back, in ns."""
    command = [*harness.bench_command(options, "distance"), "--cpu", str(options.cpu), "--backend-cpu", str(options.backend_cpu)]
    return float(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)


def cpu_seconds(pid):
    """CPU time that all threads of a process have used."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Measuring:
    """The cores' distance before and after what is measured: `run` has it afterwards, under the names that `sidecore bench` uses."""

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
    """One row for each combination of the `keys`, those with the cores at either distance apart: medians and extremes of the figures. In the order in which the combinations
    were first measured."""
    groups = {}
    order = {}
    for run in runs:
        values = tuple(run[key] for key in keys)
        order.setdefault(values, len(order))
        groups.setdefault((run["distance"], *values), []).append(run)
    rows = []
    for (distance, *values), group in sorted(groups.items(), key=lambda item: order[item[0][1:]]):
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
            print(f"{pathlib.Path(sys.argv[0]).name}: {', '.join(names.values())}: {failure}", file=sys.stderr, flush=True)
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


class Benchmark:
    """bench/NAME: parts, all of which are measured unless --only picks some, a file with every run, and tables of the medians."""

    def __init__(self, name, description, parts, part_tables, obstacle=lambda part: ""):
        """`parts`: {name: function of the options and a folder that returns what Runs.result() does}; `part_tables`: as tables.table() has them;
        `obstacle`: why a part cannot be measured on this machine, empty if it can."""
        self._name = name
        self._description = description
        self._parts = parts
        self._tables = part_tables
        self._obstacle = obstacle

    def _parse_arguments(self):
        parser = argparse.ArgumentParser(description=self._description.split("\n", maxsplit=1)[0])
        parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="folder of the build")
        parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build" / "bench" / f"{self._name}.json")
        parser.add_argument("--only", action="append", choices=list(self._parts), help="this part; may be given several times")
        parser.add_argument("--seconds", type=float, default=1.0, help="of each run")
        parser.add_argument("--repetitions", type=int, default=5)
        parser.add_argument("--policies", type=lambda text: text.split(","), default=POLICIES)
        parser.add_argument("--cpu", type=int, default=0, help="of the driver")
        parser.add_argument("--backend-cpu", type=int, default=1)
        parser.add_argument("--write-docs", action="store_true",
                            help="measure nothing: put the tables of --output into docs/benchmarks.md")
        return parser.parse_args()

    def _measure(self, options):
        """Parts that were measured before and are not now stay in the file."""
        report = json.loads(options.output.read_text(encoding="utf-8")) if options.only and options.output.exists() else {}
        settings = {"seconds": options.seconds, "repetitions": options.repetitions, "policies": options.policies}
        measured = []
        options.output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="sidecore-bench-") as folder:
            for part in options.only or self._parts:
                if why := self._obstacle(part):
                    print(f"bench/{self._name}: {part} is left out: {why}", file=sys.stderr)
                    continue
                machine = harness.describe_machine()
                report[part] = {"machine": machine, "settings": settings, **self._parts[part](options, pathlib.Path(folder))}
                measured.append(part)
                options.output.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return report, measured

    def _run(self):
        options = self._parse_arguments()
        if options.write_docs:
            report = json.loads(options.output.read_text(encoding="utf-8"))
            tables.write_into(ROOT / "docs" / "benchmarks.md", f"bench/{self._name}", self._tables, report)
            return 0
        if (os.cpu_count() or 1) < 2:
            raise Failure("a driver and a back-end that both spin need two CPUs")
        report, measured = self._measure(options)
        for part in measured:
            print("\n".join([*tables.table(self._tables[part], report[part]), "", tables.describe(report[part]), ""]))
        print(f"Everything is in {options.output}")
        return 0 if measured else 1

    def main(self):
        try:
            sys.exit(self._run())
        except (Failure, GuestError) as failure:
            print(f"bench/{self._name}: {failure}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)
