// SPDX-License-Identifier: Apache-2.0
#include "device/net_transmit_queue.hh"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/clock.hh"
#include "base/pieces.hh"
#include "base/prefetch.hh"
#include "device/net_layout.hh"

namespace sidecore::device {

using network::Packet;

namespace {

/// What a driver may say of a packet that it sends; of other flags, and of fields that no flag stands for, nothing is believed (5.1.6.2.1).
network::PacketInfo to_info(const net::Header& header) noexcept {
    network::PacketInfo info;
    info.flags = header.flags & network::PacketInfo::flag_needs_checksum;
    if (info.needs_checksum()) {
        info.checksum_start = header.checksum_start;
        info.checksum_offset = header.checksum_offset;
    }
    info.gso_type = header.gso_type;
    if (info.segmented()) {
        info.segment_bytes = header.segment_bytes;
        info.header_bytes = header.header_bytes;
    }
    return info;
}

}  // namespace

NetTransmitQueue::NetTransmitQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers,
                                   std::size_t header_bytes, std::unique_ptr<network::PacketSender> sender,
                                   std::unique_ptr<Throttle> throttle, NetCounters& counters,
                                   capture::CapturePoint& captures, std::uint16_t pair)
    : DeviceQueue(std::move(name), std::move(ring), std::move(notifiers)),
      header_bytes_(header_bytes),
      sender_(std::move(sender)),
      throttle_(std::move(throttle)),
      counters_(counters),
      captures_(captures),
      pair_(pair),
      segments_(std::make_unique_for_overwrite<iovec[]>(batch_segments)) {}

engine::Turn NetTransmitQueue::serve(std::uint32_t budget) noexcept {
    engine::Turn turn;
    if (throttle_->closed() && !throttle_->reopen()) {
        turn.end = engine::TurnEnd::waiting;
        return turn;
    }
    if (full_ && !sender_->can_send()) {
        return turn;
    }
    full_ = false;
    const std::uint64_t start = cycles();
    // Each batch is shown at once: its packets may be back with the driver, which sends them again into what room it sees.
    while (turn.requests < budget && send_batch(budget - turn.requests, turn)) {
        ring_.show();
    }
    turn.completed = turn.requests;
    turn.calls = publish();
    if (turn.requests != 0 && service_times_ != nullptr) {
        service_times_->record(cycles() - start, turn.requests);
    }
    ring_.check_memory();
    if (ring_.broken()) {
        report_broken();
        turn.end = engine::TurnEnd::broken;
    } else if (throttle_->closed()) {
        turn.end = engine::TurnEnd::waiting;
    } else if (!full_ && ring_.available() != 0) {
        turn.end = engine::TurnEnd::budget;
    }
    return turn;
}

/// False: no more now.
bool NetTransmitQueue::send_batch(std::uint32_t limit, engine::Turn& turn) noexcept {
    struct Taken {
        std::uint32_t bytes;
        NetCounter* drop;  // none: it is the next of packets_
    };
    std::array<Taken, batch_size> taken;
    const std::size_t popped = pop_some(std::min(std::size_t{limit}, batch_size));
    std::size_t good = 0;
    for (std::size_t i = 0; i < popped; ++i) {
        Packet& packet = packets_[good];
        NetCounter* const drop = read_packet(chains_[i], packet);
        taken[i] = {packet.bytes, drop};
        good += drop == nullptr ? 1 : 0;
    }
    const std::span<const Packet> packets(packets_.data(), good);
    const std::size_t admitted = good == 0 ? 0 : throttle_->admit(packets);
    if (captures_.active()) {
        let_capture(admitted);
    }
    const std::size_t sent = admitted == 0 ? 0 : sender_->send(packets.first(admitted));
    full_ = sent != admitted;
    if (full_) {
        throttle_->give_back(packets.subspan(sent, admitted - sent));
    }
    captured_ -= std::min(captured_, sent);
    std::size_t done = 0;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; done < popped; ++done) {
        const Taken& one = taken[done];
        if (one.drop != nullptr) {
            one.drop->add(1);
        } else if (i++ == sent) {
            break;  // the first that may not go yet, or that the back-end had no room for
        } else {
            bytes += one.bytes;
        }
        ring_.push(chains_[done].head, 0);
    }
    ring_.unpop(static_cast<std::uint16_t>(popped - done));
    counters_.packets.add(sent);
    counters_.bytes.add(bytes);
    turn.bytes += bytes;
    turn.requests += static_cast<std::uint32_t>(done);
    return sent == good && popped != 0;
}

/// Takes up to `most` chains into chains_, and returns how many. The lines where their headers lie come from the driver's CPU one by one if each is
/// asked for when the header is read, and together if that is done before.
std::size_t NetTransmitQueue::pop_some(std::size_t most) noexcept {
    const std::size_t there = std::min(most, std::size_t{ring_.available()});
    ring_.prefetch(static_cast<std::uint16_t>(there));
    std::size_t popped = 0;
    std::size_t used = 0;
    while (popped < there && batch_segments - used >= max_segments) {
        virtqueue::DescriptorChain& chain = chains_[popped];
        if (ring_.pop({segments_.get() + used, max_segments}, chain) != virtqueue::PopResult::chain) {
            break;
        }
        used += chain.readable.size() + chain.writable.size();
        if (!chain.readable.empty()) {
            const iovec& first = chain.readable.front();
            prefetch_for_reading(first.iov_base);
            prefetch_for_reading(static_cast<std::byte*>(first.iov_base) +
                                 std::min(first.iov_len - 1, cache_line_bytes));
        }
        ++popped;
    }
    return popped;
}

/// The first of packets_, but for those that were captured when there was no room for them.
void NetTransmitQueue::let_capture(std::size_t good) noexcept {
    if (good > captured_) {
        captures_.take(capture::Direction::out, pair_, realtime_ns(),
                       std::span<const Packet>(packets_).subspan(captured_, good - captured_));
        captured_ = good;
    }
}

/// Takes the header off the chain and checks what it says. Returns where to count the packet if it is to be dropped.
NetCounter* NetTransmitQueue::read_packet(const virtqueue::DescriptorChain& chain, Packet& packet) noexcept {
    if (chain.readable_bytes < header_bytes_ + network::min_packet_bytes) {
        return &counters_.dropped_too_short;
    }
    const std::uint64_t bytes = chain.readable_bytes - header_bytes_;
    if (bytes > network::max_packet_bytes) {
        return &counters_.dropped_too_long;
    }
    net::Header header{};
    std::span<iovec> data = chain.readable;
    take_front(data, std::as_writable_bytes(std::span(&header, 1)).first(header_bytes_));
    packet.info = to_info(header);
    packet.bytes = static_cast<std::uint32_t>(bytes);
    packet.data = data;
    const bool possible = network::check(packet.info, packet.bytes) == network::InfoFault::none;
    return possible ? nullptr : &counters_.dropped_bad_info;
}

bool NetTransmitQueue::arm() noexcept {
    if (throttle_->closed()) {
        return throttle_->arm();
    }
    if (full_) {
        if (sender_->arm()) {
            return true;
        }
        full_ = false;
    }
    return ring_.arm();
}

}  // namespace sidecore::device
