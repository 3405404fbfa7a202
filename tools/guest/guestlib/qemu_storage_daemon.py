# SPDX-License-Identifier: Apache-2.0
"""QEMU's storage daemon as a back-end: shows whether a test's failure is the guest's, the test's or Sidecore's."""

import json
import socket
import time

from guestlib.processes import GuestError, Process, Program, wait_until


class QemuStorageDaemon(Program):
    """The same methods as sidecore.Sidecore, as far as the storage daemon has what they need.

    It only knows kicks, and (version 7.2) does not tell the guest that a disk has grown.
    """

    name = "qemu-storage-daemon"
    abilities = frozenset()
    write_cache = "write through"
    serial_of = staticmethod(lambda disk: "vhost_user_blk")

    def __init__(self):
        super().__init__()
        self._monitor = None

    def __enter__(self):
        self.start()
        return self

    def start(self):
        path = self._workspace / "monitor"
        self._process = Process(self.name, [
            "qemu-storage-daemon", "--chardev", f"socket,id=monitor,path={path},server=on,wait=off",
            "--monitor", "chardev=monitor"], self._workspace / "output.log")
        wait_until(lambda: path.exists() or not self._process.running(), 10, "the storage daemon's monitor")
        self._monitor = Monitor(path)

    def add(self, disk):
        node = {"driver": "null-co", "size": disk.size, "read-zeroes": True}
        if disk.storage == "memory":
            # It has no storage in memory that keeps what is written; a file on tmpfs comes next to it.
            disk.path = self._workspace / f"{disk.name}.memory"
            disk.create_file()
        if disk.storage in ("memory", "file"):
            node = {"driver": "file", "filename": str(disk.path), "discard": "unmap", "read-only": disk.read_only}
        disk.socket = self._workspace / f"{disk.name}.sock"
        self._monitor.call("blockdev-add", **{"node-name": disk.name, **node})
        self._monitor.call("block-export-add", id=disk.name, type="vhost-user-blk", **{
            "node-name": disk.name, "addr": {"type": "unix", "path": str(disk.socket)},
            "writable": not disk.read_only, "num-queues": disk.queues})

    def worker_threads(self):
        """The thread that serves every disk."""
        return [self.pid]

    def stop(self):
        """Ends it in order; what it held is on the disk."""
        status = self._process.terminate()
        self._monitor.close()
        if status != 0:
            raise GuestError(f"{self.name} ended with status {status}\n{self._process.log_end()}")

    def kill(self):
        super().kill()
        if self._monitor is not None:
            self._monitor.close()


class Monitor:
    """QEMU's machine protocol (QMP)."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        deadline = time.monotonic() + 5
        while True:
            try:
                self._socket.connect(str(path))
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self._lines = self._socket.makefile("r")
        self._lines.readline()
        self.call("qmp_capabilities")

    def call(self, command, **arguments):
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self._lines.readline())
            if "error" in answer:
                raise GuestError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def close(self):
        self._lines.close()
        self._socket.close()
