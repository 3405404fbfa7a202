// SPDX-License-Identifier: Apache-2.0
#include "network/forwarder.hh"

#include <algorithm>

#include "network/network_order.hh"
#include "network/piece_cursor.hh"

namespace sidecore::network {

namespace {

constexpr std::size_t source_offset = 6;

bool is_group(std::span<const std::byte, 6> mac) noexcept {
    return (load_8(mac.data()) & 1U) != 0;
}

bool is_zero(std::span<const std::byte, 6> mac) noexcept {
    return std::all_of(mac.begin(), mac.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

std::uint64_t mixed(std::uint64_t value) noexcept {
    value = (value ^ value >> 32U) * 0x9e3779b97f4a7c15U;
    return value ^ value >> 29U;
}

/// Of one end of a flow.
std::uint64_t hash_of(std::span<const std::byte> address, std::uint64_t seed) noexcept {
    for (; address.size() >= 4; address = address.subspan(4)) {
        seed = mixed(seed ^ load_32(address.data()));
    }
    return address.size() < 2 ? seed : mixed(seed ^ load_16(address.data()));
}

}  // namespace

std::uint32_t flow_hash(std::span<const std::byte> head, const HeaderChain& chain) noexcept {
    std::size_t offset = 0;
    std::size_t length = source_offset;
    std::uint64_t ports[2] = {0, 0};
    // Fragments have no ports but for the first, and all of a datagram are one flow.
    if (chain.end == HeaderEnd::transport || chain.end == HeaderEnd::is_fragment) {
        offset = chain.network_offset + (chain.ipv6 ? 8U : 12U);
        length = chain.ipv6 ? 16 : 4;
        const std::size_t at = chain.transport_offset;
        const bool has_ports = chain.protocol == protocol_tcp || chain.protocol == protocol_udp;
        if (chain.end == HeaderEnd::transport && has_ports && at + 4 <= head.size()) {
            ports[0] = load_16(&head[at]) + 0x10000U;
            ports[1] = load_16(&head[at + 2]) + 0x10000U;
        }
    }
    // A sum does not know which of its two sides came first.
    const std::uint64_t sum =
        hash_of(head.subspan(offset, length), ports[0]) + hash_of(head.subspan(offset + length, length), ports[1]);
    return static_cast<std::uint32_t>(mixed(sum) >> 32U);
}

Forwarder::Forwarder(std::shared_ptr<SwitchCore> core, std::shared_ptr<SwitchPort> from, std::uint16_t pair)
    : core_(std::move(core)),
      from_(std::move(from)),
      pair_(pair),
      flat_(std::make_unique_for_overwrite<std::byte[]>(max_packet_bytes)) {}

void Forwarder::forward(std::span<const Packet> packets) noexcept {
    // First the generation, then the set: one that changes in between is taken again next time.
    if (const std::uint64_t generation = core_->generation(); generation != generation_) {
        ports_ = core_->ports();
        generation_ = generation;
    }
    now_s_ = core_->now_s();
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < packets.size(); ++i) {
        prefetch_ahead(packets, i);
        bytes += packets[i].bytes;
        forward_one(packets[i]);
    }
    PortCounters::add(from_->counters().frames_in, packets.size());
    PortCounters::add(from_->counters().bytes_in, bytes);
    unflushed_.flush();
}

void Forwarder::forward_one(const Packet& packet) noexcept {
    faulty_ = false;
    flow_known_ = false;
    if (!take_head(packet)) {
        return drop(PortDrop::unusable);
    }
    if (is_group(source()) || is_zero(source())) {
        return drop(PortDrop::bad_source);
    }
    std::uint16_t vlan = 0;
    if (!vlan_of_frame(vlan)) {
        return drop(PortDrop::wrong_vlan);
    }
    learn(vlan);
    if (is_group(destination())) {
        return flood(vlan);
    }
    const PortNumber number = core_->table().find(Station(vlan, destination()), now_s_);
    if (number == no_port || number >= ports_->size() || (*ports_)[number] == nullptr) {
        PortCounters::add(from_->counters().flooded);
        return flood(vlan);
    }
    unicast(number, vlan);
}

/// Makes frame_ of `packet`, with the copy of its beginning in place of that.
bool Forwarder::take_head(const Packet& packet) noexcept {
    if (packet.bytes < min_packet_bytes || packet.bytes > max_packet_bytes) {
        return false;
    }
    head_length_ = std::min<std::size_t>(head_bytes, packet.bytes);
    PieceCursor cursor(packet.data);
    if (cursor.copy(std::span(head_).first(head_length_)) != head_length_) {
        return false;
    }
    chain_ = follow_headers(head(), packet.bytes);
    std::size_t count = 0;
    pieces_[count++] = {head_.data(), head_length_};
    const std::size_t rest = packet.bytes - head_length_;
    std::size_t found = 0;
    if (packet.data.size() < pieces_.size()) {
        found = cursor.each(rest, [&](std::span<const std::byte> run) {
            // NOLINTNEXTLINE(*-const-cast): iovec has no const
            pieces_[count++] = {const_cast<std::byte*>(run.data()), run.size()};
        });
    } else {
        found = cursor.copy({flat_.get(), rest});
        pieces_[count++] = {flat_.get(), found};
    }
    frame_ = {packet.info, std::span(pieces_).first(count), packet.bytes};
    return found == rest;
}

/// False: it is tagged for one that the port is not in.
bool Forwarder::vlan_of_frame(std::uint16_t& vlan) const noexcept {
    const std::uint16_t own = from_->options().vlan;
    vlan = chain_.vlan == 0 ? own : chain_.vlan;  // IEEE 802.1Q, 6.9: a tag with number 0 is about priority only
    return from_->carries(vlan);
}

void Forwarder::learn(std::uint16_t vlan) noexcept {
    const MacTable::Learned learned = core_->table().learn(Station(vlan, source()), from_->number(), now_s_);
    if (learned == MacTable::Learned::refused) {
        PortCounters::add(from_->counters().not_learned);
    }
    if (from_->steers()) {
        from_->sent_from(flow(), pair_);
    }
}

void Forwarder::flood(std::uint16_t vlan) noexcept {
    for (const std::shared_ptr<SwitchPort>& port : *ports_) {
        const bool other = port != nullptr && port->number() != from_->number();
        if (other && port->carries(vlan) && !(from_->options().isolated && port->options().isolated)) {
            give(*port);
        }
    }
}

void Forwarder::unicast(PortNumber number, std::uint16_t vlan) noexcept {
    SwitchPort& port = *(*ports_)[number];
    if (number == from_->number()) {
        return drop(PortDrop::own_side);
    }
    if (from_->options().isolated && port.options().isolated) {
        return drop(PortDrop::isolated);
    }
    if (!port.carries(vlan)) {  // its number was another port's until a moment ago
        return drop(PortDrop::wrong_vlan);
    }
    give(port);
}

void Forwarder::give(SwitchPort& port) noexcept {
    if (segmenter_.begin(frame_, port.coverage()) != OffloadFault::none) {
        if (!faulty_) {
            faulty_ = true;
            drop(PortDrop::offload_fault);
        }
        return;
    }
    const std::uint16_t pair = port.steers() ? port.pair_for(flow()) : std::uint16_t{0};
    while (const Packet* packet = segmenter_.next()) {
        port.deliver(*packet, pair, unflushed_);
    }
}

std::uint32_t Forwarder::flow() noexcept {
    if (!flow_known_) {
        flow_ = flow_hash(head(), chain_);
        flow_known_ = true;
    }
    return flow_;
}

void Forwarder::drop(PortDrop why) noexcept {
    from_->counters().drop(why);
    dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace sidecore::network
