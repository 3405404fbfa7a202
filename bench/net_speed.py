# SPDX-License-Identifier: Apache-2.0
"""bench/net, part "speed": frames of 64 bytes through sidecored and through DPDK's vhost, a core each, driven by `sidecore bench` and by DPDK's virtio-user.

The back-ends are there all the time and take turns: a testpmd that is stopped, and a worker without a front-end, use no CPU.
"""

import functools
import time

from measuring import Measuring, Progress, Runs, cpu_seconds
from net_common import LOOPBACK, NULL, ON_SWITCH, NetDaemon, net_bench

from guestlib.testpmd import Testpmd  # noqa: E402, measuring has made it known

FRAME_BYTES = 64
BURSTS = 8  # of 32 packets: what goes round and round fills testpmd's ring of 256

# What a run's name says: what `sidecore bench` does, what testpmd does as a driver, and who plays the other part.
MODES = {
    # name: (its mode, testpmd's mode as the driver, sidecored's device, testpmd's mode as the back-end)
    "tx": ("tx", "txonly", "null", "rxonly"),
    "rx": ("rx", "rxonly", None, "txonly"),
    "loop": ("loop", "io", "loopback", "io"),
    "switch": ("loop", None, "one", None),
    "loop, macswap": ("loop", "io", None, "macswap"),
    "rr": ("rr", None, "loopback", "io"),
    "switch, rr": ("rr", None, "one", None),
    "idle": ("rx", None, "loopback", "io"),
}
FIGURES = ["frames_per_s", "kicks_per_frame", "backend_cpus", "lat_p50_us", "lat_p99_us"]
KEYS = ["mode", "client", "backend"]
POLICIES = ["always", "adaptive"]


class SidecoreTarget:
    def __init__(self, policy, daemon):
        self.name = f"sidecored {policy}"
        self.pid = daemon.pid
        self._daemon = daemon

    def begin(self, mode):
        """The socket to connect to; none if it has nothing like it."""
        device = MODES[mode][2]
        return self._daemon.socket(device) if device else None

    def receiver(self, mode):
        """The socket of the device that frames come out of, if that is another one."""
        return self._daemon.socket("other") if MODES[mode][2] == "one" else None

    def end(self):
        pass


class DpdkTarget:
    name = "DPDK vhost"

    def __init__(self, testpmd, socket):
        self.pid = testpmd.pid
        self._testpmd = testpmd
        self._socket = socket

    def begin(self, mode):
        if MODES[mode][3] is None:
            return None
        self._testpmd.command(f"set fwd {MODES[mode][3]}")
        self._testpmd.command("start")
        return self._socket

    def receiver(self, _mode):
        return None

    def end(self):
        self._testpmd.command("stop")


def drive_with_net_bench(mode, target, socket, options):
    receiver = target.receiver(mode)
    run = net_bench(options, socket, target.pid, MODES[mode][0], "--bytes", FRAME_BYTES, *(["--receive-socket", receiver] if receiver else []))
    rates = {"tx": "transmitted_per_s", "rr": "responses_per_s"}
    run["frames_per_s"] = run[rates.get(MODES[mode][0], "received_per_s")]
    return run


def drive_with_testpmd(mode, target, socket, options):
    """The rate from testpmd's own counters."""
    forward = MODES[mode][1]
    vdev = f"net_virtio_user0,path={socket},queue_size=512"
    with Testpmd([vdev], ["--port-topology=loop", f"--forward-mode={forward}", "--rxd=512", "--txd=512"], cpu=options.cpu) as testpmd:
        counted = "TX-packets" if forward == "txonly" else "RX-packets"
        with Measuring(options) as run:
            testpmd.command(f"start tx_first {BURSTS}" if forward == "io" else "start")
            time.sleep(min(0.3, options.seconds))
            used, start, before = cpu_seconds(target.pid), time.monotonic(), testpmd.statistics()[counted]
            time.sleep(options.seconds)
            used_after, end, after = cpu_seconds(target.pid), time.monotonic(), testpmd.statistics()[counted]
            testpmd.command("stop")
            run["frames_per_s"] = (after - before) / (end - start)
            run["backend_cpus"] = (used_after - used) / (end - start)
        testpmd.quit()
    return run


def one_round(targets, runs, options):
    for mode, (_, forward, _, _) in MODES.items():
        for target in targets:
            for client, drive, possible in (("sidecore bench", drive_with_net_bench, True),
                                            ("DPDK virtio-user", drive_with_testpmd, forward is not None)):
                if not possible:
                    continue
                socket = target.begin(mode)
                if socket is None:
                    continue
                runs.add(functools.partial(drive, mode, target, socket, options), mode=mode, client=client, backend=target.name)
                target.end()


def measure(options, folder):
    progress = Progress("speed", options.repetitions)
    runs = Runs()
    devices = {"null": NULL, "one": ON_SWITCH, "other": ON_SWITCH, "loopback": LOOPBACK}
    with NetDaemon("sidecored always", "always", devices, options, folder) as always, \
            NetDaemon("sidecored adaptive", "adaptive", devices, options, folder) as adaptive:
        socket = folder / "dpdk.sock"
        with Testpmd([f"net_vhost0,iface={socket},queues=1"], ["--port-topology=loop", "--rxd=512", "--txd=512"], cpu=options.backend_cpu,
                     name="testpmd, the back-end") as testpmd:
            targets = [SidecoreTarget("always", always), SidecoreTarget("adaptive", adaptive), DpdkTarget(testpmd, socket)]
            for repetition in range(options.repetitions):
                one_round(targets, runs, options)
                progress.done(repetition)
    return runs.result(KEYS, FIGURES)
