# SPDX-License-Identifier: Apache-2.0
"""DPDK's testpmd: a driver of vhost-user networks that others wrote (net_virtio_user), and a back-end of them (net_vhost)."""

import os
import re
import shutil
import subprocess

from guestlib.processes import GuestError, Process, Program, wait_until

PROGRAM = "dpdk-testpmd"
PROMPT = "testpmd> "


def installed():
    """Whether there is one: it is in Debian's package dpdk-dev."""
    return shutil.which(PROGRAM) is not None


class Testpmd(Program):
    """A testpmd with the given virtual devices (`--vdev`) as ports 0, 1, …, that takes commands. Needs no huge pages.

    `cpu` is where its forwarding thread spins, `main_cpu` where the one is that takes commands; `options` are testpmd's own.
    """

    def __init__(self, vdevs, options=(), cpu=None, main_cpu=None, mib=128, buffers=16384, name="testpmd"):
        super().__init__()
        self.log = self._workspace / "output.log"
        cpu = min(os.sched_getaffinity(0)) if cpu is None else cpu
        main_cpu = cpu if main_cpu is None else main_cpu
        # Its output is a file, where it would keep what it prints to itself for long.
        command = ["stdbuf", "-oL", PROGRAM, "--no-huge", "-m", mib, "--no-pci", "--no-telemetry", "--no-shconf",
                   "--file-prefix", self._workspace.path.name, "--lcores", f"0@{main_cpu},1@{cpu}"]
        command += [word for vdev in vdevs for word in ("--vdev", vdev)]
        command += ["--", "--interactive", "--no-mlockall", f"--total-num-mbufs={buffers}", *options]
        self._read = 0
        self._process = Process(name, command, self.log, stdin=subprocess.PIPE)
        try:
            if "Start ports failed" in self._wait_for_prompt(30):
                raise GuestError(f"testpmd cannot use all of its ports\n{self.log_end()}")
        except BaseException:
            self.kill()
            raise

    def command(self, text, timeout=20):
        """What it prints until it asks for the next command."""
        self._process.write(f"{text}\n")
        return self._wait_for_prompt(timeout, text)

    def statistics(self, port=0):
        """Its counters of a port, by the names that it prints: RX-packets, TX-bytes, …"""
        text = self.command(f"show port stats {port}")
        counters = {name: int(value) for name, value in re.findall(r"([RT]X-\w+):\s+(\d+)", text)}
        if "RX-packets" not in counters or "TX-packets" not in counters:
            raise GuestError(f"testpmd printed no counters of port {port}:\n{text}")
        return counters

    def quit(self, timeout=20):
        """Ends it in order."""
        self._process.write("quit\n")
        status = self._process.wait(timeout)
        end = self._process.log_end()
        self.kill()
        if status != 0:
            raise GuestError(f"testpmd ended with status {status}\n{end}")

    def log_end(self):
        return self._process.log_end()

    def _wait_for_prompt(self, timeout, after=""):
        """What it prints up to the prompt that follows the echo of `after`."""
        def prompted():
            if not self.running():
                raise GuestError("it has ended")
            text = self.log.read_text(errors="replace")[self._read:]
            echo = text.find(after)
            return None if echo < 0 or text.find(PROMPT, echo) < 0 else text

        try:
            printed = wait_until(prompted, timeout, "it asks for a command")
        except GuestError as error:
            raise GuestError(f"testpmd, {after or 'start'}: {error}\n{self.log_end()}") from None
        self._read += len(printed)
        return printed
