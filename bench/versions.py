# SPDX-License-Identifier: Apache-2.0
"""What benchmarks were run with, and what switching costs on the machine, for docs/benchmarks.md."""

import json
import pathlib
import re
import shutil
import subprocess

import harness

# {what it is called: (the command that tells, which of its words)}
PROGRAMS = {
    "QEMU's storage daemon": (["qemu-storage-daemon", "--version"], r"version (\S+)"),
    "DPDK's testpmd": (["dpkg-query", "--show", "--showformat=${Version}", "dpdk-dev"], r"(\S+)"),
    "fio": (["fio", "--version"], r"fio-(\S+)"),
    "iperf3": (["iperf3", "--version"], r"iperf (\S+)"),
    "user-mode Linux": (["linux.uml", "--version"], r"(\S+)"),
    "g++": (["g++", "-dumpfullversion"], r"(\S+)"),
}


def version(command, pattern):
    if shutil.which(command[0]) is None:
        return None
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(pattern, result.stdout)
    return found.group(1) if result.returncode == 0 and found else None


def describe(build):
    """A paragraph and a table."""
    machine = harness.describe_machine()
    versions = {name: version(*how) for name, how in PROGRAMS.items()}
    sidecored = subprocess.run([build / "bin" / "sidecored", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    debian = pathlib.Path("/etc/debian_version")
    lines = [f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, "
             f"Debian {debian.read_text(encoding='ascii').strip() if debian.exists() else '?'}; {sidecored}; "
             + ", ".join(f"{name} {text}" for name, text in versions.items() if text) + ".",
             "", "What switching costs there, as `sidecore calibrate` measures it:", "", "| cost | ns (quartiles) | what was timed |", "|---|---|---|"]
    costs = json.loads(subprocess.run([build / "bin" / "sidecored", "--calibrate"], capture_output=True, text=True, check=True).stdout)
    for value in costs["values"]:
        lines.append(f"| {value['name']} | {value['value_ns']:,.1f} ({value['low_ns']:,.1f}–{value['high_ns']:,.1f}) | {value['how']} |")
    return "\n".join(lines)
