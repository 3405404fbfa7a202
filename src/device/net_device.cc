// SPDX-License-Identifier: Apache-2.0
#include "device/net_device.hh"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/format.hh"
#include "base/log.hh"
#include "device/net_receive_queue.hh"
#include "device/net_transmit_queue.hh"

namespace sidecore::device {

namespace {

constexpr std::size_t config_bytes = offsetof(net::Config, duplex) + sizeof(net::Config::duplex);

/// VLAN ids are 12 bits wide.
constexpr std::size_t vlan_count = 4096;

std::uint64_t if_so(bool condition, std::uint64_t features) {
    return condition ? features : 0;
}

/// What a driver may leave to a back-end that takes `offloads` (5.1.3.1: each needs CSUM).
std::uint64_t host_features(const network::Offloads& offloads) {
    if (!offloads.checksum) {
        return 0;
    }
    return net::feature_csum | if_so(offloads.tso4, net::feature_host_tso4) |
           if_so(offloads.tso6, net::feature_host_tso6) |
           if_so(offloads.ecn && (offloads.tso4 || offloads.tso6), net::feature_host_ecn) |
           if_so(offloads.ufo, net::feature_host_ufo) | if_so(offloads.uso, net::feature_host_uso);
}

/// What a driver may be given by a back-end that gives `offloads`.
std::uint64_t guest_features(const network::Offloads& offloads) {
    if (!offloads.checksum) {
        return 0;
    }
    return net::feature_guest_csum | if_so(offloads.tso4, net::feature_guest_tso4) |
           if_so(offloads.tso6, net::feature_guest_tso6) |
           if_so(offloads.ecn && (offloads.tso4 || offloads.tso6), net::feature_guest_ecn) |
           if_so(offloads.ufo, net::feature_guest_ufo) |
           if_so(offloads.uso, net::feature_guest_uso4 | net::feature_guest_uso6);
}

constexpr std::uint64_t all_guest_features = net::feature_guest_csum | net::feature_guest_tso4 |
                                             net::feature_guest_tso6 | net::feature_guest_ecn | net::feature_guest_ufo |
                                             net::feature_guest_uso4 | net::feature_guest_uso6;

/// What a driver has accepted, as the back-end is to be told.
network::Offloads to_offloads(std::uint64_t features) {
    const auto has = [features](std::uint64_t feature) { return (features & feature) != 0; };
    network::Offloads offloads;
    offloads.checksum = has(net::feature_guest_csum);
    if (offloads.checksum) {
        offloads.tso4 = has(net::feature_guest_tso4);
        offloads.tso6 = has(net::feature_guest_tso6);
        offloads.ecn = has(net::feature_guest_ecn);
        offloads.ufo = has(net::feature_guest_ufo);
        offloads.uso = has(net::feature_guest_uso4) && has(net::feature_guest_uso6);
    }
    return offloads;
}

template <typename T>
std::optional<T> read(std::span<const std::byte>& data) {
    if (data.size() < sizeof(T)) {
        return std::nullopt;
    }
    T value;
    std::memcpy(&value, data.data(), sizeof value);
    data = data.subspan(sizeof value);
    return value;
}

}  // namespace

Result<std::unique_ptr<NetDevice>> NetDevice::create(std::unique_ptr<network::NetworkBackend> backend,
                                                     Options options) {
    const std::uint16_t most = std::min(max_pairs_possible, backend->max_pairs());
    if (options.pairs == 0 || options.pairs > most) {
        return failure(ErrorKind::invalid_argument, fmt::format("a net device on {} has 1 to {} queue pairs, not {}",
                                                                backend->description(), most, options.pairs));
    }
    if (options.mtu != 0 && (options.mtu < min_mtu || options.mtu > max_mtu)) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("an MTU is {} to {}, not {}", min_mtu, max_mtu, options.mtu));
    }
    if (options.mac && ((*options.mac)[0] & 1U) != 0) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{:02x} is a multicast address", fmt::join(*options.mac, ":")));
    }
    std::unique_ptr<NetDevice> device(new NetDevice(std::move(backend), std::move(options)));
    device->forget_driver();
    return device;
}

NetDevice::NetDevice(std::unique_ptr<network::NetworkBackend> backend, Options options)
    : backend_(std::move(backend)),
      options_(std::move(options)),
      features_(net::feature_version_1 | net::feature_in_order | net::feature_status),
      mtu_(options_.mtu),
      mac_(options_.mac),
      counters_(std::make_unique<PairCounters[]>(options_.pairs)),
      transmit_limiter_(options_.clock),
      receive_limiter_(options_.clock) {
    set_limits(options_.limits);
    features_ |= if_so(options_.event_index, net::feature_event_index) |
                 if_so(options_.indirect, net::feature_indirect) | if_so(options_.mergeable, net::feature_mrg_rxbuf) |
                 if_so(mac_.has_value(), net::feature_mac) | if_so(options_.mtu != 0, net::feature_mtu) |
                 if_so(options_.speed_mbit != 0, net::feature_speed_duplex) |
                 if_so(options_.pairs > 1, net::feature_mq);
    if (options_.offloads) {
        features_ |= host_features(backend_->takes()) | guest_features(backend_->gives());
    }
    if (options_.control) {
        features_ |= net::feature_ctrl_vq | net::feature_ctrl_rx | net::feature_ctrl_rx_extra | net::feature_ctrl_vlan |
                     net::feature_ctrl_mac_addr | net::feature_guest_announce |
                     if_so((features_ & all_guest_features) != 0, net::feature_ctrl_guest_offloads);
    }
}

std::string NetDevice::description() const {
    const std::lock_guard lock(mutex_);
    return backend_->description();
}

std::uint16_t NetDevice::max_queues() const noexcept {
    return static_cast<std::uint16_t>(2 * options_.pairs + (options_.control ? 1 : 0));
}

void NetDevice::accept_features(std::uint64_t features) {
    accepted_ = features;
    const std::lock_guard lock(mutex_);
    if (auto accepted = backend_->accept(to_offloads(features)); !accepted) {
        spdlog::error("{}: {}", options_.name, accepted.error().message);
    }
}

/// "controlq is 2N where N is the number of queue pairs", which is 1 without MQ (5.1.2).
std::uint16_t NetDevice::control_index() const noexcept {
    return static_cast<std::uint16_t>((accepted_ & net::feature_mq) != 0 ? 2 * options_.pairs : 2);
}

Result<std::unique_ptr<DeviceQueue>> NetDevice::create_queue(std::uint16_t index, virtqueue::SplitQueue ring,
                                                             Notifiers notifiers) {
    const std::uint64_t accepted = accepted_;
    if ((accepted & net::feature_ctrl_vq) != 0 && index == control_index()) {
        const std::lock_guard lock(mutex_);
        has_control_queue_ = true;
        return std::make_unique<NetControlQueue>(fmt::format("{} control queue", options_.name), std::move(ring),
                                                 std::move(notifiers), static_cast<NetCommands&>(*this));
    }
    const auto pair = static_cast<std::uint16_t>(index / 2);
    if (pair >= options_.pairs) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("queue {} is none of {} queue pairs, and no control queue with these features",
                                   index, options_.pairs));
    }
    const bool mergeable = (accepted & net::feature_mrg_rxbuf) != 0;
    const bool long_header = mergeable || (accepted & net::feature_version_1) != 0;
    const std::size_t header_bytes = long_header ? sizeof(net::Header) : net::Header::short_bytes;
    const std::lock_guard lock(mutex_);
    if (index % 2 == 0) {
        SIDECORE_TRY_ASSIGN(auto throttle, Throttle::create(receive_limiter_, counters_[pair].received));
        SIDECORE_TRY_ASSIGN(auto receiver, backend_->open_receiver(pair));
        return std::make_unique<NetReceiveQueue>(
            fmt::format("{} receive queue {}", options_.name, pair), std::move(ring), std::move(notifiers),
            NetReceiveQueue::Options{.header_bytes = header_bytes, .mergeable = mergeable}, std::move(receiver),
            std::move(throttle), counters_[pair].received, *captures_, pair);
    }
    SIDECORE_TRY_ASSIGN(auto throttle, Throttle::create(transmit_limiter_, counters_[pair].transmitted));
    SIDECORE_TRY_ASSIGN(auto sender, backend_->open_sender(pair));
    return std::make_unique<NetTransmitQueue>(fmt::format("{} transmit queue {}", options_.name, pair), std::move(ring),
                                              std::move(notifiers), header_bytes, std::move(sender),
                                              std::move(throttle), counters_[pair].transmitted, *captures_, pair);
}

/// Where the driver has no control queue to say how many pairs it uses, those are used whose receive queues the front-end has enabled.
void NetDevice::queue_enabled(std::uint16_t index, bool enabled) {
    if (index % 2 != 0 || index / 2 >= options_.pairs) {
        return;
    }
    const std::lock_guard lock(mutex_);
    const std::uint32_t bit = std::uint32_t{1} << (index / 2U);
    enabled_receivers_ = enabled ? enabled_receivers_ | bit : enabled_receivers_ & ~bit;
    if ((accepted_ & net::feature_ctrl_vq) == 0) {
        const auto pairs = static_cast<std::uint16_t>(std::countr_one(enabled_receivers_));
        if (auto used = use_pairs(std::clamp<std::uint16_t>(pairs, 1, options_.pairs)); !used) {
            spdlog::error("{}: {}", options_.name, used.error().message);
        }
    }
}

Result<void> NetDevice::use_pairs(std::uint16_t pairs) {
    if (pairs == pairs_in_use_) {
        return {};
    }
    SIDECORE_TRY(backend_->set_pairs(pairs));
    pairs_in_use_ = pairs;
    return {};
}

std::uint16_t NetDevice::pairs_in_use() const {
    const std::lock_guard lock(mutex_);
    return pairs_in_use_;
}

std::optional<MacAddress> NetDevice::mac() const {
    const std::lock_guard lock(mutex_);
    return mac_;
}

NetFilter NetDevice::filter() const {
    const std::lock_guard lock(mutex_);
    return filter_;
}

net::Config NetDevice::config() const {
    net::Config config{};
    {
        const std::lock_guard lock(mutex_);
        config.mac = mac_.value_or(MacAddress{});
        config.status = announcing_ ? net::Config::status_announce : std::uint16_t{0};
    }
    config.status = config.status | (link_up_ ? net::Config::status_link_up : std::uint16_t{0});
    config.max_virtqueue_pairs = options_.pairs;
    config.mtu = mtu_.load();
    config.speed = options_.speed_mbit != 0 ? options_.speed_mbit : net::Config::speed_unknown;
    config.duplex = options_.speed_mbit != 0 ? net::Config::duplex_full : net::Config::duplex_unknown;
    return config;
}

void NetDevice::read_config(std::uint32_t offset, std::span<std::byte> out) const {
    const net::Config now = config();
    std::fill(out.begin(), out.end(), std::byte{0});
    if (offset < config_bytes && !out.empty()) {
        const std::size_t bytes = std::min(out.size(), config_bytes - offset);
        std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&now) + offset, bytes);
    }
}

/// Drivers from before VERSION_1 write the MAC address here, and so does a migration's destination; all else is ours to say.
Result<void> NetDevice::write_config(std::uint32_t offset, std::span<const std::byte> data, bool migration) {
    if (!migration && std::uint64_t{offset} + data.size() > sizeof(net::Config::mac)) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{} configuration bytes at {} are not the driver's to write", data.size(), offset));
    }
    const std::lock_guard lock(mutex_);
    MacAddress mac = mac_.value_or(MacAddress{});
    for (std::size_t i = 0; i < data.size() && offset + i < mac.size(); ++i) {
        mac[offset + i] = std::to_integer<std::uint8_t>(data[i]);
    }
    mac_ = mac;
    return {};
}

/// With the mutex, or before anybody else has the device.
void NetDevice::forget_driver() {
    accepted_ = 0;
    mac_ = options_.mac;
    filter_ = {};
    vlans_.assign(vlan_count, false);
    has_control_queue_ = announcing_ = false;
    for (const auto& done : {backend_->accept({}), use_pairs(1)}) {
        if (!done) {
            spdlog::error("{}: {}", options_.name, done.error().message);
        }
    }
}

void NetDevice::reset() {
    const std::lock_guard lock(mutex_);
    forget_driver();
}

Result<void> NetDevice::announce_mac(std::span<const std::uint8_t, 6> mac) {
    const std::lock_guard lock(mutex_);
    return backend_->announce(mac);
}

Result<bool> NetDevice::announce() {
    const std::lock_guard lock(mutex_);
    // A front-end may keep the control queue to itself; then it sees to announcements, too.
    const bool asks = has_control_queue_ && (accepted_ & net::feature_guest_announce) != 0;
    if (!asks && !mac_) {
        return failure(
            ErrorKind::unsupported,
            "its driver cannot be asked to announce itself now, and its MAC address is not known here; give it "
            "\"mac\" in the configuration");
    }
    announcing_ = announcing_ || asks;
    if (mac_) {
        SIDECORE_TRY(backend_->announce(*mac_));
    }
    return asks;
}

Result<void> NetDevice::set_mtu(std::uint16_t mtu) {
    if (mtu < min_mtu || mtu > max_mtu) {
        return failure(ErrorKind::invalid_argument, fmt::format("an MTU is {} to {}, not {}", min_mtu, max_mtu, mtu));
    }
    mtu_ = mtu;
    return {};
}

void NetDevice::set_limits(const NetLimits& limits) {
    transmit_limiter_.set(limits.transmit);
    receive_limiter_.set(limits.receive);
}

NetCounts NetDevice::transmitted() const noexcept {
    NetCounts sum;
    for (std::uint16_t pair = 0; pair < options_.pairs; ++pair) {
        sum.add(counters_[pair].transmitted);
    }
    return sum;
}

NetCounts NetDevice::received() const noexcept {
    NetCounts sum;
    for (std::uint16_t pair = 0; pair < options_.pairs; ++pair) {
        sum.add(counters_[pair].received);
    }
    return sum;
}

// ---- the control queue ----

bool NetDevice::carry_out(net::ControlClass kind, std::uint8_t command, std::span<const std::byte> data) noexcept {
    const std::lock_guard lock(mutex_);
    switch (kind) {
        case net::ControlClass::rx:
            return set_rx_mode(static_cast<net::RxCommand>(command), data);
        case net::ControlClass::mac:
            switch (static_cast<net::MacCommand>(command)) {
                case net::MacCommand::table_set:
                    return set_mac_filter(data);
                case net::MacCommand::addr_set:
                    return set_mac(data);
            }
            return false;
        case net::ControlClass::vlan:
            return set_vlan(static_cast<net::VlanCommand>(command), data);
        case net::ControlClass::announce:
            return command == net::announce_ack && data.empty() && std::exchange(announcing_, false);
        case net::ControlClass::mq:
            return command == net::mq_pairs_set && command_pairs(data);
        case net::ControlClass::guest_offloads:
            return command == net::guest_offloads_set && set_offloads(data);
    }
    return false;
}

bool NetDevice::set_rx_mode(net::RxCommand command, std::span<const std::byte> data) noexcept {
    if (data.size() != 1) {
        return false;
    }
    const bool on = data[0] != std::byte{0};
    switch (command) {
        case net::RxCommand::promiscuous:
            filter_.promiscuous = on;
            return true;
        case net::RxCommand::all_multicast:
            filter_.all_multicast = on;
            return true;
        case net::RxCommand::all_unicast:
            filter_.all_unicast = on;
            return true;
        case net::RxCommand::no_multicast:
            filter_.no_multicast = on;
            return true;
        case net::RxCommand::no_unicast:
            filter_.no_unicast = on;
            return true;
        case net::RxCommand::no_broadcast:
            filter_.no_broadcast = on;
            return true;
    }
    return false;
}

/// Two tables, unicast and multicast, each with its number of entries in front.
bool NetDevice::set_mac_filter(std::span<const std::byte> data) noexcept {
    std::array<std::uint32_t, 2> counts{};
    for (std::uint32_t& count : counts) {
        const auto entries = read<LittleEndian<std::uint32_t>>(data);
        if (!entries || data.size() / sizeof(MacAddress) < *entries) {
            return false;
        }
        count = *entries;
        data = data.subspan(count * sizeof(MacAddress));
    }
    if (!data.empty()) {
        return false;
    }
    filter_.unicast_addresses = counts[0];
    filter_.multicast_addresses = counts[1];
    return true;
}

bool NetDevice::set_mac(std::span<const std::byte> data) noexcept {
    if (data.size() != sizeof(MacAddress) || (std::to_integer<unsigned>(data[0]) & 1U) != 0) {
        return false;
    }
    MacAddress mac;
    std::memcpy(mac.data(), data.data(), mac.size());
    mac_ = mac;
    return true;
}

bool NetDevice::set_vlan(net::VlanCommand command, std::span<const std::byte> data) noexcept {
    const bool add = command == net::VlanCommand::add;
    const auto vlan = read<LittleEndian<std::uint16_t>>(data);
    if (!vlan || !data.empty() || *vlan >= vlan_count || (!add && command != net::VlanCommand::del)) {
        return false;
    }
    if (vlans_[*vlan] != add) {
        vlans_[*vlan] = add;
        filter_.vlans = add ? filter_.vlans + 1 : filter_.vlans - 1;
    }
    return true;
}

/// Feature bits of the offloads that it wants from now on; those of the others are 0 (5.1.6.5.6.1).
bool NetDevice::set_offloads(std::span<const std::byte> data) noexcept {
    const auto wanted = read<LittleEndian<std::uint64_t>>(data);
    if (!wanted || !data.empty() || (*wanted & ~(accepted_ & all_guest_features)) != 0) {
        return false;
    }
    return backend_->accept(to_offloads(*wanted)).has_value();
}

bool NetDevice::command_pairs(std::span<const std::byte> data) noexcept {
    const auto pairs = read<LittleEndian<std::uint16_t>>(data);
    if (!pairs || !data.empty() || *pairs == 0 || *pairs > options_.pairs) {
        return false;
    }
    return use_pairs(*pairs).has_value();
}

}  // namespace sidecore::device
