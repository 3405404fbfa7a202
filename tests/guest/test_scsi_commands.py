# SPDX-License-Identifier: Apache-2.0
"""What SCSI tools that others wrote (sg3-utils, ddpt) get told by a unit, and what becomes of the data that they have it change."""

import re

from common import MIB, expect_within, for_each_kind, needs, sha256_of, slow_with
from scsi_guest import ScsiTest

# Exit statuses of sg3-utils.
NOT_READY, ILLEGAL_REQUEST, DATA_PROTECT, MISCOMPARE, OUT_OF_RANGE, CONDITION_MET = 2, 5, 7, 14, 22, 25

WRITE_CACHE_ENABLED = 0x04  # in byte 2 of the caching mode page

BLOCK = 512
ROOM = 65536  # for what the host's filesystem writes about a file in pieces


def numbered(blocks):
    """So many blocks, each of which has its number in it again and again."""
    return b"".join(number.to_bytes(4, "big") * (BLOCK // 4) for number in range(blocks))


@for_each_kind
class ScsiCommands(ScsiTest):
    def fill(self, unit):
        unit.disk.path.write_bytes(numbered(unit.disk.size // BLOCK))

    def blocks(self, unit, first, count=1):
        """What the host's file has of the unit."""
        with open(unit.disk.path, "rb") as file:
            file.seek(first * BLOCK)
            return file.read(count * BLOCK)

    @needs("scsi")
    @slow_with("qemu")
    def test_inquiries(self):
        """Every VPD page, mode page, log page and command that a unit says it has can be asked for, and agrees with the configuration."""
        unit = self.unit("disk", 0, 0, 24 * MIB, vendor="ACME", product="Roadrunner trap", revision="7.1", serial="SN-0001")
        fixed = self.unit("fixed", 0, 300, read_only=True)
        guest = self.boot_with(self.device(unit, fixed))
        sg = self.node(guest, unit).generic
        last = unit.disk.size // BLOCK - 1

        standard = guest.run(f"sg_inq {sg}")
        for line in ("PQual=0", "Vendor identification: ACME", "Product identification: Roadrunner trap", "Product revision level: 7.1",
                     "Unit serial number: SN-0001", "CmdQue=1"):
            self.assertIn(line, standard)
        self.assertIn("version descriptors", guest.run(f"sg_inq -d {sg}").lower())

        pages = re.findall(r"\[(\w+)\]", guest.run(f"sg_vpd -p sv {sg}"))
        self.assertLessEqual({"sv", "sn", "di", "ei", "mpp", "bl", "bdc", "lbpv"}, set(pages))
        said = {page: guest.run(f"sg_vpd -p {page} {sg}\nsg_vpd -H -p {page} {sg} >/dev/null") for page in pages}
        every = guest.run(f"sg_vpd -a {sg}")
        for page, text in said.items():
            self.assertIn(text.splitlines()[0].strip().split(" VPD page")[0].lower(), every.lower(), page)
        self.assertIn("SN-0001", said["sn"])
        self.assertIn("0x3", said["di"])
        self.assertRegex(said["lbpv"], r"Unmap command supported \(LBPU\): 1")
        self.assertRegex(said["lbpv"], r"LBPWS\): 1")
        self.assertRegex(said["bl"], r"Maximum compare and write length: [1-9]")
        self.assertRegex(said["bl"], r"Maximum unmap LBA count: [1-9]")
        self.assertIn("Non-rotating medium", said["bdc"])
        self.assertEqual(self.fails_with(guest, f"sg_vpd --force -p 0xc5 {sg}"), ILLEGAL_REQUEST)

        for control in range(3):
            for six in ("", "-6"):
                modes = guest.run(f"sg_modes -a -c {control} {six} {sg}")
                self.assertIn("Caching", modes)
                self.assertIn("Control", modes)
        self.assertIn("WP=1", guest.run(f"sg_modes -a {self.node(guest, fixed).generic}"))
        self.assertIn("WP=0", guest.run(f"sg_modes -a {sg}"))

        opcodes = guest.run(f"sg_opcodes {sg}")
        codes = re.findall(r"^ ([0-9a-f]{2}) {7,10}([0-9a-f]{0,4}) +(?:6|10|12|16|32) ", opcodes, re.MULTILINE)
        self.assertGreater(len(codes), 40, opcodes)
        asked = "\n".join(f"sg_opcodes -n -m -o 0x{code} {'-s 0x' + action if action else ''} {sg}" for code, action in codes)
        self.assertEqual(guest.run(asked, timeout=60).count("Command is supported [conforming"), len(codes))
        self.assertIn("Abort task", guest.run(f"sg_opcodes -t {sg}"))

        self.assertEqual(re.findall(r"^ +([0-9a-f]{16})$", guest.run(f"sg_luns {sg}"), re.MULTILINE), ["0" * 16, "412c" + "0" * 12])
        self.assertIn("c101" + "0" * 12, guest.run(f"sg_luns -s 1 {sg}"))
        self.assertIn("c101" + "0" * 12, guest.run(f"sg_luns -s 2 {sg}"))

        self.assertIn(f"Last LBA={last} ", guest.run(f"sg_readcap {sg}"))
        long = guest.run(f"sg_readcap --16 {sg}")
        for line in (f"Last LBA={last} ", "Logical block length=512 bytes", "lbpme=1, lbprz=1", "prot_en=0"):
            self.assertIn(line, long)

        logs = guest.run(f"sg_logs -x {sg}")
        pages = re.findall(r"^ +0x([0-9a-f]{2})(?:,0x([0-9a-f]{2}))?", logs, re.MULTILINE)
        self.assertGreater(len(pages), 3, logs)
        guest.run("\n".join(f"sg_logs -p 0x{page}{',0x' + subpage if subpage else ''} {sg}" for page, subpage in pages) + f"\nsg_logs -a {sg}")

        self.assertIn("active/optimized", guest.run(f"sg_rtpg -d {sg}"))
        self.assertIn("No Sense", guest.run(f"sg_requests {sg}"))
        guest.run(f"sg_requests -d {sg}\nsg_senddiag -t {sg}\nsg_turs -n 20 {sg}")
        self.finish()

    @needs("scsi")
    @slow_with("qemu")
    def test_states(self):
        """Stopped, a unit is not ready; write-protected by software, it takes nothing; its write cache goes off and on by the driver's way."""
        unit = self.unit("disk")
        guest = self.boot_with(self.device(unit))
        node = self.node(guest, unit)
        sg = node.generic
        guest.run(f"sg_start --stop {sg}")
        self.assertEqual(self.fails_with(guest, f"sg_turs {sg}"), NOT_READY)
        self.fails_with(guest, f"sg_dd if={sg} of=/dev/null bs=512 count=1", "not ready")
        guest.run(f"sg_start --start {sg}\nsg_turs {sg}\nsg_dd if={sg} of=/dev/null bs=512 count=1 2>/dev/null")
        guest.run(f"sg_prevent -p 1 {sg}\nsg_prevent --allow {sg}")

        for mode in ("write through", "write back"):
            guest.run(f"cd {node.directory}/scsi_disk/*\necho '{mode}' >cache_type")
            expect_within(lambda: guest.run(f"cat /sys/block/{node.disk}/queue/write_cache").strip() == mode, 5, mode)
            flags = int(re.search(r"^ 00 +08 [0-9a-f]{2} ([0-9a-f]{2})", guest.run(f"sg_modes -p 8 {sg}"), re.MULTILINE).group(1), 16)
            self.assertEqual(bool(flags & WRITE_CACHE_ENABLED), mode == "write back")
            guest.run(f"dd if=/bin/busybox of={node.path} bs=64k oflag=direct conv=fsync 2>/dev/null\n"
                      f"cmp -n $(stat -c %s /bin/busybox) /bin/busybox {node.path}")
        self.finish()

    @needs("scsi")
    @slow_with("qemu")
    def test_data(self):
        """What tools write, compare, replace and give back, block by block, is what the host's file has."""
        unit, fixed = self.unit("disk"), self.unit("fixed", 0, 1, read_only=True)
        self.fill(unit)
        as_it_was = numbered(unit.disk.size // BLOCK)
        guest = self.boot_with(self.device(unit, fixed), files={
            "/data/a": b"a" * BLOCK, "/data/b": b"b" * BLOCK, "/data/ab": b"a" * BLOCK + b"b" * BLOCK, "/data/zero": bytes(BLOCK),
            "/data/many": numbered(1024)[::-1], "/data/10": numbered(11)[-BLOCK:]})
        sg = self.node(guest, unit).generic
        last = unit.disk.size // BLOCK - 1

        with self.subTest("READ and WRITE of every length"):
            for number, length in enumerate((6, 10, 12, 16)):
                at = 1024 + 200 * number
                flags = "" if length == 6 else ",fua,dpo"
                guest.run(f"sg_dd if=/data/many of={sg} bs=512 seek={at} count=100 cdbsz={length} oflag=sgio{flags} 2>/dev/null\n"
                          f"sg_dd if={sg} of=/tmp/back bs=512 skip={at} count=100 cdbsz={length} iflag=sgio{flags} 2>/dev/null\n"
                          "cmp -n $(stat -c %s /tmp/back) /tmp/back /data/many")
                self.assertEqual(self.blocks(unit, at, 100), numbered(1024)[::-1][:100 * BLOCK])
                self.assertEqual(self.blocks(unit, at + 100), as_it_was[(at + 100) * BLOCK:][:BLOCK])

        with self.subTest("WRITE SAME"):
            for number, length in enumerate((10, 16, 32)):
                at = 3000 + 100 * number
                guest.run(f"sg_write_same --{length} --lba={at} --num=50 --in=/data/a {sg}")
                self.assertEqual(self.blocks(unit, at, 51), b"a" * 50 * BLOCK + as_it_was[(at + 50) * BLOCK:][:BLOCK])
            full = unit.disk.allocated_bytes()
            guest.run(f"sg_write_same --16 --unmap --lba=4096 --num=2048 --in=/data/zero {sg}")
            self.assertEqual(self.blocks(unit, 4096, 2048), bytes(MIB))
            self.assertLess(unit.disk.allocated_bytes(), full - MIB + ROOM)
            guest.run(f"sg_write_same --16 --ndob --lba=6144 --num=8 {sg}")
            self.assertEqual(self.blocks(unit, 6144, 9), bytes(8 * BLOCK) + as_it_was[6152 * BLOCK:][:BLOCK])

        with self.subTest("UNMAP and GET LBA STATUS"):
            full = unit.disk.allocated_bytes()
            guest.run(f"sg_unmap --force --lba=8192,12288 --num=2048,2048 {sg}")
            self.assertEqual(self.blocks(unit, 8192, 2048), bytes(MIB))
            self.assertEqual(self.blocks(unit, 12288, 2048), bytes(MIB))
            self.assertLess(unit.disk.allocated_bytes(), full - 2 * MIB + ROOM)
            self.assertIn("mapped", guest.run(f"sg_get_lba_status --lba=0 {sg}").lower())
            self.assertIn("deallocated", guest.run(f"sg_get_lba_status --lba=8192 {sg}").lower())

        with self.subTest("COMPARE AND WRITE"):
            guest.run(f"sg_write_same --16 --lba=20 --num=1 --in=/data/a {sg}")
            swap = f"sg_compare_and_write --in=/data/ab --lba=20 --num=1 --xferlen={2 * BLOCK} {sg}"
            guest.run(swap)
            self.assertEqual(self.blocks(unit, 20), b"b" * BLOCK)
            self.assertEqual(self.fails_with(guest, swap), MISCOMPARE)
            self.assertEqual(self.blocks(unit, 20), b"b" * BLOCK)

        with self.subTest("VERIFY, WRITE AND VERIFY, ORWRITE"):
            guest.run(f"sg_verify --lba=0 --count={last + 1} --bpc=8192 {sg}\nsg_verify --16 --lba=0 --count=100 {sg}")
            compare = f"sg_verify --lba={{at}} --count=1 --ebytchk=1 --ndo={BLOCK} --in=/data/10 {sg}"
            guest.run(compare.format(at=10))
            self.assertEqual(self.fails_with(guest, compare.format(at=11)), MISCOMPARE)
            guest.run(f"sg_verify --lba=3000 --count=50 --ebytchk=3 --ndo={BLOCK} --in=/data/a {sg}")
            for length, at in (("", 40), ("--16", 41)):
                guest.run(f"sg_write_verify {length} --lba={at} --num=1 --ilen={BLOCK} --in=/data/b {sg}")
                self.assertEqual(self.blocks(unit, at), b"b" * BLOCK)
            guest.run(f"sg_write_x --or --lba=40 --num=1 --in=/data/a {sg}")
            self.assertEqual(self.blocks(unit, 40, 2), b"c" * BLOCK + b"b" * BLOCK)

        with self.subTest("SYNCHRONIZE CACHE, PRE-FETCH"):
            guest.run(f"sg_sync {sg}\nsg_sync --16 --lba=0 --count=8 {sg}")
            for length in ("--10", ""):
                self.assertEqual(self.fails_with(guest, f"sg_seek {length} --pre-fetch --lba=0 --num-blocks=8 {sg}"), CONDITION_MET)

        with self.subTest("refused"):
            before = sha256_of(unit.disk.path)
            for command in (f"sg_write_same --16 --lba={last} --num=2 --in=/data/a {sg}",
                            f"sg_dd if={sg} of=/dev/null bs=512 skip={last + 1} count=1"):
                self.assertEqual(self.fails_with(guest, command), OUT_OF_RANGE)
            guest.run(f"sg_dd if={sg} of=/dev/null bs=512 skip={last} count=1 2>/dev/null")
            self.assertEqual(sha256_of(unit.disk.path), before)
            read_only = self.node(guest, fixed).generic
            for command in ("sg_write_same --16 --lba=0 --num=2 --in=/data/a", "sg_unmap --force --lba=0 --num=8",
                            f"sg_compare_and_write --in=/data/ab --lba=20 --num=1 --xferlen={2 * BLOCK}"):
                self.assertEqual(self.fails_with(guest, f"{command} {read_only}"), DATA_PROTECT)
            self.assertEqual(fixed.disk.allocated_bytes(), 0)
        self.finish()

    @needs("scsi")
    @slow_with("qemu")
    def test_copies(self):
        """EXTENDED COPY moves blocks from unit to unit without the guest's memory: sg_xcopy and ddpt."""
        source, target = self.unit("source"), self.unit("target", 1, 0)
        self.fill(source)
        guest = self.boot_with(self.device(source, target))
        here, there = self.node(guest, source).generic, self.node(guest, target).generic
        guest.run(f"sg_copy_results --params {here}")
        guest.run(f"sg_xcopy if={here} of={there} bs=512 skip=100 seek=300 count=5000", timeout=60)
        self.assertEqual(self.blocks(target, 300, 5000), self.blocks(source, 100, 5000))
        self.assertEqual(self.blocks(target, 299) + self.blocks(target, 5300), bytes(2 * BLOCK))
        guest.run(f"ddpt if={here} iflag=pt,xcopy of={there} oflag=pt bs=512 skip=7 seek=9000 count=3000", timeout=60)
        self.assertEqual(self.blocks(target, 9000, 3000), self.blocks(source, 7, 3000))
        self.finish()

    @needs("scsi")
    @slow_with("qemu")
    def test_sanitize(self):
        """SANITIZE overwrites a whole disk with a pattern, then erases it; the disk is not ready meanwhile."""
        unit = self.unit("disk")
        self.fill(unit)
        guest = self.boot_with(self.device(unit), files={"/data/pattern": b"Sidecore"})
        sg = self.node(guest, unit).generic
        guest.run(f"sg_sanitize --overwrite --pattern=/data/pattern --ipl=8 --quick --wait {sg}", timeout=60)
        self.assertEqual(unit.disk.path.read_bytes(), b"Sidecore" * (unit.disk.size // 8))
        guest.run(f"sg_sanitize --block --quick --early {sg}", timeout=60)
        expect_within(lambda: guest.start(f"sg_turs {sg}").wait(10, check=False) == "", 20, "the unit is ready again")
        self.assertEqual(unit.disk.path.read_bytes(), bytes(unit.disk.size))
        self.assertLess(unit.disk.allocated_bytes(), MIB)
        self.finish()
