# SPDX-License-Identifier: Apache-2.0
"""What the tests of SCSI devices share: units, the guest's names for them, and commands sent to them one by one."""

import dataclasses

from common import MIB, GuestTest, expect_within
from guestlib.disks import Disk, ScsiDevice, Unit

# Linux's number of a LUN above 255 keeps the bit that says how it is addressed.
FLAT_ADDRESSING = 0x4000

LIST_UNITS = """
for unit in /sys/class/scsi_device/*; do
    echo "${unit##*/}" $(ls $unit/device/block 2>/dev/null) $(ls -d $unit/device/scsi_generic/* 2>/dev/null)
done
"""


@dataclasses.dataclass
class Node:
    """A unit's names in the guest."""

    disk: str  # sda
    path: str  # /dev/sda
    generic: str  # /dev/sg0
    directory: str  # in /sys, the SCSI device's


class ScsiTest(GuestTest):
    def unit(self, name, target=0, lun=0, size=16 * MIB, storage="file", read_only=False, **keys):
        """A unit whose storage is a file of its own, or memory, with more keys of the configuration."""
        disk = Disk(name=name, storage=storage, size=size, read_only=read_only)
        if storage == "file":
            disk.path = self.workspace / f"{name}.img"
            disk.create_file()
        return Unit(disk, target, lun, keys)

    def shared_disk(self, name, size=16 * MIB, **keys):
        disk = self.unit(name, size=size).disk
        self.back_end.share(disk, **keys)
        return disk

    def device(self, *units, name="scsi", queues=1):
        device = ScsiDevice(name, list(units), queues)
        self.back_end.add_scsi(device)
        return device

    def boot_with(self, *devices, **options):
        """A guest with these SCSI devices, which has found all of their units."""
        guest = self.boot(scsi=devices, **options)
        guest.scsi = devices
        for host, device in enumerate(devices):
            for unit in device.units:
                self.node(guest, unit, host)
        return guest

    def nodes(self, guest):
        """{(host, target, LUN): Node} of every unit that the guest has found a disk in."""
        found = {}
        for line in guest.run(LIST_UNITS).splitlines():
            address, *names = line.split()
            if len(names) == 2:
                host, _, target, lun = map(int, address.split(":"))
                found[host, target, lun & ~FLAT_ADDRESSING] = Node(names[0], f"/dev/{names[0]}", f"/dev/{names[1].rsplit('/', 1)[1]}",
                                                                   f"/sys/class/scsi_device/{address}/device")
        return found

    def node(self, guest, unit, host=0):
        """The unit's names, once the guest has found it."""
        key = (host, unit.target, unit.lun)
        return expect_within(lambda: self.nodes(guest).get(key), 10, f"{guest.name} finds the unit at {key}")

    def fails_with(self, guest, command, *words):
        """The command fails, and prints these words."""
        job = guest.start(f"{command} 2>&1")
        printed = job.wait(20, check=False)
        self.assertNotEqual(job.status, 0, printed)
        for word in words:
            self.assertIn(word.lower(), printed.lower())
        return job.status
