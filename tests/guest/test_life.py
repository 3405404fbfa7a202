# SPDX-License-Identifier: Apache-2.0
"""Guests and daemons come, go, and die, while others carry on."""

import time

from common import MIB, GuestTest, fio_verify, for_each_kind, in_parallel, sha256_of

OTHER = {"uml": "qemu", "qemu": "uml"}


@for_each_kind
class Life(GuestTest):
    def test_driver_starts_anew(self):
        """The guest's driver lets go of the disk and takes it again: a reset and new rings on the same connection."""
        disk = self.file_disk()
        guest = self.boot(disk)
        for number in range(3):
            guest.run(fio_verify("/dev/vda", 4 * MIB, self.seed + number))
            guest.run("cd /sys/bus/virtio/drivers/virtio_blk\n"
                      "echo virtio0 >unbind\ntest ! -e /dev/vda\necho virtio0 >bind\ntest -e /dev/vda")
        self.assertEqual(guest.run("sha256sum /dev/vda").split()[0], sha256_of(disk.path))
        self.finish()

    def test_daemon_restarts_between_guests(self):
        """What a guest has written is there for the next one, of the other kind, with a new daemon."""
        disk, memory = self.file_disk(), self.memory_disk(size=8 * MIB)
        first = self.boot(disk, memory)
        sums = first.run(f"{fio_verify('/dev/vda', 8 * MIB, self.seed)}\n"
                         "dd if=/dev/urandom of=/dev/vdb bs=1M count=8 oflag=direct 2>/dev/null\n"
                         "sha256sum </dev/vda; sha256sum </dev/vdb")
        first.shut_down()

        second = self.boot(disk, memory)
        self.assertEqual(second.run("sha256sum </dev/vda; sha256sum </dev/vdb"), sums)
        second.shut_down()

        self.back_end.stop()
        self.back_end.start()
        self.back_end.add(disk)
        third = self.boot(disk, kind=OTHER[self.kind])
        self.assertEqual(third.run("sha256sum </dev/vda"), sums.splitlines(keepends=True)[0])
        third.run(fio_verify("/dev/vda", 8 * MIB, self.seed + 1))
        self.finish()

    def test_two_guests_four_disks(self):
        """Two guests at once, two disks each, all on one worker, each in verified use."""
        disks = [self.file_disk("a"), self.memory_disk("b"), self.file_disk("c"), self.memory_disk("d")]
        guests = [self.boot(*disks[:2]), self.boot(*disks[2:], kind="uml")]
        self.assertEqual(len(self.back_end.worker_threads()), 1)
        jobs = [guest.start("set -e\n" + in_parallel(
                    fio_verify(f"/dev/{device}", 16 * MIB, self.seed + number, name=device)
                    for device in ("vda", "vdb"))) for number, guest in enumerate(guests)]
        for job in jobs:
            job.wait(90)
        for guest, disk in zip(guests, (disks[0], disks[2])):
            self.assertEqual(guest.run("sha256sum /dev/vda").split()[0], sha256_of(disk.path))
        self.finish()

    def test_guest_is_killed(self):
        """A guest that dies in the middle of I/O disturbs neither its neighbour nor the guest that comes after it."""
        doomed, neighbour = self.file_disk("doomed", queues=4), self.file_disk("neighbour")
        victim = self.boot(doomed)
        witness = self.boot(neighbour, kind="uml")
        job = witness.start("set -e\n" + "\n".join(fio_verify("/dev/vda", 24 * MIB, self.seed + number)
                                                  for number in range(3)))
        load = victim.start("echo started; fio --name=load --filename=/dev/vda --rw=randwrite --bs=64k --direct=1 "
                            "--ioengine=io_uring --iodepth=32 --thread --time_based --runtime=60 --output=/dev/null")
        load.wait_for("started", 10)
        # Long enough for fio to be in the midst of it, as the disk shows.
        deadline = time.monotonic() + 20
        while doomed.allocated_bytes() < 4 * MIB and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertGreaterEqual(doomed.allocated_bytes(), 4 * MIB)
        victim.kill()
        job.wait(60)

        successor = self.boot(doomed)
        successor.run(fio_verify("/dev/vda", 8 * MIB, self.seed))
        self.assertEqual(successor.run("sha256sum /dev/vda").split()[0], sha256_of(doomed.path))
        self.finish()

    def test_daemon_ends_under_load(self):
        """Told to end in the middle of I/O, the daemon finishes what it has accepted and ends in order, soon."""
        disk = self.file_disk()
        guest = self.boot(disk)
        load = guest.start("echo started; fio --name=load --filename=/dev/vda --rw=randwrite --bs=16k --direct=1 "
                           "--ioengine=io_uring --iodepth=32 --thread --time_based --runtime=60 --output=/dev/null")
        load.wait_for("started", 10)
        deadline = time.monotonic() + 20
        while disk.allocated_bytes() < 2 * MIB and time.monotonic() < deadline:
            time.sleep(0.02)
        begin = time.monotonic()
        self.back_end.stop()
        self.assertLess(time.monotonic() - begin, 5)
        guest.kill()
