# SPDX-License-Identifier: Apache-2.0
"""The daemon under test, its control socket and its command."""

import http.client
import json
import pathlib
import socket
import subprocess

from guestlib.processes import GuestError, Process, Workspace, wait_until

# What a daemon that ends in order does not leave in its log.
ALARMS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "assertion", "[critical]")


class Sidecore:
    """sidecored with one worker (unless `config` says otherwise) and, at first, no device."""

    name = "sidecore"
    abilities = frozenset({"policies", "resize"})
    write_cache = "write back"
    serial_of = staticmethod(lambda disk: disk.name[:20])

    def __init__(self, programs, config=""):
        """`programs` is a build directory; `config` is added to the configuration file (TOML)."""
        self._daemon_program = find_program(programs, "sidecored")
        self._command_program = find_program(programs, "sidecore")
        self._config = config
        self._workspace = Workspace()
        self._process = None
        self.control_socket = self._workspace / "control.sock"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    @property
    def pid(self):
        return self._process.pid

    @property
    def directory(self):
        """Holds its sockets and logs."""
        return self._workspace.path

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
        storage = {"kind": disk.storage}
        storage.update({"path": str(disk.path)} if disk.storage == "file" else {"size": str(disk.size)})
        self.request("POST", "/v1/devices", {
            "name": disk.name, "socket": str(disk.socket), "queues": disk.queues, "read_only": disk.read_only,
            "storage": storage})

    def resize(self, disk, size):
        self.request("POST", f"/v1/devices/{disk.name}/resize", {"size": str(size)})
        disk.size = size

    def remove(self, disk):
        self.request("DELETE", f"/v1/devices/{disk.name}")

    def set_policy(self, disk=None, queue=None, **policy):
        """Changes the daemon's policy, or a disk's, or that of one of its queues."""
        path = "/v1" + (f"/devices/{disk.name}" if disk else "") + (f"/queues/{queue}" if queue is not None else "")
        self.request("PATCH", f"{path}/policy", policy)

    def statistics(self):
        return self.request("GET", "/v1/stats")

    def device(self, disk):
        return self.request("GET", f"/v1/devices/{disk.name}")

    def queue(self, disk, index=0):
        return self.device(disk)["queues"][index]

    def counters(self, disk):
        """The counters of all of a disk's queues together."""
        total = {}
        for queue in self.device(disk)["queues"]:
            for name, value in queue["counters"].items():
                total[name] = total.get(name, 0) + value
        return total

    def worker_threads(self):
        return [worker["thread_id"] for worker in self.request("GET", "/v1/workers")["workers"]]

    def request(self, method, path, body=None):
        """One request to the control socket: the reply's JSON."""
        connection = UnixConnection(self.control_socket)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            reply = connection.getresponse()
            text = reply.read().decode()
        finally:
            connection.close()
        if reply.status >= 300:
            raise GuestError(f"{method} {path}: {reply.status} {text}")
        return json.loads(text) if text else None

    def command(self, *words):
        """Runs `sidecore WORDS…` on this daemon: what it printed."""
        command = [str(self._command_program), *map(str, words), "--control-socket", str(self.control_socket)]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
        if result.returncode != 0:
            raise GuestError(f"{' '.join(command)}: status {result.returncode}\n{result.stdout}")
        return result.stdout

    def stop(self, timeout=20):
        """Ends the daemon in order, and raises an error if it did not end so or left an alarm in its log."""
        status = self._process.terminate(timeout)
        log = self.log.read_text(errors="replace")
        if status != 0 or any(alarm in log for alarm in ALARMS):
            raise GuestError(f"sidecored ended with status {status}\n{self._process.log_end(60)}")

    def kill(self):
        if self._process is not None:
            self._process.kill()
        self._workspace.close()

    def _answers(self):
        if not self._process.running():
            raise GuestError(f"sidecored has ended\n{self._process.log_end()}")
        try:
            return self.request("GET", "/v1/version")
        except (OSError, http.client.HTTPException):
            return None


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def find_program(directory, name):
    """The program of that name in a build directory or in an installation."""
    for folder in (".", "bin", "src/daemon", "src/cli"):
        path = pathlib.Path(directory, folder, name)
        if path.is_file():
            return path
    raise GuestError(f"there is no {name} in {directory}; it is built by `make build` or `make dev`")
