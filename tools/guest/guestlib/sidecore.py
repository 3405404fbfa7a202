# SPDX-License-Identifier: Apache-2.0
"""The daemon under test, its control socket and its command."""

import json
import pathlib
import subprocess

from guestlib.processes import GuestError, Process, Program, wait_until

# What a daemon that ends in order does not leave in its log.
ALARMS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "assertion", "[critical]")


class Sidecore(Program):
    """sidecored with one worker (unless `config` says otherwise) and, at first, no device."""

    name = "sidecore"
    abilities = frozenset({"policies", "resize", "net", "scsi"})
    write_cache = "write back"
    serial_of = staticmethod(lambda disk: disk.name[:20])

    def __init__(self, programs, config=""):
        """`programs` is a build directory; `config` is added to the configuration file (TOML)."""
        super().__init__()
        self._daemon_program = find_program(programs, "sidecored")
        self._command_program = find_program(programs, "sidecore")
        self._config = config
        self.control_socket = self._workspace / "control.sock"

    def __enter__(self):
        self.start()
        return self

    @property
    def log(self):
        return self._workspace / "sidecored.log"

    def start(self):
        config = self._workspace / "sidecored.toml"
        config.write_text(f'[daemon]\ncontrol_socket = "{self.control_socket}"\n{self._config}')
        self._process = Process("sidecored", [self._daemon_program, "--config", config], self.log)
        wait_until(self._answers, 20, "sidecored answers at its control socket")

    def add(self, disk):
        """Serves `disk`, and fills in its socket."""
        disk.socket = self._workspace / f"{disk.name}.sock"
        self.command("add", disk.name, "--socket-path", disk.socket, "--num-queues", disk.queues, *options_of(disk))

    def share(self, disk, **keys):
        """Makes of `disk` one that units of several devices may be."""
        self.command("disk", "add", disk.name, *options_of(disk, keys))
        disk.shared = True

    def add_scsi(self, device):
        """Serves a SCSI device with its units, and fills in its socket."""
        device.socket = self._workspace / f"{device.name}.sock"
        self.command("add", "--from", self._write_spec({"name": device.name, "type": "scsi", "socket": str(device.socket),
                                                        "queues": device.queues, "unit": [spec_of(unit) for unit in device.units]}))

    def add_unit(self, device, unit):
        """Gives a running SCSI device one more unit."""
        what = ["--disk", unit.disk.name] if unit.disk.shared else options_of(unit.disk, unit.keys)
        self.command("unit", "add", device.name, unit.address, *what)
        device.units.append(unit)

    def resize_unit(self, device, unit, size):
        self.command("resize", device.name, unit.address, size)
        unit.disk.size = size

    def remove_unit(self, device, unit):
        self.command("unit", "remove", device.name, unit.address)
        device.units.remove(unit)

    def add_switch(self, name, tap):
        """A switch whose way out is the host's interface `tap`, which is made."""
        self.command("switch", "add", name, "--uplink-tap", tap)

    def add_network(self, network, /, **keys):
        """Serves a network device, on a tap interface of the network's name unless `keys` say otherwise, and fills in its socket."""
        network.socket = self._workspace / f"{network.name}.sock"
        spec = {"name": network.name, "type": "net", "socket": str(network.socket), "pairs": network.pairs, "mac": network.mac,
                "network": network.back_end or {"kind": "tap", "interface": network.name}, **keys}
        self.command("add", "--from", self._write_spec(spec))

    def resize(self, disk, size):
        self.command("resize", disk.name, size)
        disk.size = size

    def remove(self, disk):
        self.command("remove", disk.name)

    def set_policy(self, disk=None, queue=None, **policy):
        """Changes the daemon's policy, or a disk's, or that of one of its queues."""
        whose = ["--device", disk.name] if disk else []
        whose += ["--queue", queue] if queue is not None else []
        self.command("set", *(f"{key}={value}" for key, value in policy.items()), *whose)

    def statistics(self):
        return self.ask("stats")

    def queue(self, disk, index=0):
        return self.ask("show", disk.name)["queues"][index]

    def counters(self, disk):
        """The counters of all of a disk's queues together."""
        total = {}
        for queue in self.ask("show", disk.name)["queues"]:
            for name, value in queue["counters"].items():
                total[name] = total.get(name, 0) + value
        return total

    def worker_threads(self):
        return [worker["thread_id"] for worker in self.ask("workers")["workers"]]

    def command(self, *words):
        """Runs `sidecore WORDS…` on this daemon: what it printed."""
        command = [str(self._command_program), "--control-socket", str(self.control_socket), *map(str, words)]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        if result.returncode != 0:
            raise GuestError(f"{' '.join(command)}: status {result.returncode}\n{result.stdout}{result.stderr}")
        return result.stdout

    def ask(self, *words):
        """The same with --json, and what it printed read."""
        return json.loads(self.command("--json", *words))

    def stop(self, timeout=20):
        """Ends the daemon in order, and raises an error if it did not end so or left an alarm in its log."""
        status = self._process.terminate(timeout)
        log = self.log.read_text(errors="replace")
        if status != 0 or any(alarm in log for alarm in ALARMS):
            raise GuestError(f"sidecored ended with status {status}\n{self._process.log_end(60)}")

    def _write_spec(self, spec):
        """A file with what `--from` reads."""
        path = self._workspace / "spec.json"
        path.write_text(json.dumps(spec))
        return path

    def _answers(self):
        if not self._process.running():
            raise GuestError(f"sidecored has ended\n{self._process.log_end()}")
        try:
            return self.ask("version")
        except GuestError:
            return None


def options_of(disk, keys=None):
    """The command line's words for a disk; `keys`: more of what the configuration may say of it."""
    words = ["--path", disk.path] if disk.storage == "file" else [f"--{disk.storage}-size", disk.size]
    words += ["--read-only"] if disk.read_only else []
    for key, value in (keys or {}).items():
        words += [f"--{key.replace('_', '-')}"] + ([] if value is True else [value])
    return words


def spec_of(unit):
    """The configuration's table for a unit."""
    disk = unit.disk
    spec = {"target": unit.target, "lun": unit.lun, **unit.keys}
    if disk.shared:
        return {**spec, "disk": disk.name}
    storage = {"kind": "file", "path": str(disk.path)} if disk.storage == "file" else {"kind": disk.storage, "size": disk.size}
    return {**spec, "storage": storage, **({"read_only": True} if disk.read_only else {})}


def find_program(directory, name):
    """The program of that name in a build directory or an installation."""
    for folder in ("bin", "sbin"):
        path = pathlib.Path(directory, folder, name)
        if path.is_file():
            return path
    raise GuestError(f"there is no {name} in {directory}; `make build` builds it in build/release")
