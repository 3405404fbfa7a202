# SPDX-License-Identifier: Apache-2.0
"""Verified I/O of real guests, under every policy and while it changes."""

import itertools
import time

from common import MIB, POLICIES, GuestTest, expect_within, fio_verify, for_each_kind, in_parallel, needs, sha256_of, slow_with

# (sizes of requests, depth, pattern): from one small request at a time to more than the queue can hold.
LOADS = [("512-4k", 1, "randwrite"), ("4k-64k", 32, "randrw"), ("512-1M", 8, "randwrite"), ("4k-4k", 128, "randwrite")]
FLIP_SECONDS = 0.05


@for_each_kind
class Io(GuestTest):
    def loads_script(self, *devices):
        """All loads, one after the other, each on all the devices at the same time."""
        return "\n".join(
            in_parallel(fio_verify(f"/dev/{device}", (8 if depth > 1 else 1) * MIB, self.seed + number, sizes, depth,
                                   pattern, name=device) for device in devices)
            for number, (sizes, depth, pattern) in enumerate(LOADS))

    def verify_under(self, **policy):
        """fio's checksums hold on a file and in memory, and the host's file has what the guest sees."""
        disk, memory = self.file_disk(), self.memory_disk()
        if policy:
            self.back_end.set_policy(**policy)
        guest = self.boot(disk, memory)
        guest.run(self.loads_script("vda", "vdb"), timeout=90)
        self.assertEqual(guest.run("sha256sum /dev/vda", timeout=30).split()[0], sha256_of(disk.path))
        return [self.back_end.counters(each) for each in (disk, memory)] if policy else []

    def test_verify_default(self):
        self.verify_under()
        self.finish()

    @needs("policies")
    @slow_with("qemu")
    def test_verify_never(self):
        for counters in self.verify_under(policy="never"):
            self.assertGreater(counters["kicks"], 100)
            self.assertEqual(counters["poll_requests"] + counters["poll_empty"] + counters["to_polled"], 0)
            self.assertEqual(counters["notif_requests"], counters["completions"])
        self.finish()

    @needs("policies")
    def test_verify_always(self):
        for counters in self.verify_under(policy="always"):
            self.assertGreater(counters["poll_requests"], 1000)
            self.assertEqual(counters["notif_requests"], 0)
            # The first request's, before anything was published; QEMU's own when it starts the device; and one whenever a
            # descriptor that was kicked before is watched anew.
            self.assertLessEqual(counters["kicks"], 8)
        self.finish()

    @needs("policies")
    @slow_with("qemu")
    def test_verify_rate(self):
        for counters in self.verify_under(policy="rate", poll_start_rate=2, poll_stop_idle="20ms"):
            self.assertGreater(counters["to_polled"], 1)
            self.assertGreater(counters["to_notified"], 0)
            self.assertGreater(counters["poll_requests"], 100)
            self.assertEqual(counters["poll_requests"] + counters["notif_requests"], counters["completions"])
        self.finish()

    @needs("policies")
    def test_flip_policy(self):
        """The policy changes every 50 ms during verified I/O, on one disk at the device, on the other at its queue."""
        disk, memory = self.file_disk(), self.memory_disk()
        guest = self.boot(disk, memory)
        job = guest.start("set -e\n" + "\n".join([self.loads_script("vda", "vdb")] * 2))
        flips = 0
        for policy in itertools.cycle(POLICIES):
            due = time.monotonic() + FLIP_SECONDS
            self.back_end.set_policy(disk, policy=policy)
            self.back_end.set_policy(memory, queue=0, policy=policy)
            flips += 1
            if job.finished():
                break
            time.sleep(max(0.0, due - time.monotonic()))
        job.wait(90)
        self.say(f"{flips} flips")
        self.assertGreater(flips, 20)
        for counters in (self.back_end.counters(disk), self.back_end.counters(memory)):
            self.assertGreater(counters["to_polled"], flips // 4)
            self.assertGreater(counters["to_notified"], flips // 4)
            self.assertEqual(counters["poll_requests"] + counters["notif_requests"], counters["completions"])
        self.finish()

    @needs("policies")
    def test_polled_queue_falls_idle(self):
        """rate: under load the queue is polled; idle for poll_stop_idle it is notified again, and its next request is
        served; with poll_start_rate 0, set while it runs, it is never polled again."""
        disk = self.memory_disk()
        self.back_end.set_policy(policy="rate", poll_start_rate=1, poll_stop_idle="300ms")
        guest = self.boot(disk)
        read = "fio --name=read --filename=/dev/vda --rw=randread --ioengine=io_uring --direct=1 --thread " \
               "--iodepth=8 --size=8M --output=/dev/null"
        guest.run(read)
        self.assertGreater(self.back_end.counters(disk)["to_polled"], 0)

        expect_within(lambda: self.back_end.queue(disk)["mode"] == "notified", 3, "the idle queue is notified again")
        before = self.back_end.counters(disk)
        guest.run("dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null")
        after = self.back_end.counters(disk)
        self.assertGreater(after["kicks"], before["kicks"])
        self.assertGreater(after["completions"], before["completions"])

        self.back_end.set_policy(policy="rate", poll_start_rate=0)
        expect_within(lambda: self.back_end.queue(disk)["mode"] == "notified", 3, "the queue is notified")
        before = self.back_end.counters(disk)
        guest.run(read)
        after = self.back_end.counters(disk)
        self.assertEqual(after["to_polled"], before["to_polled"])
        self.assertGreater(after["kicks"], before["kicks"] + 50)
        self.finish()

    @needs("policies")
    def test_idle_costs_nothing(self):
        """With idle guests' disks attached, the worker neither wakes up nor uses CPU time, for two seconds."""
        disks = [self.memory_disk(f"memory{number}") for number in range(2)]
        self.back_end.set_policy(policy="rate", poll_start_rate=1, poll_stop_idle="100ms")
        guest = self.boot(*disks)
        guest.run("dd if=/dev/vda of=/dev/null bs=64k count=100 iflag=direct 2>/dev/null")
        expect_within(lambda: all(self.back_end.queue(disk)["mode"] == "notified" for disk in disks), 3, "all notified")
        threads = self.back_end.worker_threads()
        before = [thread_cost(self.back_end.pid, thread) for thread in threads]
        time.sleep(2)
        self.assertEqual([thread_cost(self.back_end.pid, thread) for thread in threads], before)
        self.finish()


class Queues(GuestTest):
    """What only QEMU can be asked for: rings without EVENT_IDX, several queues in use."""

    kind = "qemu"

    def try_all(self, queues, cpus, **options):
        """Four jobs, each on its own part of the disk and spread over the CPUs, under each policy there is."""
        disk = self.file_disk(queues=4)
        guest = self.boot(disk, queues=queues, cpus=cpus, **options)
        job = f"--numjobs=4 --cpus_allowed=0-{cpus - 1} --cpus_allowed_policy=split --offset_increment=4M"
        can_choose = "policies" in self.back_end.abilities
        for number, policy in enumerate(["never", "always", "adaptive"] if can_choose else ["as it is"]):
            if can_choose:
                self.back_end.set_policy(policy=policy)
            guest.run(fio_verify("/dev/vda", 4 * MIB, self.seed + number, "512-64k", 16, extra=job), timeout=90)
        if can_choose:
            for index in range(queues):
                counters = self.back_end.queue(disk, index)["counters"]
                self.assertGreater(counters["poll_requests"], 50)
                self.assertGreater(counters["notif_requests"], 50)
        return guest

    @slow_with("qemu")
    def test_one_queue_of_four(self):
        guest = self.try_all(queues=1, cpus=2)
        self.assertEqual(guest.run("ls /sys/block/vda/mq | wc -l"), "1\n")
        self.finish()

    def test_four_queues(self):
        guest = self.try_all(queues=4, cpus=4)
        self.assertEqual(guest.run("ls /sys/block/vda/mq | wc -l"), "4\n")
        self.finish()

    def test_no_event_idx(self):
        guest = self.try_all(queues=1, cpus=2, event_idx=False)
        self.assertEqual(guest.run("cut -c 30 /sys/block/vda/device/features"), "0\n")
        self.finish()


def thread_cost(process, thread):
    """Everything that moves when a thread runs at all: (voluntary switches, involuntary ones, CPU time in ticks)."""
    with open(f"/proc/{process}/task/{thread}/status") as file:
        switches = [int(line.split()[1]) for line in file if "ctxt_switches" in line]
    with open(f"/proc/{process}/task/{thread}/schedstat") as file:
        return (*switches, int(file.read().split()[0]))
