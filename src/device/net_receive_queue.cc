// SPDX-License-Identifier: Apache-2.0
#include "device/net_receive_queue.hh"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

#include "base/clock.hh"
#include "base/pieces.hh"
#include "base/prefetch.hh"
#include "device/net_layout.hh"

namespace sidecore::device {

using network::max_packet_bytes;
using network::PacketInfo;
using virtqueue::QueueFault;

namespace {

/// Cases of QueueFault::Kind::bad_request.
constexpr std::uint64_t readable_buffer = 1;
constexpr std::uint64_t no_room_for_header = 2;

/// A net::Header, put together in registers. One whose fields are stored one by one, and that is then copied in larger pieces, is not read back before
/// all stores in front of it are done, which are those of packets to lines that the driver's CPU has.
using HeaderWords = std::array<std::uint32_t, sizeof(net::Header) / sizeof(std::uint32_t)>;

HeaderWords words_of(const PacketInfo& info, std::uint16_t num_buffers) noexcept {
    static_assert(std::endian::native == std::endian::little);
    const auto both = [](std::uint16_t low, std::uint16_t high) { return low | std::uint32_t{high} << 16U; };
    return {info.flags | std::uint32_t{info.gso_type} << 8U | std::uint32_t{info.header_bytes} << 16U,
            both(info.segment_bytes, info.checksum_start), both(info.checksum_offset, num_buffers)};
}

bool fits_words(const iovec& place) noexcept {
    return place.iov_len >= sizeof(HeaderWords) &&
           reinterpret_cast<std::uintptr_t>(place.iov_base) % alignof(std::uint32_t) == 0;
}

/// Laid out for a packet at least, as far as the driver has buffers.
constexpr std::uint32_t least_room = 2048;

}  // namespace

NetReceiveQueue::NetReceiveQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers, Options options,
                                 std::unique_ptr<network::PacketReceiver> receiver, std::unique_ptr<Throttle> throttle,
                                 NetCounters& counters, capture::CapturePoint& captures, std::uint16_t pair)
    : DeviceQueue(std::move(name), std::move(ring), std::move(notifiers)),
      options_(options),
      receiver_(std::move(receiver)),
      throttle_(std::move(throttle)),
      counters_(counters),
      captures_(captures),
      pair_(pair),
      segments_(std::make_unique_for_overwrite<iovec[]>(segments_possible)),
      room_(std::make_unique_for_overwrite<iovec[]>(segments_possible + 1)),
      overflow_(std::make_unique_for_overwrite<std::byte[]>(max_packet_bytes)),
      waiting_(std::make_unique_for_overwrite<std::byte[]>(max_packet_bytes)) {}

bool NetReceiveQueue::has_work() noexcept {
    if (waiting_bytes_ != 0) {
        return ring_.pending() > waiting_for_more_;
    }
    return throttle_->closed() || (ring_.has_available() && receiver_->has_packet());
}

engine::Turn NetReceiveQueue::serve(std::uint32_t budget) noexcept {
    engine::Turn turn;
    const std::uint64_t start = cycles();
    bool more = !throttle_->closed() || throttle_->reopen();
    while (more && turn.requests < budget) {
        more = waiting_bytes_ != 0 ? place_waiting(turn) : receive_one(turn);
    }
    put_back();
    if (turn.requests != 0 && service_times_ != nullptr) {
        service_times_->record(cycles() - start, turn.requests);
    }
    turn.completed = turn.requests;
    turn.calls = publish();
    ring_.check_memory();
    if (ring_.broken()) {
        report_broken();
        turn.end = engine::TurnEnd::broken;
    } else if (throttle_->closed()) {
        turn.end = engine::TurnEnd::waiting;
    } else if (more) {
        turn.end = engine::TurnEnd::budget;
    }
    return turn;
}

/// False: no packet, no buffer, not enough of them, or no packet may be taken yet.
bool NetReceiveQueue::receive_one(engine::Turn& turn) noexcept {
    gather(usual_bytes_);
    if (buffers_begin_ == buffers_end_) {
        return false;
    }
    if (!throttle_->ready()) {
        if (receiver_->has_packet()) {
            throttle_->close();
        }
        return false;
    }
    PacketInfo info;
    const Room laid_out = lay_out_room(options_.mergeable ? usual_bytes_ : room());
    room_[laid_out.pieces] = {overflow_.get(), max_packet_bytes};
    const std::uint32_t bytes = receiver_->receive(info, {room_.get(), laid_out.pieces + 1});
    if (bytes == 0) {
        return false;
    }
    throttle_->charge(info, bytes);
    // As much as the last large ones, and less by and by.
    usual_bytes_ = bytes > usual_bytes_ ? bytes : std::max(usual_bytes_ - (usual_bytes_ - bytes) / 64, least_room);
    const std::uint64_t placed = laid_out.bytes;
    if (bytes > placed) {
        if (!options_.mergeable) {
            return drop();
        }
        gather(bytes);
        if (room() < bytes) {
            take_front_of_room(placed);
            std::memcpy(waiting_.get() + placed, overflow_.get(), bytes - placed);
            waiting_info_ = info;
            waiting_bytes_ = bytes;
            return wait_for_buffers();
        }
        write(std::span(overflow_.get(), bytes - placed), placed);
    }
    finish(info, bytes, turn);
    return true;
}

/// The packet that waits has found buffers, or does not wait any more. False: it waits on.
bool NetReceiveQueue::place_waiting(engine::Turn& turn) noexcept {
    gather(waiting_bytes_);
    if (room() < waiting_bytes_) {
        return wait_for_buffers();
    }
    write(std::span(waiting_.get(), waiting_bytes_), 0);
    finish(waiting_info_, std::exchange(waiting_bytes_, 0), turn);
    return true;
}

/// What is in waiting_ waits until there are more buffers than were gathered for it; the driver may have added some already. True: it need not
/// wait, as earlier packets have taken up the room for gathered ones, or no number of them would do, so it is dropped.
bool NetReceiveQueue::wait_for_buffers() noexcept {
    if (ring_.broken()) {
        return false;
    }
    const bool first = buffers_begin_ == 0;
    const bool gathered_all = can_gather();
    waiting_for_more_ = static_cast<std::uint16_t>(buffers_end_ - buffers_begin_);
    put_back();
    if (!gathered_all && !first) {
        return true;
    }
    if (!gathered_all || waiting_for_more_ == ring_.size()) {
        waiting_bytes_ = 0;
        return drop();
    }
    return false;
}

bool NetReceiveQueue::drop() noexcept {
    counters_.dropped_no_room.add(1);
    return true;
}

/// Pops buffers until there is room for a packet of so many bytes, or no more are to be had. Without mergeable buffers a packet gets one
/// buffer, whatever its size.
void NetReceiveQueue::gather(std::uint64_t bytes) noexcept {
    while ((buffers_begin_ == buffers_end_ || (options_.mergeable && room() < bytes)) && pop_some()) {
    }
}

/// The more packets a turn has, and the one before it had, the more buffers are popped ahead of them: so the lines that are written next are on their
/// way from the driver's CPU together, and turns with a single packet pop hardly more than they need. False: there is none.
bool NetReceiveQueue::pop_some() noexcept {
    std::uint32_t popped = 0;
    while (popped < ahead_ && pop_one()) {
        ++popped;
    }
    ahead_ = std::min(ahead_ * 2, most_ahead);
    ring_.prefetch(static_cast<std::uint16_t>(std::min<std::uint32_t>(ahead_, ring_.known_available())));
    return popped != 0;
}

/// Whether there is a place for one more buffer.
bool NetReceiveQueue::can_gather() const noexcept {
    return buffers_end_ != max_buffers && segments_possible - segments_end_ >= max_segments;
}

bool NetReceiveQueue::pop_one() noexcept {
    if (!can_gather()) {
        return false;
    }
    virtqueue::DescriptorChain chain;
    if (ring_.pop({segments_.get() + segments_end_, max_segments}, chain) != virtqueue::PopResult::chain) {
        return false;
    }
    if (!chain.readable.empty() || chain.writable_bytes < options_.header_bytes) {
        const std::uint64_t fault = chain.readable.empty() ? no_room_for_header : readable_buffer;
        ring_.break_with({QueueFault::Kind::bad_request, chain.head, fault, 0});
        return false;
    }
    const iovec& first = chain.writable.front();
    prefetch_room(first);
    buffers_[buffers_end_++] = {chain.head, static_cast<std::uint32_t>(segments_end_),
                                static_cast<std::uint32_t>(chain.writable.size()), chain.writable_bytes};
    segments_end_ += chain.writable.size();
    gathered_bytes_ += chain.writable_bytes;
    return true;
}

/// Whether nothing of the packet is in the header's cache line. Then the line is only read, as a rule: mostly the header is what it was last time, and
/// both CPUs can keep it.
bool NetReceiveQueue::header_is_alone(const void* begin) const noexcept {
    return (reinterpret_cast<std::uintptr_t>(begin) + options_.header_bytes) % cache_line_bytes == 0;
}

/// Asks for the lines that a small packet is written to.
void NetReceiveQueue::prefetch_room(const iovec& first) const noexcept {
    auto* const begin = static_cast<std::byte*>(first.iov_base);
    if (header_is_alone(begin)) {
        prefetch_for_reading(begin);
    } else {
        prefetch_for_writing(begin);
    }
    prefetch_for_writing(begin + std::min(first.iov_len - 1, cache_line_bytes));
}

/// For one packet, in the buffers gathered.
std::uint64_t NetReceiveQueue::room() const noexcept {
    if (buffers_begin_ == buffers_end_) {
        return 0;
    }
    return (options_.mergeable ? gathered_bytes_ : buffers_[buffers_begin_].bytes) - options_.header_bytes;
}

/// Fills room_ with segments of the gathered buffers but for the header's place: room for `bytes` of one packet, or a little more, or as much as
/// there is.
NetReceiveQueue::Room NetReceiveQueue::lay_out_room(std::uint64_t bytes) noexcept {
    Room room;
    std::size_t skip = options_.header_bytes;
    const Buffer& buffer = buffers_[buffers_begin_];
    const std::size_t end = options_.mergeable ? segments_end_ : buffer.first + buffer.count;
    for (std::size_t i = buffer.first; i < end && room.bytes < bytes; ++i) {
        const iovec& segment = segments_[i];
        const std::size_t skipped = std::min(skip, segment.iov_len);
        skip -= skipped;
        if (skipped != segment.iov_len) {
            room_[room.pieces++] = {static_cast<std::byte*>(segment.iov_base) + skipped, segment.iov_len - skipped};
            room.bytes += segment.iov_len - skipped;
        }
    }
    return room;
}

/// Copies `data` into the gathered buffers, from byte `offset` of the packet on.
void NetReceiveQueue::write(std::span<const std::byte> data, std::uint64_t offset) noexcept {
    lay_out_room(offset + data.size());
    for (const iovec* piece = room_.get(); !data.empty(); ++piece) {
        const std::size_t skipped = std::min<std::uint64_t>(offset, piece->iov_len);
        offset -= skipped;
        const std::size_t here = std::min(data.size(), piece->iov_len - skipped);
        std::memcpy(static_cast<std::byte*>(piece->iov_base) + skipped, data.data(), here);
        data = data.subspan(here);
    }
}

/// The first bytes of a packet whose buffers are to be put back, into waiting_. The driver may have changed them: it is its own packet.
void NetReceiveQueue::take_front_of_room(std::uint64_t bytes) noexcept {
    std::span<iovec> pieces(room_.get(), lay_out_room(bytes).pieces);
    take_front(pieces, {waiting_.get(), bytes});
}

/// What lies in the gathered buffers. The driver may have changed it: it is its own packet.
void NetReceiveQueue::let_capture(const PacketInfo& info, std::uint32_t bytes) noexcept {
    const network::Packet packet{info, {room_.get(), lay_out_room(bytes).pieces}, bytes};
    captures_.take(capture::Direction::in, pair_, realtime_ns(), {&packet, 1});
}

/// A packet of so many bytes lies in the gathered buffers: its header is written, and they are handed to the driver, but for those that
/// it does not need.
void NetReceiveQueue::hand_over(const PacketInfo& info, std::uint32_t bytes) noexcept {
    if (captures_.active()) {
        let_capture(info, bytes);
    }
    const std::size_t first = buffers_begin_;
    std::uint64_t left = std::uint64_t{bytes} + options_.header_bytes;
    while (left != 0) {
        const Buffer& buffer = buffers_[buffers_begin_++];
        const std::uint64_t used = std::min(left, buffer.bytes);
        ring_.push(buffer.head, static_cast<std::uint32_t>(used));
        gathered_bytes_ -= buffer.bytes;
        left -= used;
    }
    put_header(info, buffers_[first], static_cast<std::uint16_t>(buffers_begin_ - first));
    if (buffers_begin_ == buffers_end_) {
        buffers_begin_ = buffers_end_ = segments_end_ = 0;
    }
    ++handed_over_;
    counters_.packets.add(1);
    counters_.bytes.add(bytes);
}

/// Into `buffer`, the first of so many.
void NetReceiveQueue::put_header(const PacketInfo& info, const Buffer& buffer, std::uint16_t num_buffers) noexcept {
    const std::span<iovec> place(segments_.get() + buffer.first, buffer.count);
    const HeaderWords words = words_of(info, num_buffers);
    if (options_.header_bytes == sizeof words && fits_words(place.front())) {
        auto* const to = static_cast<std::uint32_t*>(place.front().iov_base);
        const bool alone = header_is_alone(to);
        for (std::size_t i = 0; i < words.size(); ++i) {
            std::atomic_ref<std::uint32_t> word(to[i]);
            // Elsewhere to look would be to wait for the line, which a store does not.
            if (!alone || word.load(std::memory_order_relaxed) != words[i]) {
                word.store(words[i], std::memory_order_relaxed);
            }
        }
        return;
    }
    std::span<iovec> rest = place;
    put_front(rest, std::as_bytes(std::span(words)).first(options_.header_bytes));
}

void NetReceiveQueue::finish(const PacketInfo& info, std::uint32_t bytes, engine::Turn& turn) noexcept {
    hand_over(info, bytes);
    turn.bytes += bytes;
    ++turn.requests;
}

void NetReceiveQueue::put_back() noexcept {
    ring_.unpop(static_cast<std::uint16_t>(buffers_end_ - buffers_begin_));
    buffers_begin_ = buffers_end_ = segments_end_ = 0;
    gathered_bytes_ = 0;
    ahead_ = std::clamp<std::uint32_t>(std::exchange(handed_over_, 0), 1, most_ahead);
    expected_ = 0;
}

bool NetReceiveQueue::arm() noexcept {
    if (waiting_bytes_ != 0) {
        return ring_.arm_beyond(waiting_for_more_);
    }
    if (throttle_->closed()) {
        return throttle_->arm();
    }
    if (!ring_.has_available() && ring_.arm()) {
        return true;
    }
    return receiver_->arm();
}

void NetReceiveQueue::disarm() noexcept {
    ring_.disarm();
    receiver_->disarm();
}

// ---- another queue's turn on the same worker ----

/// There is room for it.
void NetReceiveQueue::copy_into_room(const network::Packet& packet) noexcept {
    const iovec& first = segments_[buffers_[buffers_begin_].first];
    if (packet.data.size() == 1 && first.iov_len >= packet.bytes + options_.header_bytes) {
        std::memcpy(static_cast<std::byte*>(first.iov_base) + options_.header_bytes, packet.data.front().iov_base,
                    packet.bytes);
        return;
    }
    std::uint64_t offset = 0;
    lay_out_room(packet.bytes);
    const iovec* to = room_.get();
    for (const iovec& piece : packet.data) {
        const auto* from = static_cast<const std::byte*>(piece.iov_base);
        for (std::size_t left = piece.iov_len; left != 0;) {
            const std::size_t here = std::min(left, to->iov_len - offset);
            std::memcpy(static_cast<std::byte*>(to->iov_base) + offset, from, here);
            from += here;
            left -= here;
            offset += here;
            if (offset == to->iov_len) {
                ++to;
                offset = 0;
            }
        }
    }
}

void NetReceiveQueue::expect(std::size_t packets) noexcept {
    expected_ = packets;
    ahead_ = static_cast<std::uint32_t>(std::clamp<std::size_t>(packets, 1, most_ahead));
    ring_.prefetch(static_cast<std::uint16_t>(std::min<std::size_t>(packets, ring_.available())));
}

bool NetReceiveQueue::deliver(const network::Packet& packet) noexcept {
    if (waiting_bytes_ != 0 || throttle_->closed()) {
        return false;
    }
    gather(packet.bytes);
    if (room() < packet.bytes || ring_.broken() || !throttle_->admit_now(packet)) {
        put_back();
        if (ring_.broken()) {
            report_broken();
        }
        return false;
    }
    copy_into_room(packet);
    hand_over(packet.info, packet.bytes);
    // One buffer for one that was used, and not many when none is left: so the lines that come and those that are written to overlap.
    expected_ -= std::min<std::size_t>(expected_, 1);
    if (buffers_end_ - buffers_begin_ < std::min<std::size_t>(expected_, most_ahead)) {
        pop_one();
    }
    ++elsewhere_.requests;
    ++elsewhere_.completed;
    elsewhere_.bytes += packet.bytes;
    return true;
}

void NetReceiveQueue::flush() noexcept {
    put_back();
    ring_.show();
    elsewhere_.calls += call();
    if (ring_.broken()) {
        report_broken();  // no turn of its own does: a broken ring has no work
    }
}

}  // namespace sidecore::device
