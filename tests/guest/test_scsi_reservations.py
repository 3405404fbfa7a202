# SPDX-License-Identifier: Apache-2.0
"""Persistent reservations of a disk that two SCSI devices share, of one guest and of two: who may write, and who hears of it."""

from common import for_each_kind, needs, slow_with
from guestlib.disks import Unit
from scsi_guest import ScsiTest

RESERVATION_CONFLICT = 24  # an exit status of sg3-utils

WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS, WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 1, 3, 5


class Way:
    """One guest's way to the shared disk, with a key of its own."""

    def __init__(self, test, guest, node, key):
        self.test = test
        self.guest = guest
        self.node = node
        self.key = key

    def out(self, action, type=None, mine=None, other=None):
        """PERSISTENT RESERVE OUT: its exit status."""
        words = [f"sg_persist --out --{action}"]
        words += [f"--param-rk=0x{mine:x}"] if mine is not None else []
        words += [f"--param-sark=0x{other:x}"] if other is not None else []
        words += [f"--prout-type={type}"] if type is not None else []
        job = self.guest.start(f"{' '.join(words)} {self.node.generic} 2>&1")
        self.printed = job.wait(20, check=False)
        return job.status

    def register(self):
        self.test.assertEqual(self.out("register", other=self.key), 0, self.printed)

    def do(self, action, type=None, other=None):
        self.test.assertEqual(self.out(action, type, self.key, other), 0, self.printed)

    def says(self, action):
        return self.guest.run(f"sg_persist --in --{action} {self.node.generic}")

    def may(self, what):
        """Whether a command that reads or writes is let through."""
        commands = {"read": f"sg_raw -r 4096 {self.node.generic} 28 00 00 00 00 00 00 00 08 00",
                    "write": f"sg_raw -s 4096 -i /dev/zero {self.node.generic} 2a 00 00 00 00 00 00 00 08 00"}
        job = self.guest.start(f"{commands[what]} 2>&1")
        printed = job.wait(20, check=False)
        if job.status == 0:
            return True
        self.test.assertEqual(job.status, RESERVATION_CONFLICT, printed)
        return False

    def hears(self):
        """The unit attention that waits, or that there is none."""
        return self.guest.run(f"sg_requests {self.node.generic}")


@for_each_kind
class ScsiReservations(ScsiTest):
    def ways_of_one_guest(self):
        """Two devices of the same guest, the same disk on both."""
        disk = self.shared_disk("shared")
        devices = [self.device(Unit(disk), name=name) for name in ("left", "right")]
        guest = self.boot_with(*devices)
        return disk, [Way(self, guest, self.node(guest, device.units[0], host), 0xa + host) for host, device in enumerate(devices)]

    def try_all(self, disk, first, second):
        """Register, reserve, conflict, release, preempt, preempt and abort, clear, with `first` and `second` in turn."""
        first.register()
        second.register()
        keys = first.says("read-keys")
        self.assertIn("0xa", keys)
        self.assertIn("0xb", keys)
        self.assertEqual(keys.splitlines()[-2:], second.says("read-keys").splitlines()[-2:])

        first.do("reserve", EXCLUSIVE_ACCESS)
        self.assertIn("Exclusive Access", second.says("read-reservation"))
        self.assertTrue(first.may("read") and first.may("write"))
        self.assertFalse(second.may("read") or second.may("write"))
        # The guest's disk driver is told the same.
        job = second.guest.start(f"dd if=/dev/zero of={second.node.path} bs=4k count=1 oflag=direct 2>/dev/null")
        job.wait(20, check=False)
        self.assertNotEqual(job.status, 0)
        self.assertEqual(second.out("reserve", WRITE_EXCLUSIVE, second.key), RESERVATION_CONFLICT)
        self.assertEqual(second.out("release", EXCLUSIVE_ACCESS, second.key), 0, second.printed)  # not the holder: nothing happens
        self.assertFalse(second.may("read"))
        first.do("release", EXCLUSIVE_ACCESS)
        self.assertTrue(second.may("read") and second.may("write"))

        first.do("reserve", WRITE_EXCLUSIVE)
        self.assertTrue(second.may("read"))
        self.assertFalse(second.may("write"))
        second.do("preempt", WRITE_EXCLUSIVE, first.key)
        self.assertIn("preempted", first.hears().lower())
        self.assertFalse(first.may("write"))
        self.assertTrue(second.may("write"))
        self.assertNotIn("0xa", second.says("read-keys"))
        self.assertEqual(first.out("reserve", WRITE_EXCLUSIVE, first.key), RESERVATION_CONFLICT)

        first.register()
        first.do("preempt-abort", WRITE_EXCLUSIVE_REGISTRANTS_ONLY, second.key)
        self.assertIn("preempted", second.hears().lower())
        self.assertIn("Write Exclusive, registrants only", first.says("read-reservation"))
        self.assertFalse(second.may("write"))
        second.register()
        self.assertTrue(second.may("write") and first.may("write"))
        status = first.says("read-full-status")
        self.assertIn("0xa", status)
        self.assertIn("0xb", status)

        second.do("clear")
        self.assertIn("preempted", first.hears().lower())
        self.assertIn("NO registered reservation keys", first.says("read-keys"))
        self.assertTrue(first.may("write") and second.may("write"))

    @needs("scsi")
    @slow_with("qemu")
    def test_two_devices_of_a_guest(self):
        disk, ways = self.ways_of_one_guest()
        self.try_all(disk, *ways)
        self.finish()

    @needs("scsi")
    @slow_with("qemu")
    def test_two_guests(self):
        """The same between two guests; and one that preempts another in the midst of I/O gets the disk for itself."""
        disk = self.shared_disk("shared")
        devices = [self.device(Unit(disk), name=name) for name in ("left", "right")]
        guests = [self.boot_with(devices[0]), self.boot_with(devices[1], kind="uml")]
        first, second = (Way(self, guest, self.node(guest, device.units[0]), key)
                         for guest, device, key in zip(guests, devices, (0xa, 0xb)))
        self.try_all(disk, first, second)

        first.register()
        second.register()
        first.do("reserve", WRITE_EXCLUSIVE_REGISTRANTS_ONLY)
        load = first.guest.start(f"echo started; fio --name=load --filename={first.node.path} --rw=randwrite --bs=64k --direct=1 "
                                 "--ioengine=io_uring --iodepth=32 --thread --time_based --runtime=60 --output=/dev/null")
        load.wait_for("started", 10)
        second.do("preempt-abort", WRITE_EXCLUSIVE, first.key)
        load.wait(30, check=False)
        self.assertNotEqual(load.status, 0)
        second.guest.run(f"dd if=/bin/busybox of={second.node.path} bs=64k oflag=direct conv=fsync 2>/dev/null\n"
                         f"cmp -n $(stat -c %s /bin/busybox) /bin/busybox {second.node.path}")
        self.assertFalse(first.may("write"))
        guests[0].shut_down(expected_complaints=("I/O error, dev sd", "reservation conflict"))
        self.finish()
