// SPDX-License-Identifier: Apache-2.0
#include "network/tap_backend.hh"

#include <array>
#include <cstring>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <optional>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network/packet_tools.hh"
#include "network/tap_ground.hh"

namespace sidecore::network::test {
namespace {

using testing::HasSubstr;

/// The parameter says nothing: without the right to make a tap interface there is none, and no test.
class TapBackendTest : public testing::TestWithParam<int> {
protected:
    static bool exists(const std::string& name) { return ::if_nametoindex(name.c_str()) != 0; }

    static ifreq ask(const std::string& name, unsigned long what) {
        const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        ifreq request{};
        name.copy(request.ifr_name, IFNAMSIZ - 1);
        EXPECT_EQ(::ioctl(socket.get(), what, &request), 0);
        return request;
    }
    static bool is_up(const std::string& name) { return (ask(name, SIOCGIFFLAGS).ifr_flags & IFF_UP) != 0; }
    static int mtu_of(const std::string& name) { return ask(name, SIOCGIFMTU).ifr_mtu; }

    /// A queue as another program would open it.
    static Fd queue_of(const std::string& name, int flags) {
        Fd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
        ifreq request{};
        name.copy(request.ifr_name, IFNAMSIZ - 1);
        request.ifr_flags = static_cast<short>(flags);
        EXPECT_EQ(::ioctl(fd.get(), TUNSETIFF, &request), 0) << name;
        return fd;
    }
    static constexpr int usual = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

    static std::string error_of(const TapOptions& options) {
        const auto backend = TapBackend::create(options);
        EXPECT_FALSE(backend);
        return backend ? "" : backend.error().message;
    }

    NetworkNamespace namespace_;
    Random random_{1};
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TapBackendTest);

TEST_P(TapBackendTest, AnInterfaceIsThereAsLongAsTheBackend) {
    ASSERT_FALSE(exists("mine"));
    auto backend = must(TapBackend::create({.name = "mine", .mtu = 4000}));
    EXPECT_TRUE(is_up("mine"));
    EXPECT_EQ(mtu_of("mine"), 4000);
    EXPECT_EQ(backend->description(), "tap mine, 1 queue");
    backend.reset();
    EXPECT_FALSE(exists("mine"));
}

TEST_P(TapBackendTest, TheKernelChoosesANameIfThereIsNone) {
    const auto first = must(TapBackend::create({}));
    const auto second = must(TapBackend::create({.pairs = 16}));
    EXPECT_NE(first->name(), second->name());
    EXPECT_TRUE(exists(first->name()));
    EXPECT_EQ(second->description(), "tap " + second->name() + ", 16 queues");
}

TEST_P(TapBackendTest, ItStaysDownIfThatIsAskedFor) {
    const auto backend = must(TapBackend::create({.name = "mine", .up = false}));
    EXPECT_FALSE(is_up("mine"));
    // What is sent to an interface that is down is lost, and that is known.
    const auto sender = must(backend->open_sender(0));
    const PacketBuffer buffer(make_packet(random_, 100));
    const Packet packet = buffer.packet();
    EXPECT_EQ(sender->send({&packet, 1}), 1U);
    EXPECT_EQ(sender->dropped(), 1U);
}

TEST_P(TapBackendTest, AnInterfaceThatWasThereStaysAsItIs) {
    {
        const Fd maker = queue_of("there", usual);
        ASSERT_EQ(::ioctl(maker.get(), TUNSETPERSIST, 1), 0);
    }
    for (const bool up : {false, true}) {
        auto backend = must(TapBackend::create({.name = "there", .up = up ? std::optional(true) : std::nullopt}));
        EXPECT_EQ(is_up("there"), up) << "it was down";
        backend.reset();
        EXPECT_TRUE(exists("there"));
    }
}

TEST_P(TapBackendTest, OneThatWasMadeForManyServesOne) {
    const Fd maker = queue_of("many", usual | IFF_MULTI_QUEUE);
    EXPECT_EQ(must(TapBackend::create({.name = "many"}))->max_pairs(), 1);
    EXPECT_EQ(must(TapBackend::create({.name = "many", .pairs = 3}))->max_pairs(), 3);
}

TEST_P(TapBackendTest, ErrorsSayWhatIsWrong) {
    EXPECT_THAT(error_of({.name = "a-name-of-16-byt"}), HasSubstr("15 bytes at most"));
    EXPECT_THAT(error_of({.name = "a/b"}), HasSubstr("cannot be the name"));
    EXPECT_THAT(error_of({.name = "lo"}), HasSubstr("is no tap interface"));
    EXPECT_THAT(error_of({.pairs = 0}), HasSubstr("1 to 16 pairs"));
    EXPECT_THAT(error_of({.pairs = 17}), HasSubstr("1 to 16 pairs"));
    EXPECT_THAT(error_of({.name = "mine", .mtu = 20}), HasSubstr("MTU of mine"));
    EXPECT_THAT(error_of({.name = "mine", .mtu = 0xffffffff}), HasSubstr("MTU of mine"));
    EXPECT_FALSE(exists("mine")) << "what has failed leaves nothing";

    const Fd tun = queue_of("tunnel", IFF_TUN | IFF_NO_PI);
    EXPECT_THAT(error_of({.name = "tunnel"}), HasSubstr("is no tap interface"));
    const Fd single = queue_of("single", usual);
    EXPECT_THAT(error_of({.name = "single"}), HasSubstr("in use by another"));
    EXPECT_THAT(error_of({.name = "single", .pairs = 2}), HasSubstr("has a single queue"));
}

TEST_P(TapBackendTest, WithoutPermissionItSaysWhichIsMissing) {
    std::thread([] {
        // Of this thread only.
        __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
        std::array<__user_cap_data_struct, 2> data{};
        ASSERT_EQ(::syscall(SYS_capget, &header, data.data()), 0);
        data[0].effective &= ~(1U << CAP_NET_ADMIN);
        ASSERT_EQ(::syscall(SYS_capset, &header, data.data()), 0);
        EXPECT_THAT(error_of({.name = "mine"}), HasSubstr("CAP_NET_ADMIN"));
    }).join();
}

TEST_P(TapBackendTest, OpenQueuesCanBeGiven) {
    const Fd first = queue_of("given", usual | IFF_MULTI_QUEUE);
    const Fd second = queue_of("given", usual | IFF_MULTI_QUEUE);
    const auto backend = must(TapBackend::create({.fds = {first.get(), second.get()}}));
    EXPECT_EQ(backend->description(), "tap given, 2 queues");
    EXPECT_FALSE(is_up("given")) << "that is not our business";
    EXPECT_TRUE(backend->set_pairs(2));
    EXPECT_TRUE(backend->set_pairs(1));
}

TEST_P(TapBackendTest, QueuesThatCannotBeUsedAreRefused) {
    const Fd other = queue_of("other", usual);
    const Fd headless = queue_of("headless", IFF_TAP | IFF_NO_PI);
    const Fd tun = queue_of("tunnel", IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
    const Fd plain(::open("/dev/null", O_RDWR | O_CLOEXEC));
    const Fd good = queue_of("good", usual);
    EXPECT_THAT(error_of({.fds = {plain.get()}}), HasSubstr("no queue of a tap"));
    EXPECT_THAT(error_of({.fds = {-1}}), HasSubstr("no queue of a tap"));
    EXPECT_THAT(error_of({.fds = {headless.get()}}), HasSubstr("IFF_VNET_HDR"));
    EXPECT_THAT(error_of({.fds = {tun.get()}}), HasSubstr("IFF_TAP"));
    EXPECT_THAT(error_of({.fds = {good.get(), other.get()}}), HasSubstr("belongs to other, others to good"));
    EXPECT_THAT(error_of({.fds = std::vector<int>(17, good.get())}), HasSubstr("1 to 16"));
    EXPECT_THAT(error_of({.name = "good", .fds = {good.get()}}), HasSubstr("whoever made it"));
}

/// A segment of TCP over IPv4 with a payload of so many bytes, as a stack hands it to a card that cuts it up.
Bytes tcp_segment(std::size_t payload) {
    Bytes packet(14 + 20 + 20 + payload, std::byte{0x61});
    const auto set = [&](std::size_t at, std::initializer_list<unsigned> values) {
        for (const unsigned value : values) {
            packet[at++] = static_cast<std::byte>(value);
        }
    };
    const auto ip_bytes = static_cast<unsigned>(packet.size() - 14);
    set(0, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0});
    set(14, {0x45, 0, ip_bytes >> 8U, ip_bytes & 0xffU, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2});
    set(34, {0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0});
    return packet;
}

PacketInfo tcp_info() {
    PacketInfo info;
    info.flags = PacketInfo::flag_needs_checksum;
    info.gso_type = PacketInfo::gso_tcp4;
    info.header_bytes = 54;
    info.segment_bytes = 1400;
    info.checksum_start = 34;
    info.checksum_offset = 16;
    return info;
}

TEST_P(TapBackendTest, TheHostTakesWhatIsNotCutYet) {
    const auto backend = must(TapBackend::create({}));
    ASSERT_TRUE(backend->takes().tso4);
    PacketSocket host(backend->name());
    const auto sender = must(backend->open_sender(0));
    const Bytes contents = tcp_segment(60'000);
    const PacketBuffer buffer(contents, 40, tcp_info());
    const Packet packet = buffer.packet();
    ASSERT_EQ(sender->send({&packet, 1}), 1U);
    EXPECT_EQ(sender->dropped(), 0U);
    EXPECT_EQ(host.take(), contents);
}

TEST_P(TapBackendTest, TheHostCutsWhatIsNotAccepted) {
    const auto backend = must(TapBackend::create({}));
    const auto sender = must(backend->open_sender(0));
    const auto receiver = must(backend->open_receiver(0));
    PacketSocket host(backend->name(), true);
    EdgeWatch watch(receiver->packet_fd());
    const Room room(20);
    const auto receive = [&](PacketInfo& info) {
        std::uint32_t bytes = 0;
        while ((bytes = receiver->receive(info, room.pieces())) == 0) {
            if (receiver->arm() && !watch.signalled()) {
                break;
            }
        }
        return bytes;
    };
    constexpr std::uint32_t payload = 14'000;
    const Bytes contents = tcp_segment(payload);
    PacketInfo info;
    for (int round = 0; round < 2; ++round) {
        if (round != 0) {  // nothing is accepted at first
            ASSERT_TRUE(backend->accept({}));
        }
        host.put(contents, tcp_info());
        for (std::uint32_t left = payload; left != 0; left -= 1400) {
            ASSERT_EQ(receive(info), 54U + 1400U);
            ASSERT_EQ(info, PacketInfo{});
        }
        ASSERT_TRUE(backend->accept(backend->gives()));
        host.put(contents, tcp_info());
        ASSERT_EQ(receive(info), contents.size());
        EXPECT_EQ(info.gso_type, PacketInfo::gso_tcp4);
        EXPECT_EQ(info.segment_bytes, 1400U);
        EXPECT_TRUE(info.needs_checksum());
        EXPECT_EQ(check(info, static_cast<std::uint32_t>(contents.size())), InfoFault::none);
        EXPECT_EQ(room.first(contents.size()).at(100), std::byte{0x61});
    }
    EXPECT_EQ(receiver->dropped(), 0U);
}

TEST_P(TapBackendTest, APairThatIsNotInUseGetsNothing) {
    const auto backend = must(TapBackend::create({.pairs = 2}));
    PacketSocket host(backend->name());
    const auto sender = must(backend->open_sender(1));
    const auto receiver = must(backend->open_receiver(1));
    const auto other = must(backend->open_receiver(0));
    ASSERT_TRUE(backend->set_pairs(1));
    EXPECT_FALSE(receiver->has_packet());
    EXPECT_TRUE(receiver->arm());
    EdgeWatch watch(receiver->packet_fd());
    watch.signalled(0);
    const Room room;
    PacketInfo info;
    for (int i = 0; i < 50; ++i) {
        host.put(make_packet(random_, 100));
        ASSERT_EQ(other->receive(info, room.pieces()), 100U);
    }
    EXPECT_EQ(receiver->receive(info, room.pieces()), 0U);
    EXPECT_FALSE(watch.signalled(0));

    // Back in use it works, watched since before.
    ASSERT_TRUE(backend->set_pairs(2));
    const PacketBuffer buffer(make_packet(random_, 200));
    const Packet packet = buffer.packet();
    bool found = false;
    for (unsigned port = 0; port < 1000 && !found; ++port) {
        Bytes segment = tcp_segment(40);
        segment[34] = static_cast<std::byte>(port >> 8U);
        segment[35] = static_cast<std::byte>(port);
        host.put(segment);
        while (other->receive(info, room.pieces()) != 0) {
        }
        found = receiver->has_packet();
    }
    ASSERT_TRUE(found) << "different flows are spread over both";
    EXPECT_TRUE(watch.signalled(0));
    EXPECT_EQ(sender->send({&packet, 1}), 1U);
    EXPECT_EQ(sender->dropped(), 0U);
    EXPECT_EQ(host.take().size(), 200U);
}

TEST_P(TapBackendTest, AnInterfaceThatIsDeletedDropsAndGivesNothing) {
    const auto backend = must(TapBackend::create({.name = "doomed"}));
    const auto sender = must(backend->open_sender(0));
    const auto receiver = must(backend->open_receiver(0));
    delete_interface("doomed");
    ASSERT_FALSE(exists("doomed"));
    const PacketBuffer buffer(make_packet(random_, 100));
    const Packet packet = buffer.packet();
    EXPECT_EQ(sender->send({&packet, 1}), 1U);
    EXPECT_EQ(sender->dropped(), 1U);
    EXPECT_FALSE(sender->arm());
    const Room room;
    PacketInfo info;
    EXPECT_EQ(receiver->receive(info, room.pieces()), 0U);
    EXPECT_TRUE(receiver->arm()) << "nothing ever comes, and that needs no looking at";
}

INSTANTIATE_TEST_SUITE_P(Host, TapBackendTest, testing::ValuesIn(has_tap() ? std::vector<int>{0} : std::vector<int>{}),
                         [](const auto&) { return "tap"; });

}  // namespace
}  // namespace sidecore::network::test
