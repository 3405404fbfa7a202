# SPDX-License-Identifier: Apache-2.0
"""bench/disks, part "guest": the same with a real kernel: fio in user-mode Linux guests, two threads that read 4 KiB at random places of a disk in the
daemon's memory, as block device and as unit of a SCSI device, under each policy; one guest, and three whose disks share one worker. All guests are on the driver's core."""

import contextlib
import functools
import time

from guest_common import AWAKE_FILES, Sample, awake, figures_between, on_cpu
from measuring import Measuring, Progress, Runs, compare_with_never

from guestlib.disks import Disk, ScsiDevice, Unit  # noqa: E402, measuring has made them known
from guestlib.guests import UmlGuest, build_images  # noqa: E402
from guestlib.processes import Workspace, wait_until  # noqa: E402
from guestlib.sidecore import Sidecore  # noqa: E402

GUESTS = 3
DISK_BYTES = 64 << 20
FIGURES = ["iops", "kicks_per_s", "kicks_per_op", "avoided_per_s", "backend_cpus", "cpu_ns_per_op", "iops_to_never", "kicks_per_s_to_never"]
KEYS = ["load", "policy"]


class Machine:
    """A guest with a block device, vda, and a SCSI disk, sda."""

    NODES = {"blk": "vda", "scsi": "sda"}

    def __init__(self, number, daemon, cpu):
        blk = Disk(f"blk{number}", "memory", DISK_BYTES)
        daemon.add(blk)
        scsi = ScsiDevice(f"scsi{number}", [Unit(Disk(f"sd{number}", "memory", DISK_BYTES))])
        daemon.add_scsi(scsi)
        self.devices = {"blk": blk.name, "scsi": scsi.name}
        with on_cpu(cpu):
            self.guest = UmlGuest([blk.socket], scsi=[scsi], name=f"uml{number}", files=AWAKE_FILES)
        self.guest.run("for i in $(busybox seq 100); do [ -b /dev/sda ] && exit 0; busybox usleep 100000; done; exit 1")

    def start(self, device, seconds):
        """The guest's job, which reads for so long."""
        return self.guest.start(awake(f"fio --name=read --filename=/dev/{self.NODES[device]} --rw=randread --bs=4k --direct=1 --ioengine=psync --thread "
                                      f"--numjobs=2 --time_based --runtime={seconds} --size={DISK_BYTES} --eta=never --output=/tmp/fio.log "
                                      "|| { cat /tmp/fio.log; exit 1; }"))


def run_load(daemon, machines, device, policy, options):
    daemon.set_policy(policy=policy)
    names = {machine.devices[device] for machine in machines}
    with Measuring(options) as run:
        before = Sample(daemon, names).completions
        jobs = [machine.start(device, options.seconds + 2) for machine in machines]
        try:
            wait_until(lambda: Sample(daemon, names).completions > before + 100, 30, f"the guests read ({device}, {policy})")
            time.sleep(0.5)
            begin = Sample(daemon, names)
            time.sleep(options.seconds)
            run.update(figures_between(begin, Sample(daemon, names), "iops", "op"))
        finally:
            for job in jobs:
                job.wait(60)
    return run


def measure(options, _folder):
    build_images("uml")
    progress = Progress("guest", options.repetitions)
    runs = Runs()
    config = f'[[worker]]\nname = "worker0"\ncpu = {options.backend_cpu}\n'
    with Workspace(), Sidecore(options.build, config) as daemon, contextlib.ExitStack() as stack:
        machines = []
        for number in range(GUESTS):
            machines.append(Machine(number, daemon, options.cpu))
            stack.callback(machines[-1].guest.kill)
        for repetition in range(options.repetitions):
            for count in (1, GUESTS):
                for device in Machine.NODES:
                    load = f"{device}, {count} guest{'s' if count > 1 else ''}"
                    of_load = [runs.add(functools.partial(run_load, daemon, machines[:count], device, policy, options), load=load, policy=policy)
                               for policy in options.policies]
                    compare_with_never(of_load, ["iops", "kicks_per_s"])
            progress.done(repetition)
    return runs.result(KEYS, FIGURES)
