// SPDX-License-Identifier: Apache-2.0
#include "device/throttle.hh"

#include <algorithm>
#include <numeric>
#include <sys/timerfd.h>
#include <utility>

namespace sidecore::device {

using network::Packet;
using network::wire_load;
using network::WireLoad;

namespace {

/// A queue that had to wait waits for this long at least, unless the bucket would run over: then a batch goes instead of a packet.
constexpr std::uint64_t usual_wait_ns = 1'000'000;

/// A timer is set again after so long.
constexpr std::uint64_t longest_wait_ns = 3'600'000'000'000;

}  // namespace

Result<std::unique_ptr<Throttle>> Throttle::create(RateLimiter& limiter, NetCounters& counters) {
    Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer) {
        return failure_from_errno("making a timer for a queue's rate limit");
    }
    return std::unique_ptr<Throttle>(new Throttle(limiter, counters, std::move(timer)));
}

Throttle::Throttle(RateLimiter& limiter, NetCounters& counters, Fd timer)
    : limiter_(limiter), counters_(counters), timer_(std::move(timer)) {
    limiter_.wake(timer_.get());
    refresh();
}

void Throttle::refresh() noexcept {
    buckets_ = limiter_.buckets();
    limited_ = buckets_.bytes != nullptr || buckets_.packets != nullptr;
}

/// How many of them, from the front, there are tokens for; these are taken. At most batch_max.
std::size_t Throttle::take(std::span<const Packet> packets, std::uint64_t now_ns) noexcept {
    std::size_t count = std::min(packets.size(), batch_max);
    for (std::size_t i = 0; i < count; ++i) {
        const WireLoad load = wire_load(packets[i].info, packets[i].bytes);
        byte_costs_[i] = load.bytes;
        packet_costs_[i] = load.packets;
    }
    if (buckets_.bytes != nullptr) {
        count = buckets_.bytes->take(std::span(byte_costs_).first(count), now_ns);
    }
    if (buckets_.packets != nullptr) {
        const std::size_t enough =
            std::exchange(count, buckets_.packets->take(std::span(packet_costs_).first(count), now_ns));
        if (buckets_.bytes != nullptr && count != enough) {
            buckets_.bytes->give_back(
                std::accumulate(byte_costs_.data() + count, byte_costs_.data() + enough, std::uint64_t{0}));
        }
    }
    return count;
}

std::size_t Throttle::admit_limited(std::span<const Packet> packets) noexcept {
    const std::uint64_t now = limiter_.now_ns();
    const std::size_t count = take(packets, now);
    if (count < std::min(packets.size(), batch_max)) {
        close_until_there_is({byte_costs_[count], packet_costs_[count]}, now);
    }
    return count;
}

void Throttle::give_back(std::span<const Packet> packets) noexcept {
    if (!limited_) {
        return;
    }
    for (const Packet& packet : packets) {
        const WireLoad load = wire_load(packet.info, packet.bytes);
        if (buckets_.bytes != nullptr) {
            buckets_.bytes->give_back(load.bytes);
        }
        if (buckets_.packets != nullptr) {
            buckets_.packets->give_back(load.packets);
        }
    }
}

bool Throttle::ready_limited() const noexcept {
    const std::uint64_t now = limiter_.now_ns();
    return (buckets_.bytes == nullptr || buckets_.bytes->wait_ns(1, now) == 0) &&
           (buckets_.packets == nullptr || buckets_.packets->wait_ns(1, now) == 0);
}

void Throttle::close() noexcept {
    close_until_there_is({1, 1}, limiter_.now_ns());
}

void Throttle::charge_limited(const network::PacketInfo& info, std::uint32_t bytes) noexcept {
    const WireLoad load = wire_load(info, bytes);
    const std::uint64_t now = limiter_.now_ns();
    if (buckets_.bytes != nullptr) {
        buckets_.bytes->charge(load.bytes, now);
    }
    if (buckets_.packets != nullptr) {
        buckets_.packets->charge(load.packets, now);
    }
}

void Throttle::close_until_there_is(const WireLoad& load, std::uint64_t now_ns) noexcept {
    std::uint64_t wait = 0;
    std::uint64_t not_full = usual_wait_ns;
    const auto count_in = [&](const TokenBucket* bucket, std::uint64_t cost) {
        if (bucket != nullptr) {
            wait = std::max(wait, bucket->wait_ns(cost, now_ns));
            not_full = std::min(not_full, bucket->wait_ns(bucket->burst(), now_ns) / 2);
        }
    };
    count_in(buckets_.bytes.get(), load.bytes);
    count_in(buckets_.packets.get(), load.packets);
    closed_ = true;
    closed_since_ns_ = now_ns;
    closed_until_ns_ = now_ns + std::min(std::max(wait, not_full), UINT64_MAX - now_ns);
    counters_.throttled.add(1);
}

bool Throttle::reopen() noexcept {
    const std::uint64_t now = limiter_.now_ns();
    if (now < closed_until_ns_ && limiter_.generation() == buckets_.generation) {
        return false;
    }
    closed_ = false;
    counters_.throttled_ns.add(now - closed_since_ns_);
    return true;
}

bool Throttle::arm() noexcept {
    const std::uint64_t now = limiter_.now_ns();
    if (now >= closed_until_ns_) {
        return false;
    }
    set_timer(timer_.get(), std::min(closed_until_ns_ - now, longest_wait_ns));
    return limiter_.generation() == buckets_.generation;  // pairs with RateLimiter::set(), which says why
}

}  // namespace sidecore::device
