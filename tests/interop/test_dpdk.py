# SPDX-License-Identifier: Apache-2.0
"""DPDK's net_virtio_user, driven by its testpmd, on the daemon's networks: what it counts and what the daemon counts are the same packets."""

import pathlib
import time
import unittest

from guestlib.networks import Network
from guestlib.processes import wait_until
from guestlib.sidecore import Sidecore
from guestlib.testpmd import Testpmd

POLICIES = ["never", "always", "rate", "fixed", "grow_shrink", "breakeven", "adaptive"]
# Whatever else runs on the machine meanwhile: a policy does here what it says.
UNDISTURBED = "[workers]\ngood_neighbour = false\n"
BURST = 32  # packets with which `start tx_first` begins, on each queue
PATIENCE = 30
MERGEABLE, PACKED = 1 << 15, 1 << 34

# What a driver can do differently on a split ring, or is asked to do and falls back from where it is not offered.
VARIATIONS = {
    "merged": "mrg_rxbuf=1,in_order=1,packed_vq=0",
    "apart": "mrg_rxbuf=0,in_order=1,packed_vq=0",
    "merged-any-order": "mrg_rxbuf=1,in_order=0,packed_vq=0",
    "apart-any-order": "mrg_rxbuf=0,in_order=0,packed_vq=0",
    "vectors": "mrg_rxbuf=0,in_order=0,packed_vq=0,vectorized=1",
    "packed-if-offered": "mrg_rxbuf=1,in_order=1,packed_vq=1",
    "small": "mrg_rxbuf=1,packed_vq=0,queue_size=128",
}


class Dpdk(unittest.TestCase):
    programs = None  # set by the runner

    def setUp(self):
        self.daemon = Sidecore(self.programs, UNDISTURBED)
        self.addCleanup(self.daemon.kill)
        self.daemon.start()

    def network(self, name, kind, pairs=1, mode="listen", **keys):
        network = Network(name, pairs=pairs, back_end={"kind": kind, **keys})
        self.daemon.add_network(network, mode=mode)
        return network

    def start_testpmd(self, networks, *options, more="", server=0):
        """One whose ports are these networks; `more` are arguments of each port, or of one by its name."""
        vdevs = []
        for number, network in enumerate(networks):
            arguments = more if isinstance(more, str) else more[network.name]
            vdevs.append(f"net_virtio_user{number},path={network.socket},server={server},queues={network.pairs}"
                         + (f",{arguments}" if arguments else ""))
        testpmd = Testpmd(vdevs, options)
        self.addCleanup(testpmd.kill)
        return testpmd

    def devices(self):
        """What the daemon says of each device, by name."""
        return {device["name"]: device for device in self.daemon.ask("list")["devices"]}

    def counters(self, network, way):
        return self.daemon.ask("show", network.name)[way]

    def packets(self, network, way="received"):
        return self.counters(network, way)["packets"]

    def wait_for_packets(self, networks, count, way="received"):
        """Until each network has moved `count` more."""
        names = [network.name for network in networks]
        before = self.devices()

        def moved():
            now = self.devices()
            return all(now[name][way]["packets"] >= before[name][way]["packets"] + count for name in names)

        wait_until(moved, PATIENCE, f"{count} more packets {way} through each of {', '.join(names)}")

    def expect_as_sent(self, testpmd, port, network, sent=64, burst=BURST):
        """A stopped testpmd whose packets were sent round and round: nobody has lost one."""
        ours = testpmd.statistics(port)
        self.assertEqual(ours["TX-packets"] - ours["RX-packets"], burst, f"{network.name}: {ours}")
        self.assertEqual(ours["RX-bytes"], ours["RX-packets"] * sent)
        for way in ("transmitted", "received"):
            # The last ones wait in the rings for the testpmd that has stopped.
            wait_until(lambda: self.packets(network, way) >= ours["TX-packets"], PATIENCE,
                       f"{network.name} has {way} {ours['TX-packets']} packets")
            counted = self.counters(network, way)
            self.assertEqual(counted["packets"], ours["TX-packets"], f"{network.name}, {way}")
            self.assertEqual(counted["bytes"], ours["TX-packets"] * sent)
            self.assertEqual({name: count for name, count in counted.items() if name.startswith("dropped_") and count}, {})

    def finish(self, *testpmds, sessions=1):
        """The orderly end: nobody complains, and a daemon whose front-ends have gone does nothing at all."""
        for testpmd in testpmds:
            testpmd.quit()
        wait_until(lambda: all(device["state"] == "waiting" for device in self.devices().values()), PATIENCE, "the front-ends are gone")
        for name, device in self.devices().items():
            self.assertEqual(device["last_error"], "", name)
            self.assertEqual(device["sessions"], sessions, name)
        self.expect_idle()
        self.daemon.stop()

    def expect_idle(self):
        # Asked once: to answer wakes the workers up.
        tasks = [pathlib.Path(f"/proc/{self.daemon.pid}/task/{thread}") for thread in self.daemon.worker_threads()]

        def usage():
            """The CPU time of each, and how often it has been taken off its CPU."""
            return [((task / "schedstat").read_text().split()[0],
                     [line for line in (task / "status").read_text().splitlines() if "ctxt_switches" in line]) for task in tasks]

        def rested():
            before = usage()
            time.sleep(0.2)
            return usage() == before

        wait_until(rested, PATIENCE, "the workers sleep and are not woken up")

    def test_rings(self):
        """Each kind of ring sends round and round through a loopback, while the policy changes again and again."""
        networks = [self.network(name, "loopback") for name in VARIATIONS]
        testpmd = self.start_testpmd(networks, "--port-topology=loop", "--forward-mode=io", more=VARIATIONS)
        for name, device in self.devices().items():
            accepted = int(device["features"], 16)
            self.assertEqual(bool(accepted & MERGEABLE), "mrg_rxbuf=1" in VARIATIONS[name], name)
            if "packed_vq=0" in VARIATIONS[name]:
                self.assertFalse(accepted & PACKED, name)
        testpmd.command("start tx_first")
        for policy in POLICIES:
            self.daemon.set_policy(policy=policy)
            self.wait_for_packets(networks, 200)
        testpmd.command("stop")
        for port, network in enumerate(networks):
            self.expect_as_sent(testpmd, port, network)
        self.finish(testpmd)

    def test_sizes(self):
        """Packets of 9000 bytes in several pieces; a driver without mergeable buffers has no room for them."""
        merged, apart = self.network("merged", "loopback"), self.network("apart", "loopback")
        # A driver in order has no indirect descriptors: a packet takes six, and may be back, to be sent again, before it is seen that it was sent.
        # Then there are up to 64 packets' in the ring, and the driver loses what finds no room.
        more = {"merged": "mrg_rxbuf=1,queue_size=512", "apart": "mrg_rxbuf=0,queue_size=512"}
        testpmd = self.start_testpmd([merged, apart], "--port-topology=loop", "--forward-mode=io", "--rxd=512", "--txd=512",
                                     "--txpkts=2000,2000,2000,2000,1000", more=more)
        testpmd.command("start tx_first")
        self.wait_for_packets([merged], 500)
        wait_until(lambda: self.counters(apart, "received")["dropped_no_room"] == BURST, PATIENCE, "what has no room is dropped")
        testpmd.command("stop")
        self.expect_as_sent(testpmd, 0, merged, sent=9000)
        self.assertEqual(testpmd.statistics(1)["RX-packets"], 0)
        self.assertEqual(self.counters(apart, "transmitted")["packets"], BURST)
        self.finish(testpmd)

    def test_pairs(self):
        """Four queue pairs, then two: each is used, and the device knows how many are."""
        network = self.network("pairs", "loopback", pairs=4)
        testpmd = self.start_testpmd([network], "--rxq=4", "--txq=4", "--port-topology=loop", "--forward-mode=io", more="cq=1")
        for pairs in (4, 2):
            if pairs == 2:
                for command in ("port stop 0", "port config all rxq 2", "port config all txq 2", "port start 0", "clear port stats all"):
                    testpmd.command(command)
            wait_until(lambda: self.daemon.ask("show", network.name)["pairs_in_use"] == pairs, PATIENCE, f"{pairs} pairs are in use")
            before = self.requests(network)
            testpmd.command("start tx_first")
            for queue in range(2 * pairs):
                wait_until(lambda: self.requests(network)[queue] > before[queue] + 500, PATIENCE, f"queue {queue} moves packets")
            testpmd.command("stop")
            self.assertEqual(self.requests(network)[2 * pairs:8], before[2 * pairs:8])
            ours = testpmd.statistics()
            self.assertEqual(ours["TX-packets"] - ours["RX-packets"], pairs * BURST)
        self.finish(testpmd)

    def requests(self, network):
        """Requests of each of its queues."""
        return [queue["counters"]["completions"] for queue in self.daemon.ask("show", network.name)["queues"]]

    def linked_networks(self):
        """Two devices, of which each receives what the other one sends."""
        path = self.daemon.directory / "link.sock"
        return [self.network("left", "stream", path=str(path), listen=True), self.network("right", "stream", path=str(path))]

    def test_two_ports(self):
        """One testpmd passes packets on from each of two devices to the other, which their link makes a circle."""
        left, right = self.linked_networks()
        testpmd = self.start_testpmd([left, right], "--port-topology=paired", "--forward-mode=io")
        testpmd.command("start tx_first")
        for way in ("transmitted", "received"):
            self.wait_for_packets([left, right], 500, way)
        testpmd.command("stop")
        for port, other in ((0, 1), (1, 0)):
            self.assertLessEqual(testpmd.statistics(port)["RX-packets"], testpmd.statistics(other)["TX-packets"])
        self.finish(testpmd)

    def test_killed(self):
        """A sender and a receiver, each killed in the middle of it; those who come after them are served."""
        left, right = self.linked_networks()

        def sender():
            testpmd = self.start_testpmd([left], "--forward-mode=txonly")
            testpmd.command("start")
            return testpmd

        def receiver():
            testpmd = self.start_testpmd([right], "--forward-mode=rxonly")
            testpmd.command("start")
            return testpmd

        sending, receiving = sender(), receiver()
        self.wait_for_packets([right], 1000)
        for network, start in ((right, receiver), (left, sender)):
            killed = receiving if network is right else sending
            killed.kill()
            wait_until(lambda: self.daemon.ask("show", network.name)["state"] == "waiting", PATIENCE, f"{network.name}: the front-end is gone")
            started = start()
            sending, receiving = (sending, started) if network is right else (started, receiving)
            self.wait_for_packets([right], 1000)
            wait_until(lambda: receiving.statistics()["RX-packets"] >= 1000, PATIENCE, "the receiver receives")
        self.assertGreater(sending.statistics()["TX-packets"], 1000)
        self.assertEqual(sending.statistics()["RX-packets"], 0)
        self.finish(sending, receiving, sessions=2)

    def test_forgotten(self):
        """All that is sent into nothing is taken."""
        network = self.network("nothing", "null", pairs=2)
        testpmd = self.start_testpmd([network], "--rxq=2", "--txq=2", "--forward-mode=txonly", "--txonly-multi-flow", more="cq=1")
        testpmd.command("start")
        self.wait_for_packets([network], 10_000, "transmitted")
        testpmd.command("stop")
        ours = testpmd.statistics()
        wait_until(lambda: self.packets(network, "transmitted") >= ours["TX-packets"], PATIENCE, "the last ones are taken")
        self.assertEqual(self.packets(network, "transmitted"), ours["TX-packets"])
        self.assertEqual(ours["RX-packets"], 0)
        self.finish(testpmd)

    def test_server(self):
        """The driver listens and the daemon connects. The daemon ends while packets move; the next one goes on with the same driver."""
        network = self.network("reversed", "loopback", mode="connect")
        testpmd = self.start_testpmd([network], "--port-topology=loop", "--forward-mode=io", server=1)
        testpmd.command("start tx_first")
        self.wait_for_packets([network], 500)
        self.daemon.stop()
        self.daemon.start()
        self.daemon.add_network(network, mode="connect")
        wait_until(lambda: self.daemon.ask("show", network.name)["state"] == "running", PATIENCE, "the driver has started its queues again")
        for command in ("stop", "clear port stats all", "start tx_first"):
            testpmd.command(command)
        self.wait_for_packets([network], 500)
        testpmd.command("stop")
        ours = testpmd.statistics()
        self.assertGreater(ours["RX-packets"], 500)
        self.finish(testpmd)
