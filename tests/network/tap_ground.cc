// SPDX-License-Identifier: Apache-2.0
#include "network/tap_ground.hh"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/wait.hh"
#include "network/tap_device.hh"

namespace sidecore::network::test {

/// Nothing is made to find out: it takes the kernel a second to do away with an interface, and every test's process asks.
bool has_tap() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> capabilities{};
    const bool known = ::syscall(SYS_capget, &header, capabilities.data()) == 0;
    const auto may = [&](unsigned capability) {
        return known && ((capabilities.at(CAP_TO_INDEX(capability)).effective & CAP_TO_MASK(capability)) != 0);
    };
    const Fd device(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    return may(CAP_SYS_ADMIN) && may(CAP_NET_ADMIN) && device.valid();
}

NetworkNamespace::NetworkNamespace() : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    EXPECT_TRUE(before_.valid());
    EXPECT_EQ(::unshare(CLONE_NEWNET), 0);
    std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << "1\n";
}

NetworkNamespace::~NetworkNamespace() {
    EXPECT_EQ(::setns(before_.get(), CLONE_NEWNET), 0);
}

void delete_interface(const std::string& name) {
    const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    struct Request {
        nlmsghdr header;
        ifinfomsg interface;
    } request{};
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = RTM_DELLINK;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    request.interface.ifi_index = static_cast<int>(::if_nametoindex(name.c_str()));
    EXPECT_EQ(::send(socket.get(), &request, sizeof request, 0), static_cast<ssize_t>(sizeof request));
    std::array<std::byte, 4096> answer{};
    EXPECT_GT(::recv(socket.get(), answer.data(), answer.size(), 0), 0);
}

PacketSocket::PacketSocket(const std::string& interface, bool headers)
    : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL))) {
    EXPECT_TRUE(fd_.valid());
    constexpr int buffer_bytes = 64 << 20;
    const int with_headers = headers ? 1 : 0;
    EXPECT_EQ(::setsockopt(fd_.get(), SOL_PACKET, PACKET_VNET_HDR, &with_headers, sizeof with_headers), 0);
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

void PacketSocket::put(const Bytes& packet, const PacketInfo& info) {
    // struct virtio_net_hdr of <linux/virtio_net.h>, which is no C++; in the host's byte order.
    struct Header {
        std::uint8_t flags;
        std::uint8_t gso_type;
        std::uint16_t fields[4];
    };
    const Header header{
        info.flags, info.gso_type, {info.header_bytes, info.segment_bytes, info.checksum_start, info.checksum_offset}};
    Bytes all(sizeof header);
    std::memcpy(all.data(), &header, sizeof header);
    all.insert(all.end(), packet.begin(), packet.end());
    put(all);
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
