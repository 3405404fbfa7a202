# SPDX-License-Identifier: Apache-2.0
"""What a guest does with its network device, whose other end is a tap interface of the host."""

import hashlib
import random
import socket

from common import MIB, Flipping, GuestTest, Receiver, expect_within, for_each_kind, needs
from guestlib.networks import Network, enter_network_of_our_own, ip

HOST, GUEST = "10.99.0.1", "10.99.0.2"
HOST6, GUEST6 = "fd99::1", "fd99::2"
PORT = 5555


@for_each_kind
class Net(GuestTest):
    def setUp(self):
        enter_network_of_our_own()
        super().setUp()

    def boot_with_network(self, pairs=1, mtu=0, **options):
        network = Network("sctest0", pairs=pairs)
        self.back_end.add_network(network, **({"mtu": mtu} if mtu else {}))
        ip("addr", "add", f"{HOST}/24", "dev", network.name)
        ip("addr", "add", f"{HOST6}/64", "dev", network.name, "nodad")
        guest = self.boot(networks=[network], **options)
        guest.run("echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad\n"
                  f"busybox ip link set eth0 {f'mtu {mtu}' if mtu else ''} up\n"
                  f"busybox ip addr add {GUEST}/24 dev eth0\n"
                  f"busybox ip -6 addr add {GUEST6}/64 dev eth0")
        return network, guest

    def counters(self, network, way):
        return self.back_end.ask("show", network.name)[way]

    def send_to_host(self, guest, mib):
        receiver = Receiver((HOST, PORT))
        digest = guest.run(f"busybox dd if=/dev/urandom of=/tmp/sent bs=1M count={mib} 2>/dev/null\n"
                           f"busybox nc {HOST} {PORT} </tmp/sent\nbusybox sha256sum /tmp/sent", timeout=120).split()[0]
        self.assertEqual(receiver.finish(), digest)
        self.assertEqual(receiver.bytes, mib * MIB)

    def receive_from_host(self, guest, mib):
        data = random.Random(self.seed).randbytes(mib * MIB)
        job = guest.start(f"busybox nc -l -p {PORT} >/tmp/received; busybox sha256sum /tmp/received")
        connection = None

        def connected():
            nonlocal connection
            try:
                connection = socket.create_connection((GUEST, PORT), timeout=60)
            except ConnectionRefusedError:
                return False
            return True

        expect_within(connected, 20, "the guest listens")
        with connection:
            connection.sendall(data)
        self.assertEqual(job.wait(120).split()[0], hashlib.sha256(data).hexdigest())

    @needs("net", "tap")
    def test_ping(self):
        """Echoes of many sizes, over IPv4 and IPv6, with an MTU of 9000."""
        network, guest = self.boot_with_network(mtu=9000)
        self.assertEqual(guest.run("cat /sys/class/net/eth0/address").strip(), network.mac)
        for address in (HOST, HOST6):
            for size in (56, 1472, 1473, 8952, 8972):
                answer = guest.run(f"busybox ping -c 3 -i 0.1 -W 5 -s {size} {address}", timeout=40)
                self.assertIn("3 packets received", answer, f"{size} bytes to {address}")
        self.assertGreater(self.counters(network, "transmitted")["packets"], 30)
        # User-mode Linux passes its control queue on: the driver is asked to announce itself, and does. QEMU does not; the network is told.
        before = self.counters(network, "transmitted")["packets"]
        self.back_end.command("announce", network.name)
        if self.kind == "uml":
            expect_within(lambda: self.counters(network, "transmitted")["packets"] > before, 20, "the guest announces itself")
        self.assertGreater(self.counters(network, "received")["packets"], 30)
        self.finish()

    @needs("net", "tap")
    def test_tcp(self):
        """A stream each way arrives as it was sent."""
        network, guest = self.boot_with_network()
        mib = 32 if self.kind == "uml" else 8
        self.send_to_host(guest, mib)
        self.receive_from_host(guest, mib)
        for way in ("transmitted", "received"):
            dropped = {name: count for name, count in self.counters(network, way).items() if name.startswith("dropped_") and count}
            self.assertEqual(dropped, {})
        self.finish()

    @needs("net", "tap", "policies")
    def test_policies_flip(self):
        """Streams both ways while the policy changes again and again."""
        network, guest = self.boot_with_network()
        with Flipping(self.back_end) as flipping:
            for _ in range(2):
                self.send_to_host(guest, 8)
                self.receive_from_host(guest, 8)
        self.assertGreater(flipping.flips, 10)
        self.finish()

    @needs("net", "tap")
    def test_restart(self):
        """A guest is killed in the middle of a stream; the next one finds the device as new."""
        network, guest = self.boot_with_network()
        Receiver((HOST, PORT))
        guest.start(f"busybox nc {HOST} {PORT} </dev/zero")
        expect_within(lambda: self.counters(network, "transmitted")["bytes"] > MIB, 20, "the stream flows")
        guest.kill()
        expect_within(lambda: self.back_end.ask("show", network.name)["state"] == "waiting", 20, "the front-end is gone")
        again = self.boot(networks=[network])
        again.run(f"busybox ip link set eth0 up; busybox ip addr add {GUEST}/24 dev eth0")
        self.send_to_host(again, 4)
        self.finish()
