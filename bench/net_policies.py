# SPDX-License-Identifier: Apache-2.0
"""bench/net, part "policies": the experiment of the 2014 patch on our own front-end: small frames from a saturated guest under each policy.

One front-end, and three of them, each a process, whose devices share one worker. All front-ends are on the driver's core.
"""

import contextlib
import functools

from measuring import Measuring, Progress, Runs, compare_with_never
from net_common import LOOPBACK, NULL, NetDaemon, net_bench, net_benches

FRAME_BYTES = 64
FRONT_ENDS = 3
# Frames that the driver publishes at once. Linux's publishes each by itself, but for what its queueing discipline hands it together.
BATCHES = [1, 32]
FIGURES = ["frames_per_s", "kicks_per_s", "kicks_per_frame", "backend_cpus", "cpu_ns_per_frame", "lat_p50_us", "lat_p99_us",
           "frames_per_s_to_never", "kicks_per_s_to_never"]
KEYS = ["load", "policy"]


def figures_of(runs):
    """Of what ran at the same time: the sums."""
    figures = {"frames_per_s": sum(run["transmitted_per_s"] for run in runs),
               "kicks_per_s": sum(run["transmit_kicks"] / run["seconds"] for run in runs),
               # Each has looked at the same process, a little apart.
               "backend_cpus": sum(run["backend_cpus"] for run in runs) / len(runs)}
    figures["kicks_per_frame"] = figures["kicks_per_s"] / max(figures["frames_per_s"], 1)
    figures["cpu_ns_per_frame"] = 1e9 * figures["backend_cpus"] / max(figures["frames_per_s"], 1)
    return figures


def saturated(daemon, batch, front_ends, options):
    sockets = [daemon.socket(f"null{number}") for number in range(front_ends)]
    with Measuring(options) as run:
        runs = net_benches(options, sockets, daemon.pid, "tx", "--bytes", FRAME_BYTES, "--batch", batch)
    run.update(figures_of(runs), each=runs)
    return run


def request_response(daemon, options):
    run = net_bench(options, daemon.socket("loopback"), daemon.pid, "rr")
    run.update(frames_per_s=run["responses_per_s"], kicks_per_s=run["transmit_kicks"] / run["seconds"])
    return run


def idle(daemon, options):
    """A front-end that has started its queues and sends nothing; nothing comes."""
    run = net_bench(options, daemon.socket("loopback"), daemon.pid, "rx")
    run.update(frames_per_s=0, kicks_per_s=0)
    return run


def loads():
    """{name: what measures it}"""
    measured = {}
    for batch in BATCHES:
        for front_ends in (1, FRONT_ENDS):
            who = "one front-end" if front_ends == 1 else f"{front_ends} front-ends"
            measured[f"{who}, batches of {batch}"] = lambda daemon, options, batch=batch, count=front_ends: saturated(daemon, batch, count, options)
    measured["request-response"] = request_response
    measured["idle"] = idle
    return measured


def one_round(daemons, runs, options):
    for load, drive in loads().items():
        of_load = [runs.add(functools.partial(drive, daemon, options), load=load, policy=daemon.policy) for daemon in daemons]
        compare_with_never(of_load, ["frames_per_s", "kicks_per_s"])


def measure(options, folder):
    progress = Progress("policies", options.repetitions)
    devices = {**{f"null{number}": NULL for number in range(FRONT_ENDS)}, "loopback": LOOPBACK}
    runs = Runs()
    for repetition in range(options.repetitions):
        # New daemons for each round: no policy profits from what it learned in the one before.
        with contextlib.ExitStack() as stack:
            daemons = [stack.enter_context(NetDaemon(f"sidecored {policy}", policy, devices, options, folder)) for policy in options.policies]
            one_round(daemons, runs, options)
        progress.done(repetition)
    return runs.result(KEYS, FIGURES)
