# SPDX-License-Identifier: Apache-2.0
"""Processes and directories that are gone when the program is gone, however it ends.

A guest is a group of processes that outlives its starter, ignores SIGTERM and keeps hundreds of megabytes of memory.
So a guard, forked off at the start, is told of every group and directory, and when the program's end of its pipe
closes (after an orderly end, an exception, or SIGKILL from a test runner) it removes what has not been removed yet.
"""

import atexit
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time


class GuestError(Exception):
    """Something went wrong with a guest or its back-end; the text says what, and shows the end of its log."""


class Guard:
    """Remembers what is to be killed and deleted should this program die."""

    _instance = None

    @classmethod
    def get(cls):
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    @classmethod
    def _after_fork(cls):
        """A forked child has nothing of its parent's to guard, and must not keep the pipe open."""
        if cls._instance is not None:
            os.close(cls._instance._pipe)
            cls._instance = None

    def __init__(self):
        read_end, self._pipe = os.pipe()
        child = os.fork()
        if child == 0:
            # A second fork: a runner that kills its test's descendants one by one must not find the guard.
            os.setsid()
            if os.fork() == 0:
                try:
                    self._watch(read_end)
                finally:
                    os._exit(0)
            os._exit(0)
        os.close(read_end)
        os.waitpid(child, 0)

    def add(self, kind, what):
        self._tell("add", kind, what)

    def forget(self, kind, what):
        self._tell("forget", kind, what)

    def _tell(self, verb, kind, what):
        os.write(self._pipe, f"{verb} {kind} {what}\n".encode())

    @staticmethod
    def _watch(read_end):
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.closerange(3, read_end)
        os.closerange(read_end + 1, 1024)
        owned = []
        with os.fdopen(read_end) as commands:
            for line in commands:
                verb, kind, what = line.rstrip("\n").split(" ", 2)
                if verb == "add":
                    owned.append((kind, what))
                elif (kind, what) in owned:
                    owned.remove((kind, what))
        for kind, what in owned:
            if kind == "group":
                kill_group(int(what))
        for kind, what in owned:
            if kind == "directory":
                shutil.rmtree(what, ignore_errors=True)


os.register_at_fork(after_in_child=Guard._after_fork)


def kill_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Process:
    """A program in a process group of its own, its output in a file. Its input is empty, or with stdin=subprocess.PIPE what write() gives it."""

    def __init__(self, name, command, log, pass_fds=(), environment=None, stdin=subprocess.DEVNULL):
        self.name = name
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as output:
            self._popen = subprocess.Popen([str(word) for word in command], stdin=stdin, stdout=output,
                                           stderr=subprocess.STDOUT, pass_fds=pass_fds, start_new_session=True,
                                           env={**os.environ, **(environment or {})})
        Guard.get().add("group", self.pid)

    @property
    def pid(self):
        return self._popen.pid

    def running(self):
        return self._popen.poll() is None

    def write(self, text):
        """To its input."""
        try:
            self._popen.stdin.write(text.encode())
            self._popen.stdin.flush()
        except BrokenPipeError:
            raise GuestError(f"{self.name} has ended\n{self.log_end()}") from None

    def wait(self, timeout):
        """The exit status; an error if there is none within `timeout` seconds."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise GuestError(f"{self.name} did not end within {timeout} s\n{self.log_end()}") from None

    def terminate(self, timeout=10):
        """Asks it to end (SIGTERM). Its exit status, negative for a signal."""
        self._popen.terminate()
        try:
            return self.wait(timeout)
        finally:
            self.kill()

    def kill(self):
        """Ends the whole group at once; nothing happens if it is gone already."""
        kill_group(self.pid)
        self._popen.wait()
        if self._popen.stdin:
            self._popen.stdin.close()
        # The group may have members that are not our children; they are dying.
        deadline = time.monotonic() + 5
        while group_exists(self.pid) and time.monotonic() < deadline:
            time.sleep(0.005)
        Guard.get().forget("group", self.pid)

    def log_end(self, lines=30):
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return f"--- the end of {self.log.name} ---\n" + "\n".join(text)


def group_exists(group):
    """Whether the process group has a member that is not a zombie."""
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                return True
    return False


class Workspace:
    """A directory of one's own for sockets, logs and images, deleted at the end."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="sidecore-guest-"))
        Guard.get().add("directory", self.path)
        atexit.register(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __truediv__(self, name):
        return self.path / name

    def close(self):
        if self.path.exists():
            shutil.rmtree(self.path, ignore_errors=True)
            Guard.get().forget("directory", self.path)


class Program:
    """What is one process, in `_process` once it has been started, and a workspace. Its end is certain if it is used as a context manager."""

    def __init__(self):
        self._workspace = Workspace()
        self._process = None

    def __enter__(self):
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

    def running(self):
        return self._process.running()

    def kill(self):
        """Ends it at once, as a crash would. May be called twice."""
        if self._process is not None:
            self._process.kill()
        self._workspace.close()


def wait_until(condition, timeout, what):
    """Looks until `condition()` is true, and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise GuestError(f"not within {timeout} s: {what}")
        time.sleep(0.01)


def note(text):
    """A line of progress, seen at once even when the output is a pipe."""
    print(text, file=sys.stderr, flush=True)
