# SPDX-License-Identifier: Apache-2.0
"""What guests do with each other and with the host on a switch of the daemon, while its policy changes all the time."""

import json
import os
import pathlib
import re
import subprocess

from common import MIB, Flipping, GuestTest, Receiver, expect_within, for_each_kind, needs, slow_with
from guestlib.guests import build_images
from guestlib.networks import Network, enter_network_of_our_own, ip

UPLINK = "sclan0"
PORT = 5201

# What a copy between guests has; more of it where somebody asks for it.
COPY_MIB = int(os.environ.get("SIDECORE_GUEST_COPY_MIB", "0"))

# Takes one connection; its own input does not end, as a sender would take that as the end.
SINK = f"busybox sleep 1000 | busybox nc -l -p {PORT}"

# What a sender can leave to others: checksums, and cutting packets into segments.
SENDERS = [("on", "on"), ("on", "off"), ("off", "off")]


def address(number, version=4):
    return f"10.98.0.{number}" if version == 4 else f"fd98::{number}"


@for_each_kind
class Switch(GuestTest):
    def setUp(self):
        build_images("uml")
        enter_network_of_our_own()
        super().setUp()
        self.back_end.add_switch("lan", UPLINK)
        ip("link", "set", UPLINK, "mtu", 9000)
        ip("addr", "add", f"{address(1)}/24", "dev", UPLINK)
        ip("addr", "add", f"{address(1, 6)}/64", "dev", UPLINK, "nodad")
        self.slow = self.kind == "qemu"

    def join(self, number, kind=None, pairs=1, offloads=True, network=None):
        """A guest with a port, whose addresses end in `number`."""
        if network is None:
            network = Network(f"vm{number}", mac=f"52:54:00:00:00:{number:02x}", pairs=pairs)
            self.back_end.add_network(network, mtu=9000, offloads=offloads, network={"kind": "switch", "switch": "lan"})
        guest = self.boot(kind=kind, networks=[network])
        guest.network = network
        guest.run("echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad\n"
                  "busybox ip link set lo up\nbusybox ip link set eth0 mtu 9000 up\n"
                  f"busybox ip addr add {address(number)}/24 dev eth0\n"
                  f"busybox ip -6 addr add {address(number, 6)}/64 dev eth0")
        return guest

    def ports(self):
        return {port["name"]: port for port in self.back_end.ask("switch", "show", "lan")["ports"]}

    def listen(self, guest, command, output="/dev/null"):
        """Starts a command in the guest that listens at PORT, and goes on when it does."""
        guest.run(f"( {command} ) </dev/null >{output} 2>/dev/null &\n"
                  f"until busybox netstat -ltn | busybox grep -q ':{PORT} '; do busybox usleep 20000; done")

    def iperf(self, guest, to, *words):
        """The end of a test's report: {"sum_sent": …, …}."""
        for _ in range(10):
            text = guest.run(f"iperf3 -J -c {to} -p {PORT} {' '.join(words)}", timeout=60, check=False)
            report = json.loads(text[text.index("{"):])
            if "busy" not in report.get("error", ""):  # with the test before
                break
        self.assertNotIn("error", report, f"{words} to {to}")
        return report["end"]

    def copy(self, sender, receiver, to, mib):
        """Random bytes through TCP, with equal checksums at both ends."""
        receiver.run("busybox rm -f /tmp/received")
        self.listen(receiver, f"{SINK} | busybox sha256sum", "/tmp/received")
        sent = self.send(sender, to, mib)
        received = receiver.run("until [ -s /tmp/received ]; do busybox usleep 20000; done; cat /tmp/received", timeout=60)
        self.assertEqual(received.split()[0], sent)

    def send(self, sender, to, mib):
        """Random bytes to whoever listens: their digest."""
        return sender.run("busybox rm -f /tmp/fifo; busybox mkfifo /tmp/fifo\n"
                          "busybox sha256sum </tmp/fifo >/tmp/sent & sum=$!\n"
                          f"busybox dd if=/dev/urandom bs=64k count={mib * 16} 2>/dev/null | busybox tee /tmp/fifo | "
                          f"busybox nc {to} {PORT}\nwait $sum; cat /tmp/sent", timeout=60 + mib).split()[0]

    @needs("net", "tap")
    @slow_with("qemu")
    def test_ping(self):
        """Echoes of many sizes between guests and to the host, over IPv4 and IPv6, with an MTU of 9000."""
        one, two = self.join(11), self.join(12)
        with Flipping(self.back_end):
            for to in (1, 12):
                for version in (4, 6):
                    for size in (56, 1472, 8952, 8972):
                        answer = one.run(f"busybox ping -c 3 -i 0.1 -W 5 -s {size} {address(to, version)}", timeout=40)
                        self.assertIn("3 packets received", answer, f"{size} bytes to {address(to, version)}")
        stations = {station["mac"]: station["port"] for station in self.back_end.ask("switch", "stations", "lan")["stations"]}
        self.assertEqual((stations[one.network.mac], stations[two.network.mac]), ("vm11", "vm12"))
        # Once it knows who is where, a stream between two is not shown to the third.
        before = self.ports()["uplink"]["counters"]["frames_out"]
        one.run(f"busybox ping -c 20 -i 0.05 -s 1000 {address(12)}", timeout=40)
        self.assertLess(self.ports()["uplink"]["counters"]["frames_out"] - before, 20)
        self.finish()

    @needs("net", "tap", "policies")
    def test_streams(self):
        """TCP each way and both at once, UDP, and messages of 64 bytes, from guest to guest and to the host."""
        pairs = 4 if self.slow else 1
        one, two = self.join(11, pairs=pairs), self.join(12, kind="uml")
        self.listen(two, f"iperf3 -s -p {PORT}")
        host = subprocess.Popen(["iperf3", "-s", "-p", str(PORT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with Flipping(self.back_end) as flipping:
                for to, version in ((12, 4), (12, 6), (1, 4)):
                    there = address(to, version)
                    # Messages for a second: iperf3 counts nothing as received if all of them are on their way when it says that it has ended.
                    for way in (("-n", "2M"), ("-R", "-n", "2M"), ("--bidir", "-t", "1"), ("-N", "-l", "64", "-t", "1"),
                                ("-P", "4", "-n", "2M")):
                        end = self.iperf(one, there, *way)
                        self.assertGreater(end["sum_received"]["bytes"], 0, f"{way} to {there}")
                        if "--bidir" in way:
                            self.assertGreater(end["sum_received_bidir_reverse"]["bytes"], 0, f"back from {there}")
                for way in ((), ("-R",)):
                    end = self.iperf(one, address(12), "-t", "1", "-u", "-b", "4M", "-l", "1000", *way)
                    self.assertGreater(end["sum"]["packets"], 100)
                    self.assertLess(end["sum"]["lost_percent"], 50, way)
            self.assertGreater(flipping.flips, 20)
        finally:
            host.kill()
            host.wait()
        for guest in (one, two):
            for way in ("transmitted", "received"):
                counters = self.back_end.ask("show", guest.network.name)[way]
                self.assertEqual({name for name, count in counters.items() if name.startswith("dropped_") and count}, set())
        self.finish()

    @needs("net", "tap", "policies")
    @slow_with("qemu")
    def test_offloads(self):
        """Whatever a sender leaves to others, and whether or not the receiver takes that: what arrives is what was sent."""
        eager = self.join(11)
        plain = self.join(12, kind="uml", offloads=False)
        taker = self.join(13, kind="uml")
        mib = 1
        with Flipping(self.back_end):
            for checksums, segments in SENDERS:
                eager.run(f"ethtool -K eth0 tx {checksums} tso {segments} gso {segments}")
                offloads = eager.run("ethtool -k eth0")
                self.assertIn(f"tx-checksumming: {checksums}", offloads)
                self.assertIn(f"tcp-segmentation-offload: {segments}", offloads)
                for receiver, number in ((plain, 12), (taker, 13)):
                    for version in (4, 6):
                        self.copy(eager, receiver, address(number, version), mib)
            # And from one that cannot leave anything to anybody.
            for receiver, number in ((eager, 11), (taker, 13)):
                self.copy(plain, receiver, address(number), mib)
        self.assertEqual(self.ports()["vm11"]["counters"]["dropped_offload_fault"], 0)
        self.finish()

    @needs("net", "tap")
    def test_wire(self):
        """What a guest leaves to others is done right by the time it is on a wire: checksums are valid, and no frame is too long."""
        ip("addr", "flush", "dev", UPLINK)
        ip("link", "add", "scbridge0", "type", "bridge")
        ip("link", "add", "scwire0", "type", "veth", "peer", "name", "scwire1")
        for interface in (UPLINK, "scwire0"):
            ip("link", "set", interface, "master", "scbridge0")
        for interface in ("scbridge0", "scwire0", "scwire1"):
            ip("link", "set", interface, "up")
        subprocess.run(["ethtool", "-K", "scwire0", "tx", "off", "tso", "off", "gso", "off"], check=True, stdout=subprocess.DEVNULL)
        ip("addr", "add", f"{address(1)}/24", "dev", "scwire1")
        # The bridge does not answer for the wire's end.
        pathlib.Path("/proc/sys/net/ipv4/conf/all/arp_ignore").write_text("1")
        guest = self.join(11)
        guest.run("busybox ip link set eth0 mtu 1500")
        capture = self.workspace / "wire.pcap"
        # Room for every frame of the stream: with --immediate-mode each takes the length of a snapshot in the buffer, which is
        # 256 KiB of its 2 MiB if nobody says otherwise, so that a sniffer waiting for its CPU misses most.
        sniffer = subprocess.Popen(["tcpdump", "-i", "scwire1", "-w", str(capture), "--immediate-mode", "-U",
                                    "--snapshot-length", "2048", "--buffer-size", "16384", "tcp"], stderr=subprocess.PIPE, text=True)
        host = subprocess.Popen(["iperf3", "-s", "-1", "-p", str(PORT)], stdout=subprocess.DEVNULL)
        try:
            self.assertIn("listening on", sniffer.stderr.readline())
            self.iperf(guest, address(1), "-n", "3M")  # it ends before all that it sent has arrived
            host.wait(20)
            expect_within(lambda: capture.stat().st_size > 2 * MIB, 20, "the sniffer has written what it saw")
        finally:
            for process in (sniffer, host):
                process.terminate()
                process.wait(20)
        text = subprocess.run(["tcpdump", "-r", str(capture), "-nn", "-vv", f"src {address(11)}"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=True).stdout
        lengths = [int(length) for length in re.findall(r"proto TCP \(6\), length (\d+)\)", text)]
        self.assertGreater(len(lengths), 1300)
        self.assertEqual(max(lengths), 1500)
        self.assertEqual(text.count("(correct)"), len(lengths))
        self.assertNotIn("incorrect", text)
        self.finish()

    @needs("net", "tap", "policies")
    @slow_with("qemu")
    def test_crowd(self):
        """Three guests copy in a ring and to the host, while one of them is killed and comes back."""
        kinds = [self.kind, "uml", "uml"]
        guests = [self.join(11 + i, kind=kind) for i, kind in enumerate(kinds)]
        mib = COPY_MIB or (1 if self.slow else 4)
        with Flipping(self.back_end):
            self.copy(guests[0], guests[1], address(12), mib)
            self.copy(guests[1], guests[2], address(13), mib)
            self.copy(guests[2], guests[0], address(11), mib)
            host = Receiver((address(1), PORT))
            self.assertEqual(self.send(guests[0], address(1), mib), host.finish())
            self.assertEqual(host.bytes, mib * MIB)
            # The second one is killed in the middle of a stream that it gets.
            self.listen(guests[1], SINK)
            guests[0].run(f"busybox nc {address(12)} {PORT} </dev/zero >/dev/null 2>&1 & echo $! >/tmp/sender")
            received = self.ports()["vm12"]["counters"]["bytes_out"]
            expect_within(lambda: self.ports()["vm12"]["counters"]["bytes_out"] > received + MIB, 20, "the stream flows")
            guests[1].kill()
            guests[0].run("kill $(cat /tmp/sender)")
            self.copy(guests[2], guests[0], address(11), mib)
            again = self.join(12, kind="uml", network=guests[1].network)
            self.copy(again, guests[2], address(13), mib)
        self.finish()
