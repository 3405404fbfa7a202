// SPDX-License-Identifier: Apache-2.0
#include "network/tap_ground.hh"

#include <arpa/inet.h>
#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "engine/wait.hh"
#include "network/tap_device.hh"

namespace sidecore::network::test {

bool has_tap() {
    bool found = false;
    // In a thread, whose namespace ends with it.
    std::thread([&] { found = ::unshare(CLONE_NEWNET) == 0 && TapDevice::open({}).has_value(); }).join();
    return found;
}

NetworkNamespace::NetworkNamespace() : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    EXPECT_TRUE(before_.valid());
    EXPECT_EQ(::unshare(CLONE_NEWNET), 0);
    std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << "1\n";
}

NetworkNamespace::~NetworkNamespace() {
    EXPECT_EQ(::setns(before_.get(), CLONE_NEWNET), 0);
}

PacketSocket::PacketSocket(const std::string& interface)
    : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL))) {
    EXPECT_TRUE(fd_.valid());
    constexpr int buffer_bytes = 64 << 20;
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
    EXPECT_NE(address.sll_ifindex, 0) << interface;
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

void PacketSocket::put(const Bytes& packet) {
    ASSERT_TRUE(eventually([&] {
        const ssize_t sent = ::send(fd_.get(), packet.data(), packet.size(), 0);
        return sent == static_cast<ssize_t>(packet.size()) || (errno != ENOBUFS && errno != EAGAIN);
    }));
}

Bytes PacketSocket::take(int timeout_ms) {
    pollfd entry{fd_.get(), POLLIN, 0};
    if (::poll(&entry, 1, timeout_ms) != 1) {
        return {};
    }
    Bytes packet(max_packet_bytes);
    const ssize_t bytes = ::recv(fd_.get(), packet.data(), packet.size(), 0);
    packet.resize(static_cast<std::size_t>(std::max<ssize_t>(bytes, 0)));
    return packet;
}

}  // namespace sidecore::network::test
