// SPDX-License-Identifier: Apache-2.0
#include "network/switch_port.hh"

#include "base/format.hh"

namespace sidecore::network {

std::string_view to_string(PortDrop drop) noexcept {
    switch (drop) {
        case PortDrop::bad_source:
            return "bad_source";
        case PortDrop::wrong_vlan:
            return "wrong_vlan";
        case PortDrop::isolated:
            return "isolated";
        case PortDrop::own_side:
            return "own_side";
        case PortDrop::offload_fault:
            return "offload_fault";
        case PortDrop::unusable:
            return "unusable";
        case PortDrop::not_received:
            return "not_received";
        case PortDrop::inbox_full:
            return "inbox_full";
        case PortDrop::not_accepted:
            return "not_accepted";
    }
    return "unknown";
}

PortTraffic PortCounters::read() const noexcept {
    const auto load = [](const Counter& counter) { return counter.load(std::memory_order_relaxed); };
    PortTraffic traffic;
    traffic.frames_in = load(frames_in);
    traffic.bytes_in = load(bytes_in);
    traffic.frames_out = load(frames_out);
    traffic.bytes_out = load(bytes_out);
    traffic.flooded = load(flooded);
    traffic.not_learned = load(not_learned);
    traffic.direct = load(direct);
    for (std::size_t i = 0; i < port_drops; ++i) {
        traffic.drops[i] = load(drops[i]);
    }
    return traffic;
}

void Unflushed::add(Inbox& inbox, PortCounters& counters, std::uint32_t bytes) noexcept {
    if (!inbox.unflushed) {
        inbox.unflushed = true;
        inbox.next_unflushed = first_;
        inbox.counters = &counters;
        inbox.delivered_frames = inbox.delivered_bytes = 0;
        first_ = &inbox;
    }
    ++inbox.delivered_frames;
    inbox.delivered_bytes += bytes;
}

void Unflushed::flush() noexcept {
    while (first_ != nullptr) {
        Inbox& inbox = *first_;
        first_ = inbox.next_unflushed;
        inbox.unflushed = false;
        PortCounters::add(inbox.counters->direct, inbox.delivered_frames);
        PortCounters::add(inbox.counters->frames_out, inbox.delivered_frames);
        PortCounters::add(inbox.counters->bytes_out, inbox.delivered_bytes);
        inbox.sink->flush();
    }
}

// ---- a guest ----

Result<std::shared_ptr<GuestPort>> GuestPort::create(PortNumber number, PortOptions options) {
    if (options.pairs == 0 || options.pairs > pairs_max) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("a port of a switch has 1 to {} pairs, not {}", pairs_max, options.pairs));
    }
    std::shared_ptr<GuestPort> port(new GuestPort(number, std::move(options)));
    for (std::uint16_t pair = 0; pair < port->options().pairs; ++pair) {
        SIDECORE_TRY_ASSIGN(port->inboxes_[pair].ring, PacketRing::create(port->options().inbox_bytes));
    }
    return port;
}

std::uint16_t GuestPort::pair_for(std::uint32_t flow) const noexcept {
    const std::uint16_t pairs = pairs_in_use_.load(std::memory_order_relaxed);
    if (pairs == 1) {
        return 0;
    }
    const std::uint32_t seen = steering_[flow % flows].load(std::memory_order_relaxed);
    const std::uint32_t pair = seen & 0xffU;
    if (pair != 0 && pair <= pairs && ((seen ^ flow) & ~0xffU) == 0) {
        return static_cast<std::uint16_t>(pair - 1);
    }
    return static_cast<std::uint16_t>((flow >> 16U) % pairs);
}

void GuestPort::sent_from(std::uint32_t flow, std::uint16_t pair) noexcept {
    static_assert(flows == 256 && pairs_max < 255, "the lowest 8 bits say which entry, and make room for the pair");
    std::atomic<std::uint32_t>& entry = steering_[flow % flows];
    const std::uint32_t seen = (flow & ~0xffU) | (pair + 1U);
    if (entry.load(std::memory_order_relaxed) != seen) {
        entry.store(seen, std::memory_order_relaxed);
    }
}

void GuestPort::deliver(const Packet& packet, std::uint16_t pair, Unflushed& unflushed) noexcept {
    Inbox& inbox = inboxes_[pair];
    if (!inbox.open.load(std::memory_order_acquire)) {
        counters().drop(PortDrop::not_received);
        return;
    }
    // Never past what waits: this thread has the receiver, so it may look at the ring as its consumer. That there is nothing to pop is not
    // enough: an earlier frame of ours may be behind one that another sender is still copying.
    if (inbox.sink_is_ours() && inbox.ring->unused() && inbox.sink->deliver(packet)) {
        unflushed.add(inbox, counters(), packet.bytes);
    } else if (inbox.ring->push(packet)) {
        count_out(packet);
    } else {
        counters().drop(PortDrop::inbox_full);
        inbox.lost.fetch_add(1, std::memory_order_relaxed);
    }
}

// ---- another back-end ----

Result<std::shared_ptr<UplinkPort>> UplinkPort::create(PortNumber number, PortOptions options,
                                                       std::unique_ptr<NetworkBackend> backend) {
    SIDECORE_TRY(backend->accept(backend->gives()));
    SIDECORE_TRY_ASSIGN(auto sender, backend->open_sender(0));
    std::shared_ptr<UplinkPort> port(new UplinkPort(number, std::move(options), std::move(backend), std::move(sender)));
    port->coverage().set(port->backend().takes());
    return port;
}

void UplinkPort::deliver(const Packet& packet, std::uint16_t, Unflushed&) noexcept {
    {
        const std::lock_guard lock(mutex_);
        if (sender_->send({&packet, 1}) == 1) {
            count_out(packet);
            return;
        }
    }
    counters().drop(PortDrop::inbox_full);
}

}  // namespace sidecore::network
