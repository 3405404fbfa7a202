// SPDX-License-Identifier: Apache-2.0
#include "network/af_xdp_backend.hh"

#include <array>
#include <bpf/bpf.h>
#include <initializer_list>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <optional>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/wait.hh"
#include "network/frames.hh"
#include "network/packet_tools.hh"
#include "network/tap_ground.hh"
#include "network/xdp_ground.hh"

namespace sidecore::network::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// The parameter says nothing: without the right to make AF_XDP sockets there is none, and no test.
class AfXdpBackendTest : public testing::TestWithParam<int> {
protected:
    using Backend = std::unique_ptr<AfXdpBackend>;

    static Backend make(AfXdpOptions options = {}) {
        options.interface = "near";
        return must(AfXdpBackend::create(options));
    }

    static Error error_of(AfXdpOptions options) {
        if (options.interface.empty()) {
            options.interface = "near";
        }
        auto backend = AfXdpBackend::create(options);
        EXPECT_FALSE(backend) << (*backend)->description();
        return backend ? Error{} : backend.error();
    }

    static bool send(PacketSender& sender, const Bytes& contents) {
        const PacketBuffer buffer(contents);
        const Packet packet = buffer.packet();
        return sender.send({&packet, 1}) == 1;
    }

    /// The next packet; empty if there is none.
    Bytes receive(PacketReceiver& receiver) {
        PacketInfo info;
        return room_.first(receiver.receive(info, room_.pieces()));
    }

    /// Waits for it.
    Bytes await(PacketReceiver& receiver) {
        Bytes packet;
        EXPECT_TRUE(eventually([&] { return !(packet = receive(receiver)).empty(); }));
        return packet;
    }

    /// Of many conversations, so that they come on several queues.
    static Bytes conversation(std::uint16_t number) {
        FrameSpec spec;
        spec.to = everybody;
        spec.tcp = false;
        spec.source_port = static_cast<std::uint16_t>(1000 + number);
        return make_frame(spec).bytes;
    }
    static constexpr std::uint16_t conversations = 64;

    NetworkNamespace namespace_;
    Room room_;
    Random random_{9};
};

TEST_P(AfXdpBackendTest, TheProgramGoesWithTheBackEnd) {
    make_veth();
    for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(program_on("near"), 0U);
        const Backend backend = make();
        EXPECT_NE(program_on("near"), 0U);
        EXPECT_EQ(backend->description(), "af_xdp near, queue 0 (copy)");
        EXPECT_EQ(backend->longest(), 3840U);
    }
    EXPECT_EQ(program_on("near"), 0U);
    EXPECT_EQ(program_on("far"), 0U);
}

TEST_P(AfXdpBackendTest, AnMtuThatAllowsForItMakesFramesSmaller) {
    make_veth({.near_mtu = 1770});
    EXPECT_EQ(make()->longest(), 1792U);
    EXPECT_EQ(make()->description(), "af_xdp near, queue 0 (copy)");
}

TEST_P(AfXdpBackendTest, WhatOthersHavePutOnTheInterfaceStays) {
    make_veth({.queues = 2});
    std::optional<Backend> first = make();
    const Error twice = error_of({.queue = 1});
    EXPECT_EQ(twice.kind, ErrorKind::already_exists);
    EXPECT_THAT(twice.message, HasSubstr("of another device or another sidecored"));
    first.reset();

    std::array<bpf_insn, 2> instructions{};
    instructions[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
    instructions[0].imm = XDP_PASS;
    instructions[1].code = BPF_JMP | BPF_EXIT;
    const Fd program(::bpf_prog_load(BPF_PROG_TYPE_XDP, "firewall", "Apache-2.0", instructions.data(),
                                     instructions.size(), nullptr));
    for (const std::uint32_t hook : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
        bpf_link_create_opts options{};
        options.sz = sizeof options;
        options.flags = hook;
        const Fd link(::bpf_link_create(program.get(), static_cast<int>(::if_nametoindex("near")), BPF_XDP, &options));
        ASSERT_TRUE(link.valid());
        const std::uint32_t before = program_on("near");
        const Error other = error_of({});
        EXPECT_EQ(other.kind, ErrorKind::already_exists);
        EXPECT_THAT(other.message, AllOf(HasSubstr("\"firewall\""), HasSubstr("xdp off")));
        EXPECT_EQ(program_on("near"), before);
    }
}

TEST_P(AfXdpBackendTest, ErrorsSayWhatIsWrong) {
    make_veth({.queues = 2});
    const Error missing = error_of({.interface = "nowhere"});
    EXPECT_EQ(missing.kind, ErrorKind::not_found);
    EXPECT_THAT(missing.message, HasSubstr("no interface nowhere"));
    EXPECT_THAT(error_of({.interface = "a-name-too-long-"}).message, HasSubstr("1 to 15 bytes"));
    EXPECT_THAT(error_of({.pairs = 0}).message, HasSubstr("1 to 16 pairs"));
    EXPECT_THAT(error_of({.pairs = 17}).message, HasSubstr("1 to 16 pairs"));
    for (const std::uint32_t frames : {0U, 2U, 24U, 65536U}) {
        EXPECT_THAT(error_of({.frames = frames}).message, HasSubstr("power of two"));
    }
    for (const AfXdpOptions& options :
         {AfXdpOptions{.pairs = 3}, AfXdpOptions{.queue = 1, .pairs = 2}, AfXdpOptions{.queue = 2}}) {
        const Error queues = error_of(options);
        EXPECT_EQ(queues.kind, ErrorKind::out_of_range);
        EXPECT_THAT(queues.message, AllOf(HasSubstr("near has 2 queues"), HasSubstr("ethtool -L near combined")));
    }
    const Error zero_copy = error_of({.mode = XdpMode::zero_copy});
    EXPECT_EQ(zero_copy.kind, ErrorKind::unsupported);
    EXPECT_THAT(zero_copy.message, HasSubstr("no zero-copy"));
    EXPECT_EQ(program_on("near"), 0U) << "what has failed leaves nothing";
}

TEST_P(AfXdpBackendTest, ADriverWithoutXdpHasNoZeroCopyEither) {
    make_veth({.far_mtu = 9000});
    EXPECT_THAT(error_of({.mode = XdpMode::zero_copy}).message, HasSubstr("which zero-copy needs"));
    EXPECT_EQ(make({.mode = XdpMode::copy})->description(), "af_xdp near, queue 0 (copy, generic)");
}

TEST_P(AfXdpBackendTest, WithoutPermissionItSaysWhichIsMissing) {
    make_veth();
    const auto error_without = [](std::initializer_list<unsigned> dropped) {
        std::string message;
        std::thread([&] {
            // Of this thread only.
            __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
            std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
            ASSERT_EQ(::syscall(SYS_capget, &header, data.data()), 0);
            for (const unsigned capability : dropped) {
                data.at(CAP_TO_INDEX(capability)).effective &= ~CAP_TO_MASK(capability);
            }
            ASSERT_EQ(::syscall(SYS_capset, &header, data.data()), 0);
            message = error_of({}).message;
        }).join();
        return message;
    };
    EXPECT_THAT(error_without({CAP_NET_RAW}), HasSubstr("CAP_NET_RAW"));
    EXPECT_THAT(error_without({CAP_BPF, CAP_SYS_ADMIN}), HasSubstr("CAP_BPF"));
    EXPECT_THAT(error_without({CAP_NET_ADMIN, CAP_SYS_ADMIN}), HasSubstr("CAP_NET_ADMIN"));
    EXPECT_EQ(program_on("near"), 0U);
}

TEST_P(AfXdpBackendTest, MoreThanWaitsIsDroppedAndCounted) {
    make_veth();
    constexpr std::uint32_t frames = 8;
    constexpr std::uint32_t surplus = 5;
    const Backend backend = make({.frames = frames});
    const auto receiver = must(backend->open_receiver(0));
    PacketSocket far("far");
    for (std::uint32_t round = 1; round <= 3; ++round) {
        std::vector<Bytes> contents;
        for (std::uint32_t i = 0; i < frames + surplus; ++i) {
            contents.push_back(make_packet(random_, 100 + i));
            far.put(contents.back());
        }
        ASSERT_TRUE(eventually([&] { return receiver->dropped() >= round * surplus; }));
        for (std::uint32_t i = 0; i < frames; ++i) {
            ASSERT_EQ(await(*receiver), contents[i]);
        }
        EXPECT_TRUE(receive(*receiver).empty());
        EXPECT_EQ(receiver->dropped(), round * surplus);
    }
}

TEST_P(AfXdpBackendTest, FewFramesAreEnoughForAllPackets) {
    make_veth();
    const Backend backend = make({.frames = 4});
    const auto sender = must(backend->open_sender(0));
    PacketSocket far("far");
    EdgeWatch watch(sender->room_fd());
    std::vector<Bytes> contents;
    std::vector<PacketBuffer> buffers;
    std::vector<Packet> batch;
    for (std::size_t i = 0; i < 100; ++i) {
        contents.push_back(make_packet(random_, 60 + i));
        buffers.emplace_back(contents.back());
    }
    for (const PacketBuffer& buffer : buffers) {
        batch.push_back(buffer.packet());
    }
    for (std::span<const Packet> left = batch; !left.empty();) {
        const std::size_t done = sender->send(left);
        EXPECT_LE(done, 4U);
        left = left.subspan(done);
        if (done == 0 && sender->arm()) {
            ASSERT_TRUE(watch.signalled());
        }
    }
    for (const Bytes& one : contents) {
        ASSERT_EQ(far.take(), one);
    }
    EXPECT_EQ(sender->dropped(), 0U);
}

TEST_P(AfXdpBackendTest, FramesAreAsShortAndAsLongAsTheyMayBe) {
    make_veth({.near_mtu = 9000, .far_mtu = 9000});
    const Backend backend = make();
    const auto sender = must(backend->open_sender(0));
    const auto receiver = must(backend->open_receiver(0));
    PacketSocket far("far");
    const Bytes longest = make_packet(random_, backend->longest());
    const Bytes too_long = make_packet(random_, backend->longest() + 1);
    EXPECT_TRUE(send(*sender, too_long));
    EXPECT_EQ(sender->dropped(), 1U);
    EXPECT_TRUE(send(*sender, longest));
    EXPECT_EQ(far.take(), longest);
    far.put(too_long);
    ASSERT_TRUE(eventually([&] { return receiver->dropped() == 1; }));
    far.put(longest);
    EXPECT_EQ(await(*receiver), longest);

    Bytes filled_up = make_packet(random_, 14);
    ASSERT_TRUE(send(*sender, make_packet(random_, 200)));
    EXPECT_EQ(far.take().size(), 200U);
    ASSERT_TRUE(send(*sender, filled_up));
    filled_up.resize(60);
    EXPECT_EQ(far.take(), filled_up) << "with nothing of what was in the frame before";
}

TEST_P(AfXdpBackendTest, QueuesThatWereNotAskedForStayTheHosts) {
    make_veth({.queues = 2});
    const Backend backend = make({.queue = 1});
    EXPECT_EQ(backend->description(), "af_xdp near, queue 1 (copy)");
    const auto receiver = must(backend->open_receiver(0));
    PacketSocket far("far");
    PacketSocket host("near");
    for (std::uint16_t number = 0; number < conversations; ++number) {
        far.put(conversation(number));
    }
    // What comes last for each; nothing is overtaken on a queue.
    std::size_t received = 0;
    std::size_t passed = 0;
    ASSERT_TRUE(eventually([&] {
        received += receive(*receiver).empty() ? 0 : 1;
        passed += host.take(0).empty() ? 0 : 1;
        return received + passed == conversations;
    })) << received
        << " and " << passed;
    EXPECT_GT(received, 0U);
    EXPECT_GT(passed, 0U);
}

TEST_P(AfXdpBackendTest, WhateverQueueAPacketComesOnAPairInUseTakesIt) {
    make_veth({.queues = 4});
    const Backend backend = make({.pairs = 4});
    EXPECT_EQ(backend->description(), "af_xdp near, queues 0 to 3 (copy)");
    std::vector<std::unique_ptr<PacketReceiver>> receivers;
    for (std::uint16_t pair = 0; pair < 4; ++pair) {
        receivers.push_back(must(backend->open_receiver(pair)));
    }
    PacketSocket far("far");
    for (const std::uint16_t pairs : std::array<std::uint16_t, 4>{4, 2, 3, 1}) {
        ASSERT_TRUE(backend->set_pairs(pairs));
        for (std::uint16_t number = 0; number < conversations; ++number) {
            far.put(conversation(number));
        }
        std::array<unsigned, 4> found{};
        const auto sum = [&] { return found[0] + found[1] + found[2] + found[3]; };
        ASSERT_TRUE(eventually([&] {
            for (std::size_t pair = 0; pair < found.size(); ++pair) {
                found.at(pair) += receive(*receivers[pair]).empty() ? 0U : 1U;
            }
            return sum() == conversations;
        })) << sum();
        for (std::uint16_t pair = 0; pair < found.size(); ++pair) {
            EXPECT_EQ(found.at(pair) != 0, pair < pairs) << pair << " of " << pairs;
        }
    }
}

TEST_P(AfXdpBackendTest, WhatWaitsWakesWhoIsToTakeItNow) {
    make_veth({.queues = 2});
    const Backend backend = make({.pairs = 2});
    const auto first = must(backend->open_receiver(0));
    const auto second = must(backend->open_receiver(1));
    PacketSocket far("far");
    ASSERT_TRUE(backend->set_pairs(2));
    const auto put_all = [&] {
        for (std::uint16_t number = 0; number < conversations; ++number) {
            far.put(conversation(number));
        }
    };
    // How many are the first one's, which is the same each time.
    put_all();
    std::size_t of_first = 0;
    std::size_t of_second = 0;
    ASSERT_TRUE(eventually([&] {
        of_first += receive(*first).empty() ? 0 : 1;
        of_second += receive(*second).empty() ? 0 : 1;
        return of_first + of_second == conversations;
    }));
    put_all();
    for (std::size_t taken = 0; taken < of_first; ++taken) {
        ASSERT_FALSE(await(*first).empty());
    }
    ASSERT_TRUE(eventually([&] { return second->has_packet(); }));
    ASSERT_TRUE(first->arm());
    EdgeWatch watch(first->packet_fd());
    ASSERT_FALSE(watch.signalled(0));
    ASSERT_TRUE(backend->set_pairs(1));
    ASSERT_TRUE(watch.signalled());
    EXPECT_TRUE(first->has_packet());
    EXPECT_FALSE(first->arm());
    for (std::size_t taken = 0; taken < of_second; ++taken) {
        ASSERT_FALSE(await(*first).empty());
    }
    EXPECT_FALSE(first->has_packet());
    EXPECT_FALSE(second->has_packet());
    EXPECT_TRUE(second->arm());
}

TEST_P(AfXdpBackendTest, WhatIsSentWhileTheInterfaceIsDownIsDropped) {
    make_veth();
    const Backend backend = make({.frames = 8});
    const auto sender = must(backend->open_sender(0));
    const auto receiver = must(backend->open_receiver(0));
    PacketSocket far("far");
    const Bytes contents = make_packet(random_, 100);
    bring_up("near", false);
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(send(*sender, contents));
    }
    EXPECT_GE(sender->dropped(), 99U);
    bring_up("near", true);
    const Bytes later = make_packet(random_, 300);
    // Again and again: the kernel starts to send on an interface a moment after that is up, and loses what comes before.
    ASSERT_TRUE(eventually([&] { return send(*sender, later) && far.take(100) == later; }));
    ASSERT_TRUE(eventually([&] {
        far.put(later);
        return receive(*receiver) == later;
    }));
}

TEST_P(AfXdpBackendTest, AnUnpluggedCableStopsNobody) {
    make_veth();
    const Backend backend = make({.frames = 8});
    const auto sender = must(backend->open_sender(0));
    EdgeWatch watch(sender->room_fd());
    const Bytes contents = make_packet(random_, 100);
    bring_up("far", false);
    for (int sent = 0; sent < 100;) {
        if (send(*sender, contents)) {
            ++sent;
        } else if (sender->arm()) {
            ASSERT_TRUE(watch.signalled());
        }
    }
    bring_up("far", true);
    PacketSocket far("far");
    const Bytes later = make_packet(random_, 300);
    ASSERT_TRUE(eventually([&] { return send(*sender, later) && far.take(100) == later; }));
}

TEST_P(AfXdpBackendTest, AnInterfaceThatGoesTakesNobodyWithIt) {
    make_veth();
    const Backend backend = make();
    const auto sender = must(backend->open_sender(0));
    const auto receiver = must(backend->open_receiver(0));
    delete_interface("near");
    for (int i = 0; i < 10; ++i) {
        ASSERT_TRUE(send(*sender, make_packet(random_, 100)));
    }
    EXPECT_GE(sender->dropped(), 9U);
    EXPECT_TRUE(receive(*receiver).empty());
    EXPECT_TRUE(receiver->arm());
    EXPECT_FALSE(backend->announce(std::array<std::uint8_t, 6>{2, 0, 0, 0, 0, 1}));
}

TEST(XdpModeTest, NamesAreThoseOfTheConfiguration) {
    for (const XdpMode mode : {XdpMode::automatic, XdpMode::copy, XdpMode::zero_copy}) {
        EXPECT_EQ(parse_xdp_mode(to_string(mode)), mode);
    }
    EXPECT_THAT(parse_xdp_mode("fast").error().message, HasSubstr("auto, copy or zerocopy"));
}

INSTANTIATE_TEST_SUITE_P(Host, AfXdpBackendTest,
                         testing::ValuesIn(has_af_xdp() ? std::vector<int>{0} : std::vector<int>{}),
                         [](const auto&) { return "veth"; });

}  // namespace
}  // namespace sidecore::network::test
