# SPDX-License-Identifier: Apache-2.0
"""Boots real Linux guests that have vhost-user disks, SCSI hosts and networks: user-mode Linux, and QEMU.

Both boot a small initramfs (tools/guest/build-images) whose only program runs the scripts that come over a terminal
of their own. The kernel's messages go into a file, which shut_down() reads for complaints.
"""

import fcntl
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

from guestlib.agent import Agent
from guestlib.cpio import CpioWriter
from guestlib.processes import GuestError, Process, Program, Workspace

ROOT = pathlib.Path(__file__).resolve().parents[3]
IMAGES = pathlib.Path(os.environ.get("SIDECORE_GUEST_IMAGES", ROOT / "build" / "guest"))

# What a healthy guest's kernel does not say.
COMPLAINTS = re.compile(r"BUG:|WARNING:|Oops:|Call Trace|kernel BUG|Kernel panic|I/O error|blocked for more than|"
                        r"EXT4-fs (error|warning)|virtio.*(is not a head|id \d+ out of range|unexpected|device reports)|"
                        r"virtio_(blk|scsi).*(fail|error)")

# On a busy host an emulated machine's timers come late; its kernel must neither panic over that nor, for its clock,
# take to a timer that costs an exit at every look.
STEADY_CLOCK = "no_timer_check tsc=reliable"

# One emulated machine with four CPUs in some fifty never gets past its kernel's "sched_clock: Marking stable", which comes before any driver.
BOOT_ATTEMPTS = 3
INIT_STARTS = "Run /init as init process"


def build_images(kind):
    """Makes sure that the images of `kind` ("uml" or "qemu") are there and up to date."""
    command = [sys.executable, ROOT / "tools" / "guest" / "build-images", "--only", kind, "--output", IMAGES]
    if subprocess.run(command).returncode != 0:
        raise GuestError(f"the images of kind {kind} could not be built")


class Guest(Program):
    """A booted guest. Use as a context manager: its end is certain, whatever happens."""

    kind = None
    boot_timeout = 60
    stuck_after = None  # seconds of no boot after which to see where its kernel is

    def __init__(self, name, files):
        super().__init__()
        self.name = name
        self.boot_seconds = None
        self._agent_socket = None
        self._agent = None
        self.initrd = self._workspace / "initrd"
        self.kernel_log = self._workspace / "kernel.log"
        self._write_initrd(files or {})

    def start(self, script):
        """Starts a shell script in the guest: the agent.Job to wait for."""
        return self._agent.start(script)

    def run(self, script, timeout=30, check=True):
        """Runs a shell script in the guest (with `set -e`): what it printed."""
        return self._agent.start(f"set -e\n{script}").wait(timeout, check)

    def shut_down(self, timeout=20, expected_complaints=()):
        """Powers the guest off, waits for its end, and raises an error if its kernel complained about something."""
        self._agent.send("poweroff\n")
        self._process.wait(timeout)
        log = self.kernel_log.read_text(errors="replace")
        bad = [line for line in log.splitlines()
               if COMPLAINTS.search(line) and not any(word in line for word in expected_complaints)]
        self.kill()
        if bad:
            raise GuestError(f"{self.name}: its kernel complained:\n" + "\n".join(bad[:20]))

    def kill(self):
        """Ends the guest at once, as a crash of its host would. May be called twice."""
        super().kill()
        if self._agent_socket is not None:
            self._agent_socket.close()
            self._agent_socket = None

    def _write_initrd(self, files):
        """The cached image with the test's own files, {path in the guest: content}, behind it."""
        with open(IMAGES / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            shutil.copyfile(IMAGES / f"{self.kind}.cpio", self.initrd)
        if files:
            archive = CpioWriter()
            for path, content in files.items():
                archive.file(path.lstrip("/"), content if isinstance(content, bytes) else content.encode(), 0o755)
            with open(self.initrd, "ab") as stream:
                stream.write(archive.bytes())

    def _boot(self, command_with, environment=None):
        """`command_with(fd)` is the command line, given the descriptor of the agent's terminal."""
        for attempt in range(1, BOOT_ATTEMPTS + 1):
            begin = time.monotonic()
            self._launch(command_with, environment)
            try:
                if self._wait_until_ready(attempt == BOOT_ATTEMPTS):
                    self.boot_seconds = time.monotonic() - begin
                    return
            except BaseException:
                self.kill()
                raise
            print(f"    {self.name} stood still in its kernel, before any of its drivers: booting it again", flush=True)
            self._process.kill()
            self._agent_socket.close()

    def _wait_until_ready(self, however_long):
        """False if it stands still before its kernel has come to the image with its drivers, so that nothing of ours can be the reason."""
        if self.stuck_after is not None and not however_long:
            try:
                self._agent.wait_ready(self.stuck_after)
                return True
            except GuestError:
                if self._process.running() and INIT_STARTS not in self.kernel_log.read_text(errors="replace"):
                    return False
        self._agent.wait_ready(self.boot_timeout)
        return True

    def _launch(self, command_with, environment):
        ours, theirs = socket.socketpair()
        try:
            self._process = Process(self.name, command_with(theirs.fileno()), self._workspace / "output.log",
                                    pass_fds=[theirs.fileno()], environment=environment)
        finally:
            theirs.close()
        self._agent_socket = ours
        self._agent = Agent(ours.fileno(), self._process.running, self._describe)

    def _describe(self):
        kernel = self.kernel_log.read_text(errors="replace").splitlines()[-25:] if self.kernel_log.exists() else []
        return f"--- the end of {self.name}'s kernel log ---\n" + "\n".join(kernel) + "\n" + self._process.log_end(10)


class UmlGuest(Guest):
    """User-mode Linux: a kernel as a process, with its own vhost-user front-end. One CPU, native speed.

    Its virtio driver negotiates EVENT_IDX and INDIRECT_DESC if offered, has queues of 256, and uses one queue however
    many are offered (as many as it has CPUs). Its call descriptor and back-end channel are pipes.
    """

    kind = "uml"
    boot_timeout = 30

    def __init__(self, sockets, memory_mib=192, files=None, name="uml", networks=(), scsi=(), arguments=()):
        super().__init__(name, files)
        words = ["linux.uml", f"mem={memory_mib}M", f"initrd={self.initrd}", f"uml_dir={self._workspace.path}/",
                 "con=null", "con0=null,fd:1", "agent=tty1", "panic=-1"]
        words += [f"virtio_uml.device={path}:2" for path in sockets]
        words += [f"virtio_uml.device={network.socket}:1" for network in networks]
        words += [f"virtio_uml.device={device.socket}:8" for device in scsi]
        words += arguments
        # All it prints is its kernel's log.
        self.kernel_log = self._workspace / "output.log"
        self._boot(lambda fd: words + [f"con1=fd:{fd}"], {"TMPDIR": memory_directory(memory_mib)})


class QemuGuest(Guest):
    """QEMU with KVM where that works, else with software emulation: slow, for function and not for speed."""

    kind = "qemu"
    boot_timeout = 120
    stuck_after = 40

    def __init__(self, sockets, queues=1, event_idx=True, cpus=None, memory_mib=256, files=None, name="qemu",
                 networks=(), scsi=(), arguments=()):
        super().__init__(name, files)
        accelerator = "kvm" if kvm_works() else "tcg,thread=multi"
        words = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-no-user-config",
                 "-accel", accelerator, "-cpu", "max", "-smp", cpus or max(queues, *(network.pairs for network in networks), 1),
                 "-m", f"{memory_mib}M", "-object", f"memory-backend-memfd,id=memory,size={memory_mib}M,share=on",
                 "-machine", "q35,memory-backend=memory",
                 "-kernel", IMAGES / "vmlinuz", "-initrd", self.initrd,
                 "-append", f"console=ttyS0 agent=ttyS1 panic=-1 mitigations=off {STEADY_CLOCK}",
                 "-chardev", f"file,id=kernel,path={self.kernel_log}", "-serial", "chardev:kernel"]
        for index, path in enumerate(sockets):
            words += ["-chardev", f"socket,id=disk{index},path={path}",
                      "-device", f"vhost-user-blk-pci,chardev=disk{index},num-queues={queues},"
                                 f"event_idx={'on' if event_idx else 'off'}"]
        for index, network in enumerate(networks):
            # Without MSI-X: with it QEMU 7.2, where it emulates the CPU, looks for KVM's irqfds as the driver starts a vhost-user network,
            # and crashes. Later versions do not, nor does this one with KVM.
            words += ["-chardev", f"socket,id=net{index},path={network.socket}",
                      "-netdev", f"vhost-user,id=netdev{index},chardev=net{index},queues={network.pairs}",
                      "-device", f"virtio-net-pci,netdev=netdev{index},mac={network.mac},romfile=,"
                                 f"mq={'on' if network.pairs > 1 else 'off'},vectors=0,"
                                 f"event_idx={'on' if event_idx else 'off'}"]
        for index, device in enumerate(scsi):
            words += ["-chardev", f"socket,id=scsi{index},path={device.socket}",
                      "-device", f"vhost-user-scsi-pci,chardev=scsi{index},num_queues={min(queues, device.queues)},"
                                 f"event_idx={'on' if event_idx else 'off'}"]
        words += arguments
        self._boot(lambda fd: words + ["-chardev", f"socket,id=agent,fd={fd}", "-serial", "chardev:agent"])


GUESTS = {"uml": UmlGuest, "qemu": QemuGuest}


def memory_directory(memory_mib):
    """Where user-mode Linux keeps its memory: on tmpfs if there is one that is large enough and allows execution."""
    for directory in ("/dev/shm", "/run/user/%d" % os.getuid(), "/tmp"):
        try:
            status = os.statvfs(directory)
        except OSError:
            continue
        enough = status.f_bavail * status.f_frsize > (memory_mib << 20)
        if enough and not status.f_flag & os.ST_NOEXEC and os.access(directory, os.W_OK | os.X_OK):
            return directory
    raise GuestError("no directory for the guest's memory: /dev/shm is missing, full or noexec, and so is /tmp")


def kvm_works():
    """Whether QEMU can run this guest's kernel with KVM: found out by booting it, once per boot of this machine."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer_file = IMAGES / "kvm-works"
    with open(IMAGES / "kvm-lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if answer_file.exists():
            known_boot, _, answer = answer_file.read_text().partition(" ")
            if known_boot == boot_id:
                return answer == "yes"
        works = _boots_with_kvm()
        answer_file.write_text(f"{boot_id} {'yes' if works else 'no'}")
        return works


def _boots_with_kvm():
    with Workspace() as workspace:
        log = workspace / "kernel.log"
        probe = Process("kvm probe", [
            "qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-no-user-config", "-accel", "kvm",
            "-cpu", "max", "-m", "128M", "-kernel", IMAGES / "vmlinuz",
            "-append", f"console=ttyS0 panic=-1 {STEADY_CLOCK}", "-chardev", f"file,id=kernel,path={log}", "-serial", "chardev:kernel",
        ], workspace / "output.log")
        try:
            deadline = time.monotonic() + 8
            while time.monotonic() < deadline and probe.running():
                # There is no root file system: a kernel that runs gets as far as to say so.
                if log.exists() and "Unable to mount root" in log.read_text(errors="replace"):
                    return True
                time.sleep(0.05)
            return False
        finally:
            probe.kill()
