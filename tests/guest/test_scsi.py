# SPDX-License-Identifier: Apache-2.0
"""What a guest's SCSI driver and its disk driver do with the units of a SCSI device, which come, change and go meanwhile."""

import pathlib

from common import MIB, Flipping, expect_within, fio_verify, for_each_kind, in_parallel, needs, sha256_of, slow_with
from scsi_guest import ScsiTest

# The kernel's word for a disk that has gone while it was in use.
GONE = ("I/O error, dev sd", "rejecting I/O to offline device", "Buffer I/O error on dev")

LOAD = ("echo started; fio --name=load --filename={device} --rw=randrw --bs=16k --direct=1 --ioengine=io_uring --iodepth=16 "
        "--thread --time_based --runtime=60 --output=/tmp/load.out {more}")


@for_each_kind
class Scsi(ScsiTest):
    def several_queues(self):
        """User-mode Linux has one CPU, and so one request queue."""
        return {"queues": 4} if self.kind == "qemu" else {}

    @needs("scsi")
    def test_appears(self):
        """Several targets and LUNs: sizes, names, what the disks can do; one that is read-only, one that rotates, one far out."""
        units = [
            self.unit("first", 0, 0, 40 * MIB, vendor="ACME", product="Roadrunner trap", revision="7.1", serial="SN-0001"),
            self.unit("fixed", 0, 1, read_only=True),
            self.unit("rotating", 3, 7, 8 * MIB, "memory", rotational=True),
            self.unit("far", 255, 16383, 24 * MIB, "memory"),
        ]
        guest = self.boot_with(self.device(*units, queues=4), **self.several_queues())
        nodes = self.nodes(guest)
        self.assertEqual(set(nodes), {(0, unit.target, unit.lun) for unit in units})

        for unit in units:
            node = self.node(guest, unit)
            said = guest.run(f"cd {node.directory}; cat type vendor model rev\ncd block/{node.disk}\n"
                             "cat size ro queue/logical_block_size queue/rotational queue/write_cache queue/discard_max_bytes")
            kind, vendor, product, revision, size, read_only, block, rotational, cache, discard = map(str.strip, said.splitlines())
            self.assertEqual((kind, vendor, product, revision), (
                "0", unit.keys.get("vendor", "SIDECORE"), unit.keys.get("product", "virtual disk"), unit.keys.get("revision", "0001")))
            self.assertEqual(int(size), unit.disk.size // 512)
            self.assertEqual(read_only, "1" if unit.disk.read_only else "0")
            self.assertEqual((block, rotational), ("512", "1" if unit.keys.get("rotational") else "0"))
            keeps_writes = unit.disk.storage == "file" and not unit.disk.read_only
            self.assertEqual(cache, "write back" if keeps_writes else "write through")
            if not unit.disk.read_only:
                self.assertGreaterEqual(int(discard), MIB)
        # What udev would make /dev/disk/by-id of.
        identities = {guest.run(f"cat {node.directory}/wwid").strip() for node in nodes.values()}
        self.assertEqual(len(identities), len(units))
        self.assertTrue(any("SN-0001" in identity for identity in identities), identities)
        serial = guest.run(f"sg_inq -p sn {self.node(guest, units[0]).generic}")
        self.assertIn("Unit serial number: SN-0001", serial)

        queues = guest.run(f"ls /sys/block/{self.node(guest, units[0]).disk}/mq | wc -l").strip()
        self.assertEqual(queues, "4" if self.kind == "qemu" else "1")

        # They are different disks, of which one takes nothing.
        for unit in units:
            job = guest.start(f"echo {unit.disk.name} | dd of={self.node(guest, unit).path} bs=512 conv=sync,fsync 2>/dev/null")
            job.wait(10, check=False)
            self.assertEqual(job.status != 0, unit.disk.read_only)
        for unit in units:
            begin = guest.run(f"dd if={self.node(guest, unit).path} bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\\0'").strip()
            self.assertEqual(begin, "" if unit.disk.read_only else unit.disk.name)
        self.assertEqual(units[1].disk.allocated_bytes(), 0)
        self.finish()

    @needs("scsi", "policies")
    def test_verify_while_policies_flip(self):
        """fio's checksums hold on a file and in memory while the policy changes every 50 ms; the host's file has what the guest sees."""
        units = [self.unit("file", 0, 0), self.unit("memory", 1, 0, storage="memory")]
        device = self.device(*units, queues=4)
        guest = self.boot_with(device, **self.several_queues())
        paths = [self.node(guest, unit).path for unit in units]
        with Flipping(self.back_end) as flipping:
            for number, (sizes, depth) in enumerate([("4k-64k", 32), ("512-1M", 8), ("512-4k", 16)]):
                size = 2 * MIB if depth == 16 else 12 * MIB
                guest.run(in_parallel(fio_verify(path, size, self.seed + number, sizes, depth, "randrw", name=pathlib.Path(path).name)
                                      for path in paths), timeout=90)
        self.say(f"{flipping.flips} flips")
        self.assertGreater(flipping.flips, 5)
        counters = self.back_end.counters(device)
        self.assertGreater(counters["to_polled"], flipping.flips // 4)
        self.assertEqual(counters["poll_requests"] + counters["notif_requests"], counters["completions"])
        self.assertEqual(guest.run(f"sha256sum {paths[0]}", timeout=30).split()[0], sha256_of(units[0].disk.path))
        self.finish()

    @needs("scsi")
    @slow_with("qemu")
    def test_filesystem(self):
        """A filesystem made, filled, trimmed and checked in the guest is sound and has the same files on the host."""
        unit = self.unit("disk", size=96 * MIB)
        guest = self.boot_with(self.device(unit))
        self.use_as_filesystem(guest, self.node(guest, unit).path, unit.disk)
        self.finish()

    @needs("scsi")
    @slow_with("qemu")
    def test_units_come_grow_and_go(self):
        """A unit appears in a running guest, grows and disappears, while another one is in verified use; nobody looks for it by hand."""
        steady = self.unit("steady", 0, 0)
        device = self.device(steady)
        guest = self.boot_with(device)
        node = self.node(guest, steady)
        job = guest.start(f"set -e\nfor round in 1 2 3 4; do {fio_verify(node.path, 8 * MIB, self.seed)}; done")
        guest_sees = self.sees(guest)
        # The guest runs one script at a time: what it sees of the units meanwhile, its kernel's log says.
        late = self.unit("late", 2, 5, 16 * MIB)
        self.back_end.add_unit(device, late)
        guest_sees("scsi 0:0:2:5: Direct-Access", "the new unit")
        guest_sees("32768 512-byte logical blocks", "the new unit's size")
        self.back_end.resize_unit(device, late, 48 * MIB)
        if self.kind == "uml":
            guest_sees("detected capacity change from 32768 to 98304", "the new size")
        job.wait(90)

        # QEMU 7.2 keeps to itself that its driver wants to hear of changes: there the driver has to look.
        added = self.node(guest, late)
        if self.kind == "qemu":
            guest.run(f"echo 1 >{added.directory}/rescan")
        self.assertEqual(int(guest.run(f"cat /sys/block/{added.disk}/size")), 48 * MIB // 512)
        guest.run(f"dd if=/dev/urandom of={added.path} bs=1M seek=16 count=32 oflag=direct 2>/dev/null")
        self.assertEqual(guest.run(f"sha256sum {added.path}").split()[0], sha256_of(late.disk.path))

        load = guest.start(LOAD.format(device=added.path, more="; test ! -e " + added.directory))
        load.wait_for("started", 10)
        expect_within(lambda: guest_is_busy(self.back_end, device), 10, "I/O is under way")
        self.back_end.remove_unit(device, late)
        load.wait(30, check=False)
        expect_within(lambda: (0, 2, 5) not in self.nodes(guest), 10, "the guest lets go of the unit")
        guest.run(fio_verify(node.path, 8 * MIB, self.seed + 1))
        self.assertEqual(guest.run(f"sha256sum {node.path}").split()[0], sha256_of(steady.disk.path))
        guest.shut_down(expected_complaints=GONE)
        self.finish()

    @needs("scsi")
    @slow_with("qemu")
    def test_resets_under_load(self):
        """sg_reset of one unit and the other, again and again while fio verifies: what is aborted is done again, nothing is lost.

        Of resets Linux's driver knows no other than a unit's.
        """
        units = [self.unit("first", 0, 0), self.unit("second", 0, 1)]
        guest = self.boot_with(self.device(*units, queues=4), **self.several_queues())
        nodes = [self.node(guest, unit) for unit in units]
        verify = in_parallel(fio_verify(node.path, 8 * MIB, self.seed + number, "4k-64k", 32, name=node.disk, extra="--loops=6")
                             for number, node in enumerate(nodes))
        printed = guest.run(f"""
            ( {verify.replace(chr(10), '; ')} ) & load=$!
            resets=0
            while kill -0 $load 2>/dev/null; do
                sg_reset --no-esc --device {nodes[0].generic}
                sg_reset --no-esc --device {nodes[1].generic}
                resets=$((resets + 1))
                sleep 0.05
            done
            wait $load
            echo $resets
        """, timeout=90)
        self.say(f"{printed.strip()} resets")
        self.assertGreater(int(printed), 2)
        for unit, node in zip(units, nodes):
            self.assertEqual(guest.run(f"sha256sum {node.path}").split()[0], sha256_of(unit.disk.path))
        self.finish()

    def sees(self, guest):
        """A function that waits until the kernel's log, from here on, has a text."""
        begin = len(guest.kernel_log.read_bytes())
        return lambda text, what: expect_within(
            lambda: text in guest.kernel_log.read_bytes()[begin:].decode(errors="replace"), 20, f"{guest.name} sees {what}")


def guest_is_busy(back_end, device):
    before = back_end.counters(device)["completions"]
    return back_end.counters(device)["completions"] > before + 10
