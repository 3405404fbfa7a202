# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: back-end processes on their core, one run of the driver, and how far apart the cores were."""

import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DISK_BYTES = 64 << 30
# Between the two distances that cores of one machine have been seen at: about 100 ns there and back, or 300 ns and more.
CLOSE_NS = 200
# In the names of back-ends.
OF_DEVICE = {"blk": "", "scsi": ", scsi"}


# Who is told to end does so in order, and with it what it has started.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


class Failure(Exception):
    """Something that the user is told in one line."""


class Backend:
    """A back-end process on its core, with its socket."""

    def __init__(self, name, command, socket, cpu, log, device="blk"):
        self.name = name
        self.socket = socket
        self.sockets = [socket]
        self.device = device
        self.log = log
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
            )

    def arguments(self):
        return [self.device, "--socket", str(self.socket), "--pid", str(self.process.pid)]

    def wait_until_ready(self):
        deadline = time.monotonic() + 10
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{self.name} does not listen:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.01)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Mirror:
    """The thread inside the driver that does nothing: what the driver itself can do."""

    def __init__(self, device="blk"):
        self.name = "driver alone" + OF_DEVICE[device]
        self.device = device

    def arguments(self):
        return [self.device, "--mirror"]

    def wait_until_ready(self):
        pass

    def stop(self):
        pass


def start_sidecored(policy, options, folder, device="blk"):
    """A daemon with one null disk, a block device or a SCSI device's unit, and one worker."""
    name = f"{policy}-{device}"
    config = folder / f"{name}.toml"
    socket = folder / f"{name}.sock"
    storage = f'storage = {{ kind = "null", size = {DISK_BYTES} }}\n'
    config.write_text(
        f'[daemon]\ncontrol_socket = "{folder}/{name}-control.sock"\n\n'
        f'[policy]\nkind = "{policy}"\n\n'
        f'[[worker]]\nname = "worker0"\ncpu = {options.backend_cpu}\n\n'
        f'[[device]]\nname = "null"\ntype = "{device}"\nsocket = "{socket}"\nqueues = {options.queues}\n'
        + (f"[[device.unit]]\ntarget = 0\nlun = 0\n{storage}" if device == "scsi" else storage)
    )
    return run_sidecored(f"sidecored {policy}{OF_DEVICE[device]}", config, socket, options, folder / f"{name}.log", device)


def run_sidecored(name, config, socket, options, log, device="blk"):
    """A daemon with that configuration; it is ready when `socket` is there."""
    command = [str(options.build / "bin" / "sidecored"), "--config", str(config)]
    return Backend(name, command, socket, options.backend_cpu, log, device)


# QEMU's default for iothreads of virtual machines; its storage daemon's main loop does not poll.
QEMU_POLL_NS = 32768


NULL_DISK = f"driver=null-co,size={DISK_BYTES},read-zeroes=off"


def start_qemu_storage_daemon(backend_cpu, folder, polling=False, exports=1, queues=1, disk=NULL_DISK):
    """qemu-storage-daemon with such disks; with `polling` they have an iothread that polls for a while before it sleeps."""
    program = shutil.which("qemu-storage-daemon")
    if program is None:
        raise Failure("qemu-storage-daemon is missing: it is in Debian's package qemu-system-common")
    name = "qemu-storage-daemon" + (", polls" if polling else "")
    sockets = [folder / f"qemu{'-polls' if polling else ''}-{number}.sock" for number in range(exports)]
    command = [program]
    if polling:
        command += ["--object", f"iothread,id=t0,poll-max-ns={QEMU_POLL_NS}"]
    for number, socket in enumerate(sockets):
        command += [
            *("--blockdev", f"{disk},node-name=n{number}"),
            "--export",
            f"type=vhost-user-blk,id=e{number},node-name=n{number},addr.type=unix,addr.path={socket},writable=on,"
            f"num-queues={queues}" + (",iothread=t0" if polling else ""),
        ]
    backend = Backend(name, command, sockets[-1], backend_cpu, folder / f"{name}.log")
    backend.sockets = sockets
    return backend


def drive(backend, options, *arguments, seconds):
    """One run of sidecore-bench against `backend`: its JSON, with the back-end's name and the cores' distance."""
    command = [
        *bench_command(options, *backend.arguments()),
        *("--seconds", str(seconds), "--cpu", str(options.cpu), "--backend-cpu", str(options.backend_cpu), "--format", "json"),
        *map(str, arguments),
    ]
    (run,) = run_json(command, f"{backend.name}: {' '.join(map(str, arguments))}")
    run["backend"] = backend.name
    run["distance"] = distance_of(run)
    return run


def bench_command(options, *arguments):
    return [str(options.build / "bin" / "sidecore-bench"), *map(str, arguments)]


def run_json(command, what):
    """What a program prints. Each has a bound of its own on how long it takes; this is for one that hangs."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if result.returncode != 0:
        raise Failure(f"{what}: {result.stderr.strip() or 'requests ended with errors'}")
    return json.loads(result.stdout)


def stayed(runs):
    """True if the cores were at one distance in all runs: then these can be compared."""
    distances = {run["distance"] for run in runs}
    return len(distances) == 1 and "moved" not in distances


def distance_of(run):
    close = [run[key] < CLOSE_NS for key in ("ping_pong_before_ns", "ping_pong_after_ns")]
    return "close" if all(close) else "moved" if any(close) else "far"


def describe_machine():
    model = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="ascii") if line.startswith("model name")),
        platform.machine(),
    )
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": platform.release(), "load_at_start": os.getloadavg()[0]}
