// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_driver.hh"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "engine/wait.hh"
#include "frontend/device_side.hh"
#include "frontend/net_device.hh"
#include "frontend/net_load.hh"
#include "frontend/net_pattern.hh"
#include "frontend/scripted_backend.hh"

namespace sidecore::frontend {
namespace {

using test::DeviceSide;
using test::frame_of;
using test::NetDevice;
using test::ScriptedBackend;
using namespace std::chrono_literals;

constexpr std::uint64_t ring_features = 1ULL << 32U | 1ULL << 30U | 1ULL << 29U | 1ULL << 28U;
constexpr std::uint64_t some_net_features = ring_features | 1U << 5U | 1U << 15U;
constexpr std::uint64_t control_features = some_net_features | 1U << 17U;
constexpr std::uint64_t mq_features = control_features | 1U << 22U;
constexpr std::uint64_t reply_ack_and_config = 1U << 3U | 1U << 9U;

/// A back-end with these features and so many pairs in its configuration that agrees to everything.
ScriptedBackend::Script network_backend(std::uint64_t features, std::uint16_t pairs = 4,
                                        std::uint64_t protocol_features = reply_ack_and_config) {
    return [=](const ScriptedBackend::Received& message) -> std::vector<ScriptedBackend::Reply> {
        switch (message.request) {
            case 1:
                return {ScriptedBackend::reply_u64(1, features)};
            case 15:
                return {ScriptedBackend::reply_u64(15, protocol_features)};
            case 24: {
                ScriptedBackend::Reply reply{.request = 24, .flags = 0x5, .payload = message.payload};
                // Behind 12 bytes of the message: mac, status, max_virtqueue_pairs, mtu.
                reply.payload.at(12) = std::byte{0x52};
                reply.payload.at(17) = std::byte{0x99};
                reply.payload.at(18) = std::byte{1};
                std::memcpy(reply.payload.data() + 20, &pairs, sizeof pairs);
                reply.payload.at(22) = std::byte{0xdc};
                reply.payload.at(23) = std::byte{5};
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

/// The numbers of the vrings that were started, in order.
std::vector<std::uint64_t> started_vrings(const std::vector<ScriptedBackend::Received>& messages) {
    std::vector<std::uint64_t> vrings;
    for (const ScriptedBackend::Received& message : messages) {
        if (message.request == 12) {
            vrings.push_back(message.at<std::uint64_t>(0));
        }
    }
    return vrings;
}

std::uint64_t features_set(const std::vector<ScriptedBackend::Received>& messages) {
    const auto found =
        std::find_if(messages.begin(), messages.end(), [](const auto& message) { return message.request == 2; });
    return found == messages.end() ? 0 : found->at<std::uint64_t>(0);
}

std::unique_ptr<NetDevice> device_of(NetDriver& driver, const NetDevice::Options& options = {}) {
    std::vector<NetDevice::Pair> pairs;
    for (std::size_t i = 0; i < driver.pairs(); ++i) {
        pairs.push_back({.receive = &driver.receive_queue(i), .transmit = &driver.transmit_queue(i)});
    }
    return std::make_unique<NetDevice>(driver.memory(), pairs, driver.has_control() ? &driver.control_queue() : nullptr,
                                       options);
}

TEST(NetDriver, SendsAndReceives) {
    ScriptedBackend backend(network_backend(some_net_features));
    auto started = NetDriver::start(Client(backend.take_socket()), {});
    ASSERT_TRUE(started) << started.error().message;
    NetDriver driver = std::move(*started);
    EXPECT_EQ(driver.pairs(), 1);
    EXPECT_EQ(driver.max_pairs(), 1) << "without MQ";
    EXPECT_FALSE(driver.has_control());
    EXPECT_TRUE(driver.receive_queue().event_index());
    const auto config = driver.config();
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->mac, (std::array<std::uint8_t, 6>{0x52, 0, 0, 0, 0, 0x99}));
    EXPECT_EQ(config->status, NetConfig::link_up);
    EXPECT_EQ(config->mtu, 1500);

    const auto device = device_of(driver, {.loop = true});
    const auto frame = frame_of(5000);
    const auto sent = driver.send(frame, {.csum_start = std::uint16_t{14}});
    ASSERT_TRUE(sent) << sent.error().message;
    const auto received = driver.receive();
    ASSERT_TRUE(received) << received.error().message;
    EXPECT_EQ(received->frame, frame);
    EXPECT_EQ(received->buffers, 4) << "of 1536 bytes";
    EXPECT_EQ(device->transmitted().at(0).bytes.at(6), std::byte{14});
    ASSERT_TRUE(driver.send_pieces({.frame = frame, .layout = {.cuts = {12, 100, 100}, .indirect = true}}));
    EXPECT_EQ(device->transmitted().at(1).buffers.size(), 4U);
    EXPECT_EQ(driver.receive()->frame, frame);
    const std::array batch{NetOutgoing{.frame = frame}, NetOutgoing{.frame = frame}};
    EXPECT_EQ(*driver.send_batch(batch), 2U);
    EXPECT_EQ(driver.receive()->frame, frame);
    EXPECT_EQ(driver.receive()->frame, frame);

    const auto unsupported = driver.command(NetClass::rx, net_rx_promiscuous);
    ASSERT_FALSE(unsupported);
    EXPECT_EQ(unsupported.error().kind, ErrorKind::unsupported);
    const auto& messages = backend.finish();
    EXPECT_EQ(started_vrings(messages), (std::vector<std::uint64_t>{0, 1}));
    EXPECT_EQ(features_set(messages), some_net_features);
}

TEST(NetDriver, TheControlQueueIsTheThirdWithoutMultiqueue) {
    ScriptedBackend backend(network_backend(control_features));
    auto driver = NetDriver::start(Client(backend.take_socket()), {});
    ASSERT_TRUE(driver) << driver.error().message;
    EXPECT_TRUE(driver->has_control());
    EXPECT_EQ(started_vrings(backend.finish()), (std::vector<std::uint64_t>{0, 1, 2}));
}

TEST(NetDriver, TheControlQueueIsBehindAllPairs) {
    ScriptedBackend backend(network_backend(mq_features, 4));
    auto driver = NetDriver::start(Client(backend.take_socket()), {.pairs = 2, .use_all_pairs = false});
    ASSERT_TRUE(driver) << driver.error().message;
    EXPECT_EQ(driver->max_pairs(), 4);
    const auto device = device_of(*driver);
    const auto set = driver->set_pairs(2);
    ASSERT_TRUE(set) << set.error().message;
    ASSERT_EQ(device->commands().size(), 1U);
    const auto command = device->commands()[0];
    EXPECT_EQ(command.bytes, (std::vector<std::byte>{std::byte{4}, std::byte{0}, std::byte{2}, std::byte{0}}));
    ASSERT_EQ(command.buffers.size(), 3U) << "class and command, data, ack";
    EXPECT_EQ(command.buffers[0].length, 2U);
    EXPECT_EQ(command.buffers[1].length, 2U);
    EXPECT_EQ(command.buffers[2].length, 1U);
    EXPECT_TRUE(command.buffers[2].writable());

    ASSERT_TRUE(driver->send(frame_of(60, 1), {}, 0));
    ASSERT_TRUE(driver->send(frame_of(61, 2), {}, 1));
    EXPECT_EQ(device->transmitted(0).size(), 1U);
    ASSERT_EQ(device->transmitted(1).size(), 1U);
    EXPECT_EQ(device->transmitted(1)[0].bytes.size(), 73U);
    ASSERT_TRUE(device->deliver(frame_of(62), {}, 1));
    EXPECT_EQ(driver->receive(1)->frame, frame_of(62));
    EXPECT_FALSE(driver->receiver(0).try_receive()->has_value());
    EXPECT_EQ(started_vrings(backend.finish()), (std::vector<std::uint64_t>{0, 1, 2, 3, 8}));
}

/// Answers one command on vring `control` in a thread of its own, with no more to go by than the messages: front-end and back-end
/// are one process here, so user addresses are pointers.
class ControlAnswerer {
public:
    explicit ControlAnswerer(std::uint64_t control) : control_(control) {}
    ~ControlAnswerer() { join(); }
    ControlAnswerer(const ControlAnswerer&) = delete;
    ControlAnswerer& operator=(const ControlAnswerer&) = delete;

    void look_at(const ScriptedBackend::Received& message) {
        if (message.request == 5) {
            guest_to_host_ = message.at<std::uint64_t>(24) - message.at<std::uint64_t>(8);
        } else if (message.request == 9 && message.at<std::uint32_t>(0) == control_) {
            descriptors_ = message.at<std::uint64_t>(8);
            used_ = message.at<std::uint64_t>(16);
            available_ = message.at<std::uint64_t>(24);
        } else if (message.request == 13 && message.at<std::uint64_t>(0) == control_) {
            call_ = message.fds.at(0).get();
        } else if (message.request == 12 && message.at<std::uint64_t>(0) == control_) {
            thread_ = std::thread([this] { answer(); });
        }
    }
    std::vector<std::byte> command() {
        join();
        return command_;
    }

private:
    void join() {
        if (thread_.joinable()) {
            thread_.join();
        }
    }
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the protocol has addresses as numbers
    static std::byte* at(std::uint64_t address) { return reinterpret_cast<std::byte*>(address); }
    void answer() {
        auto* const available = reinterpret_cast<const std::uint16_t*>(at(available_));
        if (!eventually([&] { return __atomic_load_n(available + 1, __ATOMIC_ACQUIRE) == 1; }, 5s)) {
            return;
        }
        for (std::size_t index = available[2];;) {
            const std::byte* const descriptor = at(descriptors_ + 16 * index);
            DeviceSide::Buffer buffer{};
            std::memcpy(&buffer, descriptor, sizeof buffer);
            std::byte* const bytes = at(buffer.address + guest_to_host_);
            if (buffer.writable()) {
                *bytes = std::byte{0};
                break;
            }
            command_.insert(command_.end(), bytes, bytes + buffer.length);
            index = buffer.next;
        }
        const std::array<std::uint32_t, 2> element{available[2], 1};
        std::memcpy(at(used_ + 4), element.data(), sizeof element);
        __atomic_store_n(reinterpret_cast<std::uint16_t*>(at(used_ + 2)), std::uint16_t{1}, __ATOMIC_RELEASE);
        signal_eventfd(call_);
    }

    std::uint64_t control_;
    std::uint64_t guest_to_host_ = 0;
    std::uint64_t descriptors_ = 0;
    std::uint64_t used_ = 0;
    std::uint64_t available_ = 0;
    int call_ = -1;
    std::vector<std::byte> command_;
    std::thread thread_;
};

TEST(NetDriver, StartingSetsThePairs) {
    ControlAnswerer answerer(8);
    ScriptedBackend backend([&answerer, script = network_backend(mq_features, 4)](const auto& message) {
        answerer.look_at(message);
        return script(message);
    });
    auto driver = NetDriver::start(Client(backend.take_socket()), {.pairs = 3});
    ASSERT_TRUE(driver) << driver.error().message;
    EXPECT_EQ(answerer.command(), (std::vector<std::byte>{std::byte{4}, std::byte{0}, std::byte{3}, std::byte{0}}));
}

TEST(NetDriver, LoadsRunOnItsQueues) {
    ScriptedBackend backend(network_backend(some_net_features));
    auto driver = NetDriver::start(Client(backend.take_socket()), {.endpoints = false, .memory_bytes = 16U << 20U});
    ASSERT_TRUE(driver) << driver.error().message;
    const std::uint64_t features = driver->client().features();
    const auto frame = frame_of(43);
    auto transmit =
        *NetTransmitLoad::create(driver->memory(), driver->transmit_queue(), features, frame, {.depth = 16});
    auto receive = *NetReceiveLoad::create(driver->memory(), driver->receive_queue(), features, {.depth = 16});
    const auto device = device_of(*driver, {.loop = true});
    NetRequestResponse exchange(transmit, receive, UINT64_MAX);
    std::uint64_t now = 0;
    EXPECT_TRUE(eventually([&] {
        exchange.turn(now++);
        return exchange.responses() == 300;
    }));
    EXPECT_EQ(exchange.strangers(), 0U);
    EXPECT_EQ(receive.counts().faults, 0U);
    EXPECT_EQ(receive.counts().bytes, 300U * 43U);
    EXPECT_EQ(driver->transmit_queue().violation(), "");
    EXPECT_EQ(driver->receive_queue().violation(), "");
}

TEST(NetDriver, WithoutAControlQueueEnabledPairsAreUsed) {
    ScriptedBackend backend(network_backend(mq_features, 2));
    auto driver = NetDriver::start(Client(backend.take_socket()), {.pairs = 2, .control = false});
    ASSERT_TRUE(driver) << driver.error().message;
    EXPECT_FALSE(driver->has_control());
    const auto& messages = backend.finish();
    EXPECT_EQ(started_vrings(messages), (std::vector<std::uint64_t>{0, 1, 2, 3}));
    EXPECT_EQ(features_set(messages), mq_features & ~(1ULL << 17U));
}

TEST(NetDriver, ImpossiblePairsAreRefused) {
    const auto start = [](std::uint64_t features, std::uint16_t has, std::uint16_t wanted) {
        ScriptedBackend backend(network_backend(features, has));
        auto driver = NetDriver::start(Client(backend.take_socket()), {.pairs = wanted});
        EXPECT_FALSE(driver);
        return driver ? ErrorKind::system : driver.error().kind;
    };
    EXPECT_EQ(start(mq_features, 4, 5), ErrorKind::out_of_range);
    EXPECT_EQ(start(mq_features, 4, 0), ErrorKind::out_of_range);
    EXPECT_EQ(start(control_features, 4, 2), ErrorKind::out_of_range) << "no MQ, one pair";
    EXPECT_EQ(start(mq_features, 0, 1), ErrorKind::protocol_violation);
    EXPECT_EQ(start(mq_features, 0x8001, 1), ErrorKind::protocol_violation);
}

TEST(NetDriver, ControlNeedsAConfigurationToBeFound) {
    ScriptedBackend backend(network_backend(mq_features, 4, 0));
    const auto lost = NetDriver::start(Client(backend.take_socket()), {});
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().kind, ErrorKind::unsupported);
    ScriptedBackend second(network_backend(mq_features, 4, 0));
    auto found = NetDriver::start(Client(second.take_socket()), {.pairs = 3, .control = false});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->pairs(), 3) << "as many as wanted: the back-end will say no to vrings that it does not have";
}

TEST(NetDriver, CommandsHaveTheirAnswers) {
    ScriptedBackend backend(network_backend(control_features));
    auto driver = NetDriver::start(Client(backend.take_socket()), {});
    ASSERT_TRUE(driver) << driver.error().message;
    const auto device = device_of(*driver, {.ack = 1});
    const std::array on{std::byte{1}};
    const auto refused = driver->command(NetClass::rx, net_rx_all_multicast, on);
    ASSERT_TRUE(refused) << refused.error().message;
    EXPECT_EQ(*refused, net_ack_error);
    const auto set = driver->set_pairs(1);
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().kind, ErrorKind::invalid_argument);
    // Class and command apart, without data; all in one, indirect; three tables of addresses in bits.
    ASSERT_TRUE(driver->command({.command_class = NetClass::announce, .command = net_announce_ack, .cuts = {1}}));
    const auto data = frame_of(70);
    ASSERT_TRUE(driver->command(
        {.command_class = NetClass::mac, .command = net_mac_table_set, .data = data, .cuts = {72}, .indirect = true}));
    const auto commands = device->commands();
    ASSERT_EQ(commands.size(), 4U);
    EXPECT_EQ(commands[0].bytes, (std::vector<std::byte>{std::byte{0}, std::byte{1}, std::byte{1}}));
    ASSERT_EQ(commands[2].buffers.size(), 3U);
    EXPECT_EQ(commands[2].buffers[0].length, 1U);
    EXPECT_EQ(commands[2].bytes, (std::vector<std::byte>{std::byte{3}, std::byte{0}}));
    ASSERT_EQ(commands[3].buffers.size(), 2U);
    EXPECT_TRUE(std::equal(data.begin(), data.end(), commands[3].bytes.begin() + 2, commands[3].bytes.end()));
    EXPECT_EQ(driver->control_queue().free_descriptors(), driver->control_queue().size());
}

TEST(NetDriver, AnAnswerThatIsNotThereIsFoundOut) {
    ScriptedBackend backend(network_backend(control_features));
    auto driver = NetDriver::start(Client(backend.take_socket()), {});
    ASSERT_TRUE(driver) << driver.error().message;
    const auto device = device_of(*driver, {.ack_length = 0});
    const auto unanswered = driver->command(NetClass::rx, net_rx_promiscuous);
    ASSERT_FALSE(unanswered);
    EXPECT_EQ(unanswered.error().kind, ErrorKind::protocol_violation);
}

TEST(NetControl, ASilentDeviceIsGivenUp) {
    auto memory = *GuestMemoryFile::create(1U << 20U);
    auto queue = *DriverQueue::create(memory, {.size = 16});
    auto control = *NetControl::create(memory, queue);
    const auto late = control.run({}, 5ms);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().kind, ErrorKind::timed_out);
    const auto next = control.run({}, 5ms);
    ASSERT_FALSE(next);
    EXPECT_EQ(next.error().kind, ErrorKind::invalid_argument) << "its answer might be the first one's";
}

}  // namespace
}  // namespace sidecore::frontend
