# SPDX-License-Identifier: Apache-2.0
"""What the parts with real guests share."""

import contextlib
import os
import pathlib
import shutil
import subprocess


def program_files(*programs):
    """{path in the guest: content} of programs of the host and of the libraries that they need."""
    files = {}
    for program in programs:
        path = shutil.which(program)
        files[f"bin/{program}"] = pathlib.Path(path).read_bytes()
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            words = line.split()
            if len(words) >= 3 and words[1] == "=>":
                files[f"lib/x86_64-linux-gnu/{words[0]}"] = pathlib.Path(words[2]).read_bytes()
    return files


AWAKE_FILES = program_files("chrt")


def awake(script):
    """The script for a guest that got AWAKE_FILES, beside a job that makes system calls whenever nothing else in it wants to run, so that its CPU never sleeps.

    User-mode Linux loses interrupts while it goes to sleep: it looks whether something is to do, and then waits for a signal, and a signal between the two is
    noted but does not keep it from waiting, until its tick up to 10 ms later. A device that answers at once hits that moment often, one that has to
    be woken up first rarely, and so the bug would decide what is measured. A virtual machine's halt instruction has no such moment.
    """
    return ("chrt --idle 0 sh -c 'while umask; do :; done' </dev/null >/dev/null 2>&1 &\nawake=$!\n"
            f"( {script} )\nstatus=$?\nkill $awake\nexit $status")


@contextlib.contextmanager
def on_cpu(cpu):
    """What is started meanwhile stays on that CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Sample:
    """What the daemon has counted for the guests' devices, by name, at one moment; `queues` picks those whose completions count."""

    def __init__(self, daemon, names, queues=slice(None)):
        everything = daemon.statistics()
        self.seconds = everything["time_ns"] / 1e9
        self.cpu_seconds = everything["workers"][0]["cpu_time_ns"] / 1e9
        devices = [[queue["counters"] for queue in device["queues"]] for device in everything["devices"] if device["name"] in names]
        self.kicks = sum(one["kicks"] for queues_of_one in devices for one in queues_of_one)
        self.avoided = sum(one["poll_kicks"] for queues_of_one in devices for one in queues_of_one)
        self.calls = sum(one["calls"] for queues_of_one in devices for one in queues_of_one)
        self.completions = sum(one["completions"] for queues_of_one in devices for one in queues_of_one[queues])


def figures_between(before, after, rate, one):
    """`rate`: what completions per second are called; `one`: a single one."""
    seconds, completions = after.seconds - before.seconds, after.completions - before.completions
    return {rate: completions / seconds,
            "kicks_per_s": (after.kicks - before.kicks) / seconds,
            f"kicks_per_{one}": (after.kicks - before.kicks) / max(completions, 1),
            "calls_per_s": (after.calls - before.calls) / seconds,
            "avoided_per_s": (after.avoided - before.avoided) / seconds,
            "backend_cpus": (after.cpu_seconds - before.cpu_seconds) / seconds,
            f"cpu_ns_per_{one}": 1e9 * (after.cpu_seconds - before.cpu_seconds) / max(completions, 1)}
