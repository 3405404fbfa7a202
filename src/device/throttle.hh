// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/error.hh"
#include "base/fd.hh"
#include "device/net_counters.hh"
#include "device/rate_limiter.hh"
#include "network/packet.hh"

namespace sidecore::device {

/// A queue's share in its device's limits: what may go now, and when to look again if nothing may. Without a limit each question is one load
/// and two branches.
///
/// Thread: the queue's owner.
///
/// Invariants:
///  1. closed() begins when a packet was there and had to wait, and ends with reopen(), when its time has come or the limits have changed.
///  2. Between arm() == true and reopen(), fd() becomes readable when one of the two happens.
class Throttle {
public:
    /// Packets that admit() can be asked about at a time.
    static constexpr std::size_t batch_max = 64;

    /// Both outlive it. `counters`: where it counts how often and for how long it was closed.
    static Result<std::unique_ptr<Throttle>> create(RateLimiter& limiter, NetCounters& counters);

    Throttle(const Throttle&) = delete;
    Throttle& operator=(const Throttle&) = delete;
    ~Throttle() { limiter_.forget(timer_.get()); }

    /// How many of them may go, from the front; their tokens are taken. If not all may, it closes.
    std::size_t admit(std::span<const network::Packet> packets) noexcept {
        return limited() ? admit_limited(packets) : packets.size();
    }

    /// Admitted, but did not go.
    void give_back(std::span<const network::Packet> packets) noexcept;

    /// One packet, at once or not now: it stays open.
    bool admit_now(const network::Packet& packet) noexcept {
        return !limited() || take({&packet, 1}, limiter_.now_ns()) == 1;
    }

    /// Where a packet is seen only once it is taken: whether one may be, of any size. It is charged afterwards, and what that was too much is
    /// made up for by those after it. close() if there is one and it may not.
    bool ready() noexcept { return !limited() || ready_limited(); }
    void close() noexcept;
    void charge(const network::PacketInfo& info, std::uint32_t bytes) noexcept {
        if (limited_) {
            charge_limited(info, bytes);
        }
    }

    bool closed() const noexcept { return closed_; }

    /// While closed(): false if it goes on.
    bool reopen() noexcept;

    /// While closed(): sees to it that fd() becomes readable when there is something to reopen(). False: there is now.
    bool arm() noexcept;

    /// A timerfd that need not be read, to be watched edge-triggered.
    int fd() const noexcept { return timer_.get(); }

private:
    Throttle(RateLimiter& limiter, NetCounters& counters, Fd timer);

    bool limited() noexcept {
        if (limiter_.generation() != buckets_.generation) [[unlikely]] {
            refresh();
        }
        return limited_;
    }
    void refresh() noexcept;
    std::size_t admit_limited(std::span<const network::Packet> packets) noexcept;
    std::size_t take(std::span<const network::Packet> packets, std::uint64_t now_ns) noexcept;
    bool ready_limited() const noexcept;
    void charge_limited(const network::PacketInfo& info, std::uint32_t bytes) noexcept;
    void close_until_there_is(const network::WireLoad& load, std::uint64_t now_ns) noexcept;

    RateLimiter& limiter_;
    NetCounters& counters_;
    const Fd timer_;
    RateLimiter::Buckets buckets_;
    bool limited_ = false;
    bool closed_ = false;
    std::uint64_t closed_since_ns_ = 0;
    std::uint64_t closed_until_ns_ = 0;
    std::array<std::uint64_t, batch_max> byte_costs_{};
    std::array<std::uint64_t, batch_max> packet_costs_{};
};

}  // namespace sidecore::device
