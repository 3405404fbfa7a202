// SPDX-License-Identifier: Apache-2.0
#include "frontend/client.hh"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <numeric>
#include <sys/socket.h>
#include <sys/stat.h>
#include <vector>

#include <gtest/gtest.h>

#include "frontend/blk_driver.hh"
#include "frontend/disk_device.hh"
#include "frontend/scripted_backend.hh"

namespace sidecore::frontend {
namespace {

using test::ScriptedBackend;
using namespace std::chrono_literals;

constexpr std::uint64_t protocol_features = 1ULL << 30U;
constexpr std::uint64_t some_features = protocol_features | 1ULL << 32U | 1ULL << 29U | 1ULL << 28U | 1ULL << 9U;
constexpr std::uint64_t reply_ack = 1U << 3U;

/// A back-end with the protocol features `offered` that does as it is told.
ScriptedBackend::Script obedient(std::uint64_t offered) {
    return [offered](const ScriptedBackend::Received& message) -> std::vector<ScriptedBackend::Reply> {
        switch (message.request) {
            case 1:
                return {ScriptedBackend::reply_u64(1, some_features | 1ULL << 34U)};
            case 15:
                return {ScriptedBackend::reply_u64(15, offered)};
            case 17:
                return {ScriptedBackend::reply_u64(17, 4)};
            case 36:
                return {ScriptedBackend::reply_u64(36, 509)};
            case 40:
                return {ScriptedBackend::reply_u64(40, 15)};
            case 11: {
                ScriptedBackend::Reply reply{.request = 11, .flags = 0x5, .payload = message.payload};
                reply.payload[4] = std::byte{static_cast<unsigned char>(message.at<std::uint32_t>(0) + 40)};
                return {reply};
            }
            case 24: {
                ScriptedBackend::Reply reply{.request = 24, .flags = 0x5, .payload = message.payload};
                for (std::size_t i = 12; i < reply.payload.size(); ++i) {
                    reply.payload[i] = static_cast<std::byte>(message.at<std::uint32_t>(0) + i - 12);
                }
                return {reply};
            }
            default:
                if ((message.flags & 0x8U) != 0) {
                    return {ScriptedBackend::reply_u64(message.request, 0)};
                }
                return {};
        }
    };
}

std::vector<std::uint32_t> requests_of(const std::vector<ScriptedBackend::Received>& messages) {
    std::vector<std::uint32_t> requests;
    for (const ScriptedBackend::Received& message : messages) {
        requests.push_back(message.request);
    }
    return requests;
}

const ScriptedBackend::Received& first_of(const std::vector<ScriptedBackend::Received>& messages,
                                          std::uint32_t request) {
    const auto found = std::find_if(messages.begin(), messages.end(),
                                    [request](const auto& message) { return message.request == request; });
    EXPECT_NE(found, messages.end()) << request;
    return *found;
}

TEST(Client, StartsWithMemorySlotsAndStatus) {
    constexpr std::uint64_t offered = 1U << 0U | 1U << 3U | 1U << 5U | 1U << 9U | 1U << 15U | 1U << 16U | 1U << 1U;
    ScriptedBackend backend(obedient(offered));
    auto memory = *GuestMemoryFile::create(1U << 20U);
    std::vector<DriverQueue> queues;
    queues.push_back(*DriverQueue::create(memory, {.size = 64, .first_index = 7}));
    queues.push_back(*DriverQueue::create(memory, {.size = 128}));
    {
        Client client(backend.take_socket());
        const auto negotiated = client.negotiate({});
        ASSERT_TRUE(negotiated) << negotiated.error().message;
        EXPECT_EQ(client.features(), some_features) << "not bit 34, the packed ring";
        EXPECT_TRUE(client.has(vhost_user::ProtocolFeature::configure_mem_slots));
        EXPECT_FALSE(client.has(vhost_user::ProtocolFeature::log_shmfd)) << "offered, not wished for";
        EXPECT_TRUE(client.has(feature_event_index));
        EXPECT_FALSE(client.has(5));
        const auto started = client.start(memory, queues);
        ASSERT_TRUE(started) << started.error().message;
    }
    const auto& messages = backend.finish();
    const std::vector<std::uint32_t> expected{1,  15, 16, 3, 21, 2, 39, 37, 8,  10, 9, 13,
                                              14, 12, 18, 8, 10, 9, 13, 14, 12, 18, 39};
    EXPECT_EQ(requests_of(messages), expected);
    EXPECT_EQ(first_of(messages, 16).flags, 0x1U) << "nothing is negotiated yet";
    EXPECT_EQ(first_of(messages, 2).flags, 0x9U) << "version 1, need_reply";
    EXPECT_EQ(first_of(messages, 16).at<std::uint64_t>(0), offered & ~2U);
    EXPECT_EQ(first_of(messages, 2).at<std::uint64_t>(0), some_features);
    EXPECT_EQ(first_of(messages, 21).fds.size(), 1U);

    const auto& region = first_of(messages, 37);
    ASSERT_EQ(region.payload.size(), 40U);
    ASSERT_EQ(region.fds.size(), 1U);
    EXPECT_EQ(region.at<std::uint64_t>(0), 0U);
    EXPECT_EQ(region.at<std::uint64_t>(8), 0x10'0000U);
    EXPECT_EQ(region.at<std::uint64_t>(16), 1U << 20U);
    EXPECT_EQ(region.at<std::uint64_t>(24), memory.regions()[0].user_address.value);
    EXPECT_EQ(region.at<std::uint64_t>(32), 0U);

    EXPECT_EQ(first_of(messages, 8).at<std::uint64_t>(0), 64ULL << 32U) << "index 0, num 64";
    EXPECT_EQ(first_of(messages, 10).at<std::uint64_t>(0), 7ULL << 32U);
    const auto& addresses = first_of(messages, 9);
    ASSERT_EQ(addresses.payload.size(), 40U);
    EXPECT_EQ(addresses.at<std::uint64_t>(0), 0U) << "index, flags";
    const SplitRing& ring = queues[0].ring();
    EXPECT_EQ(addresses.at<std::uint64_t>(8), reinterpret_cast<std::uintptr_t>(ring.descriptor_area().host));
    EXPECT_EQ(addresses.at<std::uint64_t>(16), reinterpret_cast<std::uintptr_t>(ring.used_area().host));
    EXPECT_EQ(addresses.at<std::uint64_t>(24), reinterpret_cast<std::uintptr_t>(ring.available_area().host));
    for (const std::uint32_t request : {12U, 13U, 14U}) {
        EXPECT_EQ(first_of(messages, request).at<std::uint64_t>(0), 0U);
        EXPECT_EQ(first_of(messages, request).fds.size(), 1U);
    }
    EXPECT_EQ(messages[messages.size() - 3].at<std::uint64_t>(0), 1U) << "SET_VRING_KICK of vring 1";
    EXPECT_EQ(first_of(messages, 18).at<std::uint64_t>(0), 1ULL << 32U);
    EXPECT_EQ(first_of(messages, 39).at<std::uint64_t>(0), 0xbU) << "ACKNOWLEDGE, DRIVER, FEATURES_OK";
    EXPECT_EQ(messages.back().at<std::uint64_t>(0), 0xfU) << "and DRIVER_OK";
    EXPECT_TRUE(drain_eventfd(queues[0].kick_fd())) << "a first kick, for those who wait for it";
}

TEST(Client, StartsWithATableAndWithoutAcknowledgements) {
    ScriptedBackend backend(obedient(0));
    const std::array plan{
        RegionPlan{
            .guest_address = {0}, .size = 1U << 20U, .user_address = memory::UserAddress{0x7000}, .file_gap = 4096},
        RegionPlan{.guest_address = {1ULL << 32U}, .size = 4096, .user_address = {}, .file_gap = 0}};
    auto memory = *GuestMemoryFile::create(plan);
    auto queue = *DriverQueue::create(memory, {.size = 64});
    {
        Client client(backend.take_socket());
        ASSERT_TRUE(client.negotiate({}));
        ASSERT_TRUE(client.start(memory, std::span(&queue, 1)));
        ASSERT_TRUE(client.get_vring_base(0)) << "all before it has been read";
    }
    const auto& messages = backend.finish();
    EXPECT_EQ(requests_of(messages), (std::vector<std::uint32_t>{1, 15, 16, 3, 2, 5, 8, 10, 9, 13, 14, 12, 18, 11}));
    for (const ScriptedBackend::Received& message : messages) {
        EXPECT_EQ(message.flags, 0x1U) << message.request;
    }
    const auto& table = first_of(messages, 5);
    ASSERT_EQ(table.payload.size(), 8U + 2 * 32U);
    ASSERT_EQ(table.fds.size(), 2U);
    EXPECT_EQ(table.at<std::uint64_t>(0), 2U) << "number of regions, padding";
    EXPECT_EQ(table.at<std::uint64_t>(24), 0x7000U);
    EXPECT_EQ(table.at<std::uint64_t>(32), 4096U) << "mmap offset";
    EXPECT_EQ(table.at<std::uint64_t>(40), 1ULL << 32U);
    EXPECT_EQ(table.at<std::uint64_t>(48), 4096U);
    EXPECT_EQ(table.at<std::uint64_t>(64), 4096U + (1U << 20U));
    EXPECT_EQ(first_of(messages, 9).at<std::uint64_t>(8), 0x7000 + queue.ring().descriptor_area().address.value)
        << "in the addresses of the table";
}

TEST(Client, RequestsHaveTheirReplies) {
    ScriptedBackend backend(obedient(reply_ack));
    Client client(backend.take_socket());
    ASSERT_TRUE(client.set_protocol_features(reply_ack));
    EXPECT_EQ(*client.get_queue_num(), 4U);
    EXPECT_EQ(*client.get_max_mem_slots(), 509U);
    EXPECT_EQ(*client.get_status(), 15);
    EXPECT_EQ(*client.stop(3), (std::vector<std::uint16_t>{40, 41, 42}));
    const auto config = client.get_config(8, 4);
    ASSERT_TRUE(config);
    EXPECT_EQ(*config, (std::vector<std::byte>{std::byte{8}, std::byte{9}, std::byte{10}, std::byte{11}}));
    const std::array data{std::byte{1}, std::byte{2}};
    EXPECT_TRUE(client.set_config(32, data, 1));
    EXPECT_TRUE(client.reset_device());
    EXPECT_TRUE(client.reset_owner());
    EXPECT_TRUE(client.set_vring_kick(3, std::nullopt));
    auto memory = *GuestMemoryFile::create(4096);
    EXPECT_TRUE(client.rem_mem_reg(memory.regions()[0]));

    const auto& messages = backend.finish();
    EXPECT_EQ(first_of(messages, 24).payload.size(), 16U);
    EXPECT_EQ(first_of(messages, 24).at<std::uint64_t>(0), 8U | 4ULL << 32U);
    const auto& set = first_of(messages, 25);
    ASSERT_EQ(set.payload.size(), 14U);
    EXPECT_EQ(set.at<std::uint64_t>(0), 32U | 2ULL << 32U);
    EXPECT_EQ(set.at<std::uint32_t>(8), 1U) << "migration";
    EXPECT_EQ(set.payload[13], std::byte{2});
    EXPECT_EQ(first_of(messages, 34).payload.size(), 0U);
    EXPECT_EQ(first_of(messages, 12).at<std::uint64_t>(0), 0x103U) << "no descriptor, vring 3";
    EXPECT_EQ(first_of(messages, 12).fds.size(), 0U);
    EXPECT_EQ(first_of(messages, 38).fds.size(), 0U);
}

TEST(Client, ARefusalIsAnError) {
    ScriptedBackend backend([](const ScriptedBackend::Received& message) -> std::vector<ScriptedBackend::Reply> {
        if ((message.flags & 0x8U) == 0) {
            return {};
        }
        return {ScriptedBackend::reply_u64(message.request, message.request == 8 ? 5 : 0)};
    });
    Client client(backend.take_socket());
    ASSERT_TRUE(client.set_protocol_features(reply_ack));
    EXPECT_TRUE(client.set_vring_base(0, 0));
    const auto refused = client.set_vring_num(0, 3);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::invalid_argument);
    EXPECT_EQ(refused.error().message, "SET_VRING_NUM was refused with 5");
    client.acknowledge(false);
    EXPECT_TRUE(client.set_vring_num(0, 3)) << "nobody asked";
}

TEST(Client, WrongRepliesAreErrors) {
    using Reply = ScriptedBackend::Reply;
    const std::vector<std::byte> eight(8);
    const std::array<std::vector<Reply>, 4> wrong{
        std::vector{Reply{.request = 2, .flags = 0x5, .payload = eight}},                      // another request
        std::vector{Reply{.request = 1, .flags = 0x1, .payload = eight}},                      // no reply flag
        std::vector{Reply{.request = 1, .flags = 0x5, .payload = std::vector<std::byte>(4)}},  // too short
        std::vector{Reply{.request = 1, .flags = 0x6, .payload = eight}},                      // version 2
    };
    for (const auto& replies : wrong) {
        ScriptedBackend backend([&replies](const ScriptedBackend::Received&) { return replies; });
        Client client(backend.take_socket());
        const auto features = client.get_features();
        ASSERT_FALSE(features);
        EXPECT_EQ(features.error().kind, ErrorKind::protocol_violation) << features.error().message;
    }
}

TEST(Client, AnEmptyConfigurationIsARefusal) {
    ScriptedBackend backend([](const ScriptedBackend::Received& message) {
        return std::vector{ScriptedBackend::Reply{.request = message.request, .flags = 0x5, .payload = {}}};
    });
    Client client(backend.take_socket());
    const auto config = client.get_config(0, 60);
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().kind, ErrorKind::invalid_argument);
}

TEST(Client, SilenceAndTheEndAreToldApart) {
    {
        ScriptedBackend backend([](const auto&) { return std::vector<ScriptedBackend::Reply>{}; });
        Client client(backend.take_socket(), 10ms);
        const auto silence = client.get_features();
        ASSERT_FALSE(silence);
        EXPECT_EQ(silence.error().kind, ErrorKind::timed_out);
    }
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    Client client(Fd{pair[0]}, 10s);
    const Fd peer(pair[1]);
    ASSERT_EQ(::shutdown(peer.get(), SHUT_WR), 0);
    const auto end = client.get_features();
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().kind, ErrorKind::closed);
}

TEST(Client, ConnectingToNothingFailsInTime) {
    const auto client = Client::connect("/nonexistent/socket", 5ms);
    ASSERT_FALSE(client);
    EXPECT_EQ(client.error().os_error, ENOENT);
    const auto long_path = Client::connect(std::string(200, 'x'));
    ASSERT_FALSE(long_path);
    EXPECT_EQ(long_path.error().kind, ErrorKind::invalid_argument);
}

TEST(Client, TheBackendsRequestsAreAcknowledged) {
    // CONFIG_CHANGE_MSG (2), need_reply, no payload, sent as soon as there is a channel.
    std::array<std::uint32_t, 5> acknowledgement{};
    ssize_t acknowledged = 0;
    ScriptedBackend backend([&](const ScriptedBackend::Received& message) {
        if (message.request == 21) {
            constexpr std::array<std::uint32_t, 3> change{2, 0x9, 0};
            EXPECT_EQ(::send(message.fds.at(0).get(), change.data(), sizeof change, 0), 12);
        }
        if (message.request == 34) {
            acknowledged = 1;
        }
        return std::vector<ScriptedBackend::Reply>{};
    });
    Client client(backend.take_socket());
    const auto too_early = client.wait_for_backend_request(1ms);
    ASSERT_FALSE(too_early);
    EXPECT_EQ(too_early.error().kind, ErrorKind::unsupported);
    ASSERT_TRUE(client.open_backend_channel());
    const auto request = client.wait_for_backend_request(10s);
    ASSERT_TRUE(request) << request.error().message;
    EXPECT_EQ(request->header.request, 2U);
    const auto none = client.wait_for_backend_request(1ms);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().kind, ErrorKind::timed_out);

    const auto& messages = backend.finish();
    const int channel = first_of(messages, 21).fds.at(0).get();
    acknowledged = ::recv(channel, acknowledgement.data(), sizeof acknowledgement, MSG_DONTWAIT);
    EXPECT_EQ(acknowledged, 20);
    EXPECT_EQ(acknowledgement, (std::array<std::uint32_t, 5>{2, 0x5, 8, 0, 0}));
}

TEST(BlkDriver, RunsOnWhatItNegotiated) {
    ScriptedBackend backend(obedient(reply_ack | 1U << 9U));
    auto driver = BlkDriver::start(Client(backend.take_socket()), {.queues = 2, .queue = {.size = 64}});
    ASSERT_TRUE(driver) << driver.error().message;
    EXPECT_EQ(driver->queues().size(), 2U);
    EXPECT_TRUE(driver->queue().event_index());
    const auto config = driver->config();
    ASSERT_TRUE(config);
    EXPECT_EQ(config->seg_max, 0x0f0e0d0cU) << "bytes 12 to 15";
    EXPECT_EQ(config->num_queues, 0x2322) << "bytes 34 and 35";
    EXPECT_TRUE(driver->set_writeback(true));

    BlkDriver moved = std::move(*driver);
    test::DiskDevice disk(moved.memory(), moved.queue(1));
    std::vector<std::byte> data(1024, std::byte{5});
    const auto wrote = moved.requests(1).write(3, data);
    ASSERT_TRUE(wrote) << wrote.error().message;
    EXPECT_EQ(disk.disk()[3 * 512], std::byte{5});

    const auto& messages = backend.finish();
    EXPECT_EQ(first_of(messages, 24).at<std::uint32_t>(4), 60U) << "as many bytes as there are fields";
    EXPECT_EQ(first_of(messages, 25).at<std::uint64_t>(0), 32U | 1ULL << 32U);
}

TEST(BlkDriver, WithoutEventIndexIfNotWanted) {
    ScriptedBackend backend(obedient(0));
    auto driver = BlkDriver::start(Client(backend.take_socket()), {.queue = {.size = 64, .event_index = false}});
    ASSERT_TRUE(driver) << driver.error().message;
    EXPECT_FALSE(driver->queue().event_index());
    EXPECT_EQ(first_of(backend.finish(), 2).at<std::uint64_t>(0), some_features & ~(1ULL << 29U));
}

}  // namespace
}  // namespace sidecore::frontend
