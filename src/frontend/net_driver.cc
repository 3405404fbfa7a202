// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_driver.hh"

#include <cstring>

#include "base/format.hh"

namespace sidecore::frontend {

using vhost_user::ProtocolFeature;

namespace {

constexpr std::uint64_t spare_bytes = 1ULL << 20U;

/// Generous: unused pages of a memfd cost nothing.
std::uint64_t memory_needed(const NetDriver::Options& options, std::uint64_t features) {
    const std::uint64_t ring = 64ULL * options.queue.size + 4096;
    std::uint64_t bytes = spare_bytes + (2ULL * options.pairs + 1) * ring + NetControl::memory_needed;
    if (options.endpoints) {
        bytes += options.pairs * (NetTransmitter::memory_needed(options.transmit) +
                                  NetReceiver::memory_needed(options.receive, features));
    }
    return bytes;
}

}  // namespace

Result<NetDriver> NetDriver::start(const std::filesystem::path& socket, const Options& options) {
    SIDECORE_TRY_ASSIGN(Client client, Client::connect(socket));
    return start(std::move(client), options);
}

Result<NetDriver> NetDriver::start(Client client, const Options& options) {
    SIDECORE_TRY(negotiate(client, options));
    SIDECORE_TRY_ASSIGN(const std::uint16_t max_pairs, learn_max_pairs(client, options));
    if (options.pairs == 0 || options.pairs > max_pairs) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("{} queue pairs of a device that has {}", options.pairs, max_pairs));
    }
    const std::uint64_t bytes =
        options.memory_bytes != 0 ? options.memory_bytes : memory_needed(options, client.features());
    SIDECORE_TRY_ASSIGN(GuestMemoryFile memory, GuestMemoryFile::create(bytes));
    NetDriver driver(std::move(client), std::move(memory), options.pairs, max_pairs);
    SIDECORE_TRY(driver.make_queues(options));
    SIDECORE_TRY(driver.client_.start(*driver.memory_, driver.numbered_queues()));
    for (NetReceiver& receiver : driver.receivers_) {
        receiver.queue().publish();
    }
    if (options.use_all_pairs && options.pairs > 1 && driver.has_control()) {
        SIDECORE_TRY(driver.set_pairs(options.pairs));
    }
    return driver;
}

Result<void> NetDriver::negotiate(Client& client, const Options& options) {
    Wishes wishes = options.wishes;
    if (!options.queue.event_index) {
        wishes.features &= ~feature_mask(feature_event_index);
    }
    if (!options.control) {
        wishes.features &= ~feature_mask(net_feature_ctrl_vq);
    }
    SIDECORE_TRY_ASSIGN(const std::uint64_t offered, client.get_features());
    wishes.features = net_without_orphans(offered & wishes.features);
    return client.negotiate(wishes);
}

Result<NetConfig> NetDriver::read_config(Client& client) {
    SIDECORE_TRY_ASSIGN(const auto bytes, client.get_config(0, net_config_bytes));
    NetConfig config;
    std::memcpy(&config, bytes.data(), bytes.size());
    return config;
}

Result<std::uint16_t> NetDriver::learn_max_pairs(Client& client, const Options& options) {
    if (!client.has(net_feature_mq)) {
        return std::uint16_t{1};
    }
    if (client.has(ProtocolFeature::config)) {
        SIDECORE_TRY_ASSIGN(const NetConfig config, read_config(client));
        const std::uint16_t pairs = config.max_virtqueue_pairs;
        if (pairs == 0 || pairs > net_max_pairs) {
            return failure(ErrorKind::protocol_violation, fmt::format("max_virtqueue_pairs is {}", pairs));
        }
        return pairs;
    }
    if (client.has(net_feature_ctrl_vq)) {
        return failure(ErrorKind::unsupported,
                       "MQ with a control queue, but without a configuration space that would say where it is");
    }
    return options.pairs;
}

Result<void> NetDriver::make_queues(const Options& options) {
    const std::uint64_t features = client_.features();
    QueueOptions queue_options = options.queue;
    queue_options.event_index = client_.has(feature_event_index);
    const bool control = client_.has(net_feature_ctrl_vq);
    const std::size_t count = std::size_t{pairs_} * 2 + (control ? 1 : 0);
    queues_->reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        SIDECORE_TRY_ASSIGN(DriverQueue queue, DriverQueue::create(*memory_, queue_options));
        queues_->push_back(std::move(queue));
    }
    if (control) {
        SIDECORE_TRY_ASSIGN(NetControl made, NetControl::create(*memory_, queues_->back()));
        control_ = made;
    }
    for (std::size_t i = 0; options.endpoints && i < pairs_; ++i) {
        SIDECORE_TRY_ASSIGN(NetReceiver receiver,
                            NetReceiver::create(*memory_, receive_queue(i), features, options.receive));
        receivers_.push_back(std::move(receiver));
        SIDECORE_TRY_ASSIGN(NetTransmitter transmitter,
                            NetTransmitter::create(*memory_, transmit_queue(i), features, options.transmit));
        transmitters_.push_back(std::move(transmitter));
    }
    return {};
}

std::vector<NumberedQueue> NetDriver::numbered_queues() {
    std::vector<NumberedQueue> numbered;
    for (std::uint32_t i = 0; i < queues_->size(); ++i) {
        const bool is_control = i == 2U * pairs_;
        numbered.push_back({.vring = is_control ? 2U * max_pairs_ : i, .queue = &queues_->at(i)});
    }
    return numbered;
}

Result<std::uint8_t> NetDriver::command(const NetCommand& command) {
    if (!control_) {
        return failure(ErrorKind::unsupported, "there is no control queue");
    }
    return control_->run(command);
}

Result<void> NetDriver::set_pairs(std::uint16_t pairs) {
    const LittleEndian<std::uint16_t> data = pairs;
    SIDECORE_TRY_ASSIGN(const std::uint8_t ack,
                        command(NetClass::mq, net_mq_pairs_set, std::as_bytes(std::span(&data, 1))));
    if (ack != net_ack_ok) {
        return failure(ErrorKind::invalid_argument, fmt::format("VQ_PAIRS_SET to {} ended with {}", pairs, ack));
    }
    return {};
}

}  // namespace sidecore::frontend
