# SPDX-License-Identifier: Apache-2.0
"""Talks to the guest's /init (tools/guest/init has the protocol): runs shell scripts in it and collects their output."""

import base64
import os
import select
import time

from guestlib.processes import GuestError

LINE = 1024  # characters of base64 per line: a part of what a terminal's buffer takes
SEND_TIMEOUT = 30


class Agent:
    """The host's end. One script at a time."""

    def __init__(self, fd, guest_runs, describe):
        """`guest_runs()`: is the guest there still; `describe()`: what to show of it in an error."""
        self._fd = fd
        self._guest_runs = guest_runs
        self._describe = describe
        self._buffer = b""
        self._token = 0
        self._job = None

    def wait_ready(self, timeout):
        self.read_past(b"@@ready\n", time.monotonic() + timeout, "the guest's boot")

    def start(self, script):
        """Starts `script`; the Job that stands for it. The script before must have been waited for."""
        if self._job is not None and self._job.status is None:
            raise GuestError("the script before has not been waited for")
        self._token += 1
        encoded = base64.b64encode(script.encode()).decode()
        self.send(f"run {self._token}\n")
        for start in range(0, len(encoded), LINE):
            self.send(encoded[start:start + LINE] + "\n")
            self.read_past(b"@@more\n", time.monotonic() + SEND_TIMEOUT, "sending a script")
        self.send(".\n")
        self._job = Job(self, self._token, script)
        return self._job

    def send(self, text):
        data = text.encode()
        while data:
            data = data[os.write(self._fd, data):]

    def read_past(self, marker, deadline, what):
        """Everything up to `marker`, which is taken too."""
        while True:
            before, found, after = self._buffer.partition(marker)
            if found:
                self._buffer = after
                return before
            self._read_more(deadline, what)

    def wait_for(self, text, deadline, what):
        """Waits until `text` is in the output, and takes nothing."""
        while text not in self._buffer:
            self._read_more(deadline, what)

    def has(self, marker):
        """Whether `marker` has come by now."""
        while select.select([self._fd], [], [], 0)[0]:
            data = os.read(self._fd, 65536)
            if not data:
                raise GuestError(f"the guest has ended\n{self._describe()}")
            self._buffer += data
        return marker in self._buffer

    def _read_more(self, deadline, what):
        left = deadline - time.monotonic()
        if left <= 0:
            raise GuestError(f"{what}: too slow. So far: {self._buffer.decode(errors='replace')[-2000:]}\n"
                             f"{self._describe()}")
        readable, _, _ = select.select([self._fd], [], [], min(left, 0.5))
        if readable:
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                data = b""
            if data:
                self._buffer += data
                return
        elif self._guest_runs():
            return
        raise GuestError(f"{what}: the guest has ended. So far: {self._buffer.decode(errors='replace')[-2000:]}\n"
                         f"{self._describe()}")


class Job:
    """A script that runs in the guest."""

    def __init__(self, agent, token, script):
        self._agent = agent
        self._token = token
        self._script = script
        self._begun = False
        self.status = None
        self.output = None

    def wait_for(self, text, timeout):
        """Waits until the script has printed `text`."""
        deadline = time.monotonic() + timeout
        self._begin(deadline)
        self._agent.wait_for(text.encode(), deadline, f"waiting for {text!r} from\n{self._script}")

    def wait(self, timeout, check=True):
        """The script's output. With `check`, a status other than 0 is an error."""
        deadline = time.monotonic() + timeout
        what = f"the script\n{self._script}"
        self._begin(deadline)
        output = self._agent.read_past(f"\n@@end {self._token} ".encode(), deadline, what)
        self.status = int(self._agent.read_past(b"\n", deadline, what))
        self.output = output.decode(errors="replace")
        if check and self.status != 0:
            raise GuestError(f"status {self.status} from the script\n{self._script}\nwhich printed\n{self.output}")
        return self.output

    def finished(self):
        """Whether the script has come to its end; never waits."""
        return self._agent.has(f"\n@@end {self._token} ".encode())

    def _begin(self, deadline):
        if not self._begun:
            self._agent.read_past(f"@@begin {self._token}\n".encode(), deadline, f"starting\n{self._script}")
            self._begun = True
