# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: back-end processes on their core, one run of the driver, and how far apart the cores were."""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DISK_BYTES = 64 << 30
# Between the two distances that cores of one machine have been seen at: about 100 ns there and back, or 300 ns and more.
CLOSE_NS = 200


class Failure(Exception):
    """Something that the user is told in one line."""


class Backend:
    """A back-end process on its core, with its socket."""

    def __init__(self, name, command, socket, cpu, log):
        self.name = name
        self.socket = socket
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
        return ["--socket", str(self.socket), "--pid", str(self.process.pid)]

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

    name = "driver alone"

    def arguments(self):
        return ["--mirror"]

    def wait_until_ready(self):
        pass

    def stop(self):
        pass


def start_sidecored(policy, options, folder, devices=("null",), workers=1):
    """A daemon with `devices` of one null disk each, on `workers` that share the back-end's core. Its socket is the first device's."""
    config = folder / f"{policy}.toml"
    sockets = [folder / f"{policy}-{name}.sock" for name in devices]
    config.write_text(
        f'[daemon]\ncontrol_socket = "{folder}/{policy}-control.sock"\n\n'
        f'[policy]\nkind = "{policy}"\n\n'
        + "".join(f'[[worker]]\nname = "worker{i}"\ncpu = {options.backend_cpu}\n\n' for i in range(workers))
        + "".join(
            f'[[device]]\nname = "{name}"\nsocket = "{socket}"\nqueues = {options.queues}\n'
            f'storage = {{ kind = "null", size = {DISK_BYTES} }}\n'
            for name, socket in zip(devices, sockets)
        )
    )
    socket = sockets[0]
    program = options.build / "bin" / "sidecored"
    command = [str(program), "--config", str(config)]
    return Backend(f"sidecored {policy}", command, socket, options.backend_cpu, folder / f"{policy}.log")


def start_qemu_storage_daemon(options, folder):
    program = shutil.which("qemu-storage-daemon")
    if program is None:
        raise Failure("qemu-storage-daemon is missing: it is in Debian's package qemu-system-common")
    socket = folder / "qemu.sock"
    command = [
        program,
        "--blockdev",
        f"driver=null-co,node-name=n0,size={DISK_BYTES},read-zeroes=off",
        "--export",
        f"type=vhost-user-blk,id=e0,node-name=n0,addr.type=unix,addr.path={socket},writable=on,num-queues={options.queues}",
    ]
    return Backend("qemu-storage-daemon", command, socket, options.backend_cpu, folder / "qemu.log")


def drive(backend, options, *arguments, seconds):
    """One run of blk_bench against `backend`: its JSON, with the back-end's name and the cores' distance."""
    command = [
        str(options.build / "bin" / "blk_bench"),
        *backend.arguments(),
        *("--seconds", str(seconds), "--cpu", str(options.cpu), "--backend-cpu", str(options.backend_cpu), "--json", "-"),
        *map(str, arguments),
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60 + 2 * seconds, check=False)
    if result.returncode != 0:
        raise Failure(f"{backend.name}: {' '.join(map(str, arguments))}: {result.stderr.strip() or 'requests ended with errors'}")
    (run,) = json.loads(result.stdout)
    run["backend"] = backend.name
    run["distance"] = distance_of(run)
    return run


def distance_of(run):
    close = [run[key] < CLOSE_NS for key in ("ping_pong_before_ns", "ping_pong_after_ns")]
    return "close" if all(close) else "moved" if any(close) else "far"


def describe_machine():
    model = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="ascii") if line.startswith("model name")),
        platform.machine(),
    )
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": platform.release(), "load_at_start": os.getloadavg()[0]}
