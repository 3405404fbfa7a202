# SPDX-License-Identifier: Apache-2.0
"""What the parts with real guests share."""

import contextlib
import os


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
        self.completions = sum(one["completions"] for queues_of_one in devices for one in queues_of_one[queues])


def figures_between(before, after, rate, one):
    """`rate`: what completions per second are called; `one`: a single one."""
    seconds, completions = after.seconds - before.seconds, after.completions - before.completions
    return {rate: completions / seconds,
            "kicks_per_s": (after.kicks - before.kicks) / seconds,
            f"kicks_per_{one}": (after.kicks - before.kicks) / max(completions, 1),
            "avoided_per_s": (after.avoided - before.avoided) / seconds,
            "backend_cpus": (after.cpu_seconds - before.cpu_seconds) / seconds,
            f"cpu_ns_per_{one}": 1e9 * (after.cpu_seconds - before.cpu_seconds) / max(completions, 1)}
