# SPDX-License-Identifier: Apache-2.0
"""A PC's firmware starts what is on a disk: SeaBIOS's own drivers, and a boot sector that reads more of the disk through them."""

from common import MIB, expect_within, needs
from guestlib.processes import Process
from scsi_guest import ScsiTest

# The boot sector asks for this block, beyond what the firmware looks at by itself.
WHERE = 30000
WORD = b"Sidecore has booted.\0"

BOOT_SECTOR = bytes.fromhex(
    "31 c0"             # xor  ax, ax
    "8e d8"             # mov  ds, ax
    "be 2e 7c"          # mov  si, packet
    "b4 42"             # mov  ah, 0x42        ; read the blocks that `packet` names off the disk in dl
    "cd 13"             # int  0x13
    "72 1d"             # jc   stop
    "be 00 80"          # mov  si, 0x8000
    "fc"                # cld
    # next:
    "ac"                # lodsb
    "84 c0"             # test al, al
    "74 14"             # jz   stop
    "88 c4"             # mov  ah, al
    "ba fd 03"          # mov  dx, 0x3fd
    # wait:
    "ec"                # in   al, dx          ; the serial port's status
    "a8 20"             # test al, 0x20
    "74 fb"             # jz   wait
    "ba f8 03"          # mov  dx, 0x3f8
    "88 e0"             # mov  al, ah
    "ee"                # out  dx, al
    "eb e9"             # jmp  next
    "90 90"
    # stop:
    "f4"                # hlt
    "eb fd"             # jmp  stop
    "90"
)


class Boot(ScsiTest):
    kind = "qemu"

    def bootable(self, disk):
        """Puts the boot sector on it, and what that one is to print."""
        packet = bytes([16, 0, 1, 0]) + (0x8000).to_bytes(4, "little") + WHERE.to_bytes(8, "little")
        with open(disk.path, "r+b") as file:
            file.write((BOOT_SECTOR + packet).ljust(510, b"\0") + b"\x55\xaa")
            file.seek(WHERE * 512)
            file.write(WORD)
        return disk

    def boot_from(self, device, socket):
        serial = self.workspace / "serial"
        machine = Process("qemu", ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-no-user-config",
                                   "-m", "64M", "-object", "memory-backend-memfd,id=memory,size=64M,share=on",
                                   "-machine", "q35,memory-backend=memory", "-chardev", f"socket,id=disk,path={socket}",
                                   "-device", f"{device},chardev=disk,bootindex=0", "-serial", f"file:{serial}"],
                          self.workspace / "qemu.log")
        self.addCleanup(machine.kill)
        expect_within(lambda: serial.exists() and WORD.rstrip(b"\0") in serial.read_bytes(), 30, "the boot sector has run")
        machine.kill()
        self.finish()

    @needs("scsi")
    def test_scsi(self):
        unit = self.unit("disk", 2, 0, 32 * MIB)
        self.bootable(unit.disk)
        self.boot_from("vhost-user-scsi-pci", self.device(unit).socket)

    def test_blk(self):
        disk = self.file_disk()
        self.bootable(disk)
        self.boot_from("vhost-user-blk-pci", disk.socket)
