# SPDX-License-Identifier: Apache-2.0
"""A test that is killed in the middle leaves nothing behind: no process, no socket, no memory."""

import os
import signal
import sys

from common import GuestTest, expect_within, for_each_kind
from guestlib.processes import group_exists


@for_each_kind
class Leftovers(GuestTest):
    def test_nothing_after_sigkill(self):
        """Boots a guest in a process of its own, which is then killed as a test runner kills what takes too long."""
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            self.boot_and_wait(write_end)
        self.addCleanup(self.reap, child)
        os.close(write_end)
        with os.fdopen(read_end) as report:
            groups, directories = (line.split() for line in report.read().splitlines())
        self.assertEqual(len(groups), 2)
        self.assertTrue(all(group_exists(int(group)) for group in groups))
        self.assertTrue(all(os.path.isdir(directory) for directory in directories))

        os.kill(child, signal.SIGKILL)
        expect_within(lambda: not any(group_exists(int(group)) for group in groups), 10, "the processes are gone")
        expect_within(lambda: not any(os.path.exists(directory) for directory in directories), 10,
                      "the directories are gone")
        self.finish()

    def boot_and_wait(self, report):
        """In the child: a back-end and a guest, all of them its own; tells which, and waits for the end."""
        try:
            back_end = self.make_back_end()
            back_end.start()
            self.back_end = back_end
            guest = self.boot(self.memory_disk("lost"))
            with os.fdopen(report, "w") as stream:
                stream.write(f"{back_end.pid} {guest.pid}\n{back_end.directory} {guest.directory}\n")
            signal.pause()
        finally:
            os._exit(1)

    def reap(self, child):
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            return
        os.waitpid(child, 0)
