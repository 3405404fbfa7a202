# SPDX-License-Identifier: Apache-2.0
"""What a guest sees of its disk, and what its block layer and its filesystem do with it."""

import hashlib

from common import MIB, GuestTest, expect_within, for_each_kind, needs, sha256_of

# Feature bits of the device (VIRTIO 1.2, 5.2.3 and 6), the order being that of the guest's "features" file.
FEATURES = {"SIZE_MAX": 1, "SEG_MAX": 2, "RO": 5, "BLK_SIZE": 6, "FLUSH": 9, "TOPOLOGY": 10, "CONFIG_WCE": 11, "MQ": 12,
            "DISCARD": 13, "WRITE_ZEROES": 14, "INDIRECT_DESC": 28, "EVENT_IDX": 29, "VERSION_1": 32}


@for_each_kind
class Disk(GuestTest):
    def features_of(self, guest, device):
        bits = guest.run(f"cat /sys/block/{device}/device/features").strip()
        return {name for name, bit in FEATURES.items() if bits[bit] == "1"}

    def test_appears(self):
        """Size, serial number, features and limits; a read-only disk beside a writable one."""
        disk = self.file_disk(size=40 * MIB, queues=4)
        fixed = self.file_disk("fixed", queues=4, read_only=True)
        guest = self.boot(disk, fixed, **({"queues": 4} if self.kind == "qemu" else {}))

        self.assertEqual(guest.run("cat /sys/block/vda/size"), f"{disk.size // 512}\n")
        self.assertEqual(guest.run("cat /sys/block/vda/serial"), self.back_end.serial_of(disk))
        self.assertEqual(guest.run("cat /sys/block/vdb/size"), f"{fixed.size // 512}\n")

        everywhere = {"SEG_MAX", "BLK_SIZE", "FLUSH", "TOPOLOGY", "CONFIG_WCE", "INDIRECT_DESC", "EVENT_IDX", "VERSION_1"}
        writable = {"MQ", "DISCARD", "WRITE_ZEROES"}
        self.assertLessEqual(everywhere | writable, self.features_of(guest, "vda"))
        self.assertNotIn("RO", self.features_of(guest, "vda"))
        self.assertLessEqual(everywhere | {"RO"}, self.features_of(guest, "vdb"))

        limits = guest.run("cd /sys/block/vda/queue; cat logical_block_size discard_max_bytes write_zeroes_max_bytes "
                           "write_cache").splitlines()
        self.assertEqual(limits[0], "512")
        self.assertGreaterEqual(int(limits[1]), MIB)
        self.assertGreaterEqual(int(limits[2]), MIB)
        self.assertEqual(limits[3], self.back_end.write_cache)

        self.assertEqual(guest.run("cat /sys/block/vda/ro /sys/block/vdb/ro"), "0\n1\n")
        self.assertNotEqual(guest.start("dd if=/dev/zero of=/dev/vdb bs=4k count=1 oflag=direct").wait(10, check=False),
                            "")
        self.assertEqual(fixed.allocated_bytes(), 0)
        self.finish()

    def test_write_cache_mode(self):
        """The driver switches the disk to write-through and back (CONFIG_WCE), and I/O goes on in both."""
        disk = self.file_disk()
        guest = self.boot(disk)
        for mode in ["write through", "write back"]:
            guest.run(f"echo '{mode}' >/sys/block/vda/cache_type")
            self.assertEqual(guest.run("cat /sys/block/vda/cache_type /sys/block/vda/queue/write_cache"),
                             f"{mode}\n{mode}\n")
            guest.run("dd if=/bin/busybox of=/dev/vda bs=64k oflag=direct conv=fsync 2>/dev/null\n"
                      "cmp -n $(stat -c %s /bin/busybox) /bin/busybox /dev/vda")
        self.finish()

    def test_discard_zero_flush(self):
        """blkdiscard gives blocks back and leaves zeroes, blkdiscard -z leaves zeroes, fsync arrives as a flush."""
        disk = self.file_disk(size=16 * MIB)
        guest = self.boot(disk)
        fill = "dd if=/dev/urandom of=/dev/vda bs=1M count=16 oflag=direct 2>/dev/null"
        zeroes = hashlib.sha256(bytes(4 * MIB)).hexdigest()

        guest.run(fill)
        full = disk.allocated_bytes()
        self.assertGreaterEqual(full, disk.size)
        kept = sha256_of(disk.path)
        guest.run(f"blkdiscard -o {4 * MIB} -l {4 * MIB} /dev/vda")
        self.assertLessEqual(disk.allocated_bytes(), full - 4 * MIB)
        discarded = guest.run("dd if=/dev/vda bs=1M skip=4 count=4 iflag=direct 2>/dev/null | sha256sum")
        self.assertEqual(discarded.split()[0], zeroes)

        guest.run(fill)
        self.assertNotEqual(sha256_of(disk.path), kept)
        guest.run(f"blkdiscard -z -o {8 * MIB} -l {4 * MIB} /dev/vda")
        with open(disk.path, "rb") as file:
            file.seek(8 * MIB)
            self.assertEqual(hashlib.sha256(file.read(4 * MIB)).hexdigest(), zeroes)
            self.assertNotEqual(file.read(MIB), bytes(MIB))

        # Ranges that are no multiple of anything but a sector.
        guest.run(f"blkdiscard -z -o 512 -l {3 * 512} /dev/vda")
        with open(disk.path, "rb") as file:
            start = file.read(3 * 1024)
        self.assertEqual(start[512:2048], bytes(1536))
        self.assertNotEqual(start[:512], bytes(512))
        self.assertNotEqual(start[2048:2560], bytes(512))

        guest.run("echo 'write back' >/sys/block/vda/cache_type")
        flushes = "awk '$3 == \"vda\" { print $19 }' /proc/diskstats"
        before = int(guest.run(flushes))
        guest.run("dd if=/dev/zero of=/dev/vda bs=4k count=8 conv=fsync 2>/dev/null")
        self.assertGreater(int(guest.run(flushes)), before)
        self.finish()

    def test_filesystem(self):
        """A filesystem made, filled, trimmed and checked in the guest is sound and has the same files on the host."""
        disk = self.file_disk(size=96 * MIB)
        self.use_as_filesystem(self.boot(disk), "/dev/vda", disk)
        self.finish()

    @needs("resize")
    def test_resize(self):
        """A disk that grows while the guest has it open is larger in the guest, and its new end can be used."""
        disk = self.file_disk(size=16 * MIB)
        guest = self.boot(disk)
        guest.run("dd if=/dev/urandom of=/dev/vda bs=1M count=16 oflag=direct 2>/dev/null")
        before = sha256_of(disk.path)

        self.back_end.resize(disk, 48 * MIB)
        expect_within(lambda: guest.run("cat /sys/block/vda/size") == f"{48 * MIB // 512}\n", 10,
                      "the guest sees the new size")
        self.assertEqual(disk.path.stat().st_size, 48 * MIB)
        digest = guest.run("dd if=/dev/urandom of=/dev/vda bs=1M seek=16 count=32 oflag=direct 2>/dev/null\n"
                           "sha256sum /dev/vda").split()[0]
        self.assertEqual(sha256_of(disk.path), digest)
        with open(disk.path, "rb") as file:
            self.assertEqual(hashlib.sha256(file.read(16 * MIB)).hexdigest(), before)
        self.finish()
