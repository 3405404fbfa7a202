# SPDX-License-Identifier: Apache-2.0
"""bench/net, part "guest": the same with a real kernel: user-mode Linux guests that send small messages, under each policy.

"tcp": iperf3 in the guest writes 64 bytes at a time, without delay, to one on the host, through a tap interface. "udp": fio in the guest sends datagrams of 64
bytes, each by a system call, to a network that forgets them. "frames": trafgen in the guest sends it raw frames of 64 bytes, many by each system
call. So "tcp" needs a third CPU, which two CPUs have not, and the others do not. With one guest, and with three whose devices share one worker. All guests are on the
driver's core; the host's iperf3 is where the kernel likes it.
"""

import contextlib
import functools
import json
import shutil
import time

from guest_common import AWAKE_FILES, Sample, awake, figures_between, on_cpu, program_files
from measuring import Measuring, Progress, Runs, compare_with_never

from guestlib.guests import UmlGuest, build_images  # noqa: E402, measuring has made them known
from guestlib.networks import Network, enter_network_of_our_own, ip, may_have_taps  # noqa: E402
from guestlib.processes import Process, Workspace, wait_until  # noqa: E402
from guestlib.sidecore import Sidecore  # noqa: E402

GUESTS = 3
PORT = 5201
PROGRAMS = ["iperf3", "trafgen"]
PACKAGES = {"iperf3": "iperf3", "trafgen": "netsniff-ng"}
# A frame of 64 bytes from its Ethernet header on, to nobody.
TRAFGEN_FRAME = "{ 0x02,0,0,0,0,2, 0x02,0,0,0,0,1, 0x88,0xb5, fill(0x55, 50) }\n"
LOADS = ["tcp", "udp", "frames"]
FIGURES = ["frames_per_s", "payload_mbit_per_s", "kicks_per_s", "kicks_per_frame", "calls_per_s", "avoided_per_s", "backend_cpus", "cpu_ns_per_frame",
           "frames_per_s_to_never", "payload_mbit_per_s_to_never", "kicks_per_s_to_never"]
KEYS = ["load", "policy"]
TRANSMIT = slice(1, 2)  # of a device's queues


def missing():
    """Why this part cannot be measured here; empty if it can."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"{', '.join(absent)} is missing: Debian's package " + ", ".join(PACKAGES[program] for program in absent)
    return "" if may_have_taps() else "it takes root and /dev/net/tun"


def guest_files():
    return {"etc/frame.cfg": TRAFGEN_FRAME, **program_files(*PROGRAMS), **AWAKE_FILES}


class Machine:
    """A guest with an interface eth0 on a tap and one, eth1, whose network forgets what is sent; and the host's iperf3 for it."""

    def __init__(self, number, daemon, workspace, files, cpu):
        self.tap = Network(f"scbench{number}", mac=f"52:54:00:00:01:0{number}")
        self.null = Network(f"null{number}", mac=f"52:54:00:00:02:0{number}", back_end={"kind": "null"})
        self.host = f"10.98.{number}.1"
        self.nobody = f"10.97.{number}.1"
        for network in (self.tap, self.null):
            daemon.add_network(network)
        ip("addr", "add", f"{self.host}/24", "dev", self.tap.name)
        self.server = Process(f"iperf3 {number}", ["iperf3", "--server", "--bind", self.host, "--port", PORT], workspace / f"iperf3-{number}.log")
        with on_cpu(cpu):
            self.guest = UmlGuest([], networks=[self.tap, self.null], name=f"uml{number}", files=files)
        self.guest.run("for i in 0 1; do\n"
                       f"  case $(cat /sys/class/net/eth$i/address) in {self.tap.mac}) tap=eth$i;; *) null=eth$i;; esac\n"
                       "done\n"
                       f"busybox ip link set $tap up\nbusybox ip addr add 10.98.{number}.2/24 dev $tap\nbusybox ip link set $null up\n"
                       f"busybox ip addr add 10.97.{number}.2/24 dev $null\nbusybox arp -i $null -s {self.nobody} 02:00:00:00:00:02\n"
                       "echo $null >/tmp/null")

    def start(self, load, seconds):
        """The guest's job, which sends for so long and longer."""
        if load == "tcp":
            script = f"iperf3 --client {self.host} --port {PORT} --length 64 --no-delay --time {seconds:.0f} --json"
        elif load == "udp":
            script = (f"fio --name=udp --ioengine=net --protocol=udp --hostname={self.nobody} --port=9 --rw=write --bs=64 --size=1t "
                      f"--time_based --runtime={seconds} --thread --eta=never --output=/tmp/udp.log || {{ cat /tmp/udp.log; exit 1; }}")
        else:
            script = ("trafgen --dev $(cat /tmp/null) --conf /etc/frame.cfg --cpus 1 --no-cpu-stats >/tmp/trafgen.log 2>&1 &\n"
                      f"busybox sleep {seconds}\nbusybox killall -9 trafgen\nwait || true")
        return self.guest.start(awake(script))

    def end(self):
        self.guest.kill()
        self.server.kill()


def run_load(daemon, machines, load, policy, options):
    """One run: all machines send at once."""
    daemon.set_policy(policy=policy)
    names = {(machine.tap if load == "tcp" else machine.null).name for machine in machines}

    def sample():
        return Sample(daemon, names, TRANSMIT)

    with Measuring(options) as run:
        before = sample().completions
        # iperf3 counts in whole seconds, and starts first; what is measured lies within.
        jobs = [machine.start(load, options.seconds + 3) for machine in machines]
        try:
            wait_until(lambda: sample().completions > before + 100, 30, f"the guests send ({load}, {policy})")
            time.sleep(0.3)
            begin = sample()
            time.sleep(options.seconds)
            run.update(figures_between(begin, sample(), "frames_per_s", "frame"))
        finally:
            outputs = [job.wait(60) for job in jobs]
    if load == "tcp":
        reports = [json.loads(output[output.index("{"):]) for output in outputs]
        run["payload_mbit_per_s"] = sum(report["end"]["sum_received"]["bits_per_second"] for report in reports) / 1e6
    return run


def measure(options, _folder):
    build_images("uml")
    enter_network_of_our_own()
    progress = Progress("guest", options.repetitions)
    runs = Runs()
    # The host's iperf3 may come to the worker's core, which is no reason to do other than the policy says.
    config = f'[[worker]]\nname = "worker0"\ncpu = {options.backend_cpu}\ngood_neighbour = false\n'
    with Workspace() as workspace, Sidecore(options.build, config) as daemon, contextlib.ExitStack() as stack:
        files = guest_files()
        machines = []
        for number in range(GUESTS):
            machines.append(Machine(number, daemon, workspace, files, options.cpu))
            stack.callback(machines[-1].end)
        for repetition in range(options.repetitions):
            for count in (1, GUESTS):
                for load in LOADS:
                    name = f"{load}, {count} guest{'s' if count > 1 else ''}"
                    of_load = [runs.add(functools.partial(run_load, daemon, machines[:count], load, policy, options), load=name, policy=policy)
                               for policy in options.policies]
                    compare_with_never(of_load, ["frames_per_s", "payload_mbit_per_s", "kicks_per_s"])
            progress.done(repetition)
    return runs.result(KEYS, FIGURES)
