// SPDX-License-Identifier: Apache-2.0
#include "network/loopback_backend.hh"

#include "base/format.hh"
#include "network/pair_check.hh"

namespace sidecore::network {

namespace {

class LoopbackSender final : public PacketSender {
public:
    LoopbackSender(Inbox& inbox, const LoopbackBackend::State& state, std::uint16_t pair)
        : inbox_(inbox), ring_(*inbox.ring), state_(state), pair_(pair) {}

    std::size_t send(std::span<const Packet> packets) noexcept override {
        std::size_t done = send_directly(packets);
        while (done < packets.size()) {
            // Up to the next one that has to be left out, with one wake-up for all of them.
            std::size_t end = done;
            while (end < packets.size() && can_go(packets[end])) {
                ++end;
            }
            const std::size_t pushed = ring_.push(packets.subspan(done, end - done));
            done += pushed;
            if (done != end) {
                return done;
            }
            if (done < packets.size()) {
                drop();
                ++done;
            }
        }
        return done;
    }
    bool can_send() noexcept override { return ring_.has_room(); }
    int room_fd() const noexcept override { return ring_.room_fd(); }
    bool arm() noexcept override { return ring_.arm_room(); }
    std::uint64_t dropped() const noexcept override { return dropped_.load(std::memory_order_relaxed); }

private:
    /// Where the receiver is on this thread and nothing waits: straight to the guest. How many it is done with.
    std::size_t send_directly(std::span<const Packet> packets) noexcept {
        if (!inbox_.sink_is_ours() || !ring_.unused()) {
            return 0;
        }
        std::size_t done = 0;
        bool delivered = false;
        inbox_.sink->expect(packets.size());
        for (; done < packets.size(); ++done) {
            prefetch_ahead(packets, done);
            if (!can_go(packets[done])) {
                drop();
            } else if (inbox_.sink->deliver(packets[done])) {
                delivered = true;
            } else {
                break;
            }
        }
        if (delivered) {
            inbox_.sink->flush();
        }
        return done;
    }
    void drop() noexcept { dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
    bool can_go(const Packet& packet) const noexcept {
        return packet.bytes >= min_packet_bytes && packet.bytes <= max_packet_bytes &&
               pair_ < state_.pairs_in_use.load(std::memory_order_relaxed) && state_.accepted.covers(packet.info);
    }

    Inbox& inbox_;
    PacketRing& ring_;
    const LoopbackBackend::State& state_;
    const std::uint16_t pair_;
    std::atomic<std::uint64_t> dropped_{0};
};

class LoopbackReceiver final : public PacketReceiver {
public:
    explicit LoopbackReceiver(Inbox& inbox) : inbox_(inbox), ring_(*inbox.ring) {}
    ~LoopbackReceiver() override { inbox_.set_sink(nullptr); }
    LoopbackReceiver(const LoopbackReceiver&) = delete;
    LoopbackReceiver& operator=(const LoopbackReceiver&) = delete;

    bool has_packet() noexcept override { return !ring_.empty(); }
    std::uint32_t receive(PacketInfo& info, std::span<const iovec> room) noexcept override {
        const std::uint32_t bytes = ring_.pop(info, room);
        if (bytes != 0) {
            ring_.signal_room();
        }
        return bytes;
    }
    int packet_fd() const noexcept override { return ring_.fd(); }
    bool arm() noexcept override { return ring_.arm(); }
    void disarm() noexcept override { ring_.disarm(); }
    void set_sink(PacketSink* sink) noexcept override { inbox_.set_sink(sink); }
    std::uint64_t dropped() const noexcept override { return 0; }

private:
    Inbox& inbox_;
    PacketRing& ring_;
};

}  // namespace

Result<std::unique_ptr<LoopbackBackend>> LoopbackBackend::create(const LoopbackOptions& options) {
    if (options.pairs == 0 || options.pairs > pairs_max) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("a loopback has 1 to {} pairs, not {}", pairs_max, options.pairs));
    }
    std::unique_ptr<LoopbackBackend> backend(new LoopbackBackend(options.pairs));
    for (std::uint16_t pair = 0; pair < options.pairs; ++pair) {
        SIDECORE_TRY_ASSIGN(backend->inboxes_[pair].ring, PacketRing::create(options.ring_bytes));
    }
    return backend;
}

std::string LoopbackBackend::description() const {
    return fmt::format("loopback, {} pair{}", pairs_, pairs_ == 1 ? "" : "s");
}

Result<void> LoopbackBackend::accept(const Offloads& offloads) {
    if (!consistent(offloads)) {
        return failure(ErrorKind::unsupported, "segmentation can only be accepted together with checksums");
    }
    state_.accepted.set(offloads);
    return {};
}

Result<void> LoopbackBackend::set_pairs(std::uint16_t pairs) {
    SIDECORE_TRY(check_pairs(*this, pairs));
    state_.pairs_in_use.store(pairs, std::memory_order_relaxed);
    return {};
}

Result<std::unique_ptr<PacketSender>> LoopbackBackend::open_sender(std::uint16_t pair) {
    SIDECORE_TRY(check_pair(*this, pair));
    return std::make_unique<LoopbackSender>(inboxes_[pair], state_, pair);
}

Result<std::unique_ptr<PacketReceiver>> LoopbackBackend::open_receiver(std::uint16_t pair) {
    SIDECORE_TRY(check_pair(*this, pair));
    return std::make_unique<LoopbackReceiver>(inboxes_[pair]);
}

}  // namespace sidecore::network
