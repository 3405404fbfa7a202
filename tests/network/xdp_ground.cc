// SPDX-License-Identifier: Apache-2.0
#include "network/xdp_ground.hh"

#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/fd.hh"

namespace sidecore::network::test {

namespace {

/// A netlink message that is put together.
class LinkMessage {
public:
    LinkMessage() {
        auto& header = at<nlmsghdr>(0);
        header.nlmsg_type = RTM_NEWLINK;
        header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        header.nlmsg_len = NLMSG_LENGTH(0);
        add_interface();
    }

    void add_interface() { at<nlmsghdr>(0).nlmsg_len += NLMSG_ALIGN(sizeof(ifinfomsg)); }

    void add(unsigned short type, const void* data, std::size_t bytes) {
        const std::size_t begin = open(type);
        std::memcpy(bytes_.data() + begin + RTA_LENGTH(0), data, bytes);
        at<nlmsghdr>(0).nlmsg_len += static_cast<std::uint32_t>(RTA_ALIGN(bytes));
        at<rtattr>(begin).rta_len = static_cast<unsigned short>(RTA_LENGTH(bytes));
    }
    void add(unsigned short type, std::uint32_t value) { add(type, &value, sizeof value); }
    void add(unsigned short type, const std::string& text) { add(type, text.c_str(), text.size() + 1); }

    /// Attributes inside: where it begins, for close().
    std::size_t open(unsigned short type) {
        auto& header = at<nlmsghdr>(0);
        const std::size_t begin = header.nlmsg_len;
        at<rtattr>(begin).rta_type = type;
        header.nlmsg_len += static_cast<std::uint32_t>(RTA_LENGTH(0));
        return begin;
    }
    void close(std::size_t begin) {
        at<rtattr>(begin).rta_len = static_cast<unsigned short>(at<nlmsghdr>(0).nlmsg_len - begin);
    }

    /// The kernel's answer: 0, or a negated errno.
    int ask() {
        const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
        const std::size_t bytes = at<nlmsghdr>(0).nlmsg_len;
        EXPECT_EQ(::send(socket.get(), bytes_.data(), bytes, 0), static_cast<ssize_t>(bytes));
        struct Answer {
            nlmsghdr header;
            nlmsgerr error;
            std::byte rest[4096];
        } answer{};
        EXPECT_GT(::recv(socket.get(), &answer, sizeof answer, 0), 0);
        return answer.error.error;
    }

private:
    template <typename T>
    T& at(std::size_t offset) {
        return *reinterpret_cast<T*>(bytes_.data() + offset);
    }
    alignas(nlmsghdr) std::array<std::byte, 1024> bytes_{};
};

void describe(LinkMessage& message, const std::string& name, std::uint32_t mtu, std::uint32_t queues) {
    message.add(IFLA_IFNAME, name);
    message.add(IFLA_MTU, mtu);
    message.add(IFLA_NUM_TX_QUEUES, queues);
    message.add(IFLA_NUM_RX_QUEUES, queues);
}

}  // namespace

bool has_af_xdp() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> capabilities{};
    if (::syscall(SYS_capget, &header, capabilities.data()) != 0) {
        return false;
    }
    for (const unsigned needed : std::initializer_list<unsigned>{CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF}) {
        if ((capabilities.at(CAP_TO_INDEX(needed)).effective & CAP_TO_MASK(needed)) == 0) {
            return false;
        }
    }
    const Fd socket(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
    const Fd map(
        ::bpf_map_create(BPF_MAP_TYPE_XSKMAP, "sidecore_test", sizeof(std::uint32_t), sizeof(int), 1, nullptr));
    return socket && map;
}

void make_veth(const VethOptions& options) {
    LinkMessage message;
    describe(message, "near", options.near_mtu, options.queues);
    const std::size_t info = message.open(IFLA_LINKINFO);
    message.add(IFLA_INFO_KIND, std::string("veth"));
    const std::size_t data = message.open(IFLA_INFO_DATA);
    const std::size_t peer = message.open(VETH_INFO_PEER);
    message.add_interface();
    describe(message, "far", options.far_mtu, options.queues);
    message.close(peer);
    message.close(data);
    message.close(info);
    ASSERT_EQ(message.ask(), 0);
    bring_up("near", true);
    bring_up("far", true);
}

void bring_up(const std::string& interface, bool up) {
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    interface.copy(request.ifr_name, IFNAMSIZ - 1);
    ASSERT_EQ(::ioctl(socket.get(), SIOCGIFFLAGS, &request), 0) << interface;
    const int others = request.ifr_flags & ~IFF_UP;
    request.ifr_flags = static_cast<short>(up ? others | IFF_UP : others);
    ASSERT_EQ(::ioctl(socket.get(), SIOCSIFFLAGS, &request), 0) << interface;
}

std::uint32_t program_on(const std::string& interface) {
    bpf_xdp_query_opts query{};
    query.sz = sizeof query;
    EXPECT_EQ(::bpf_xdp_query(static_cast<int>(::if_nametoindex(interface.c_str())), 0, &query), 0);
    return query.drv_prog_id != 0 ? query.drv_prog_id : query.skb_prog_id;
}

}  // namespace sidecore::network::test
