// SPDX-License-Identifier: Apache-2.0
#include "device/rate_limiter.hh"

#include <algorithm>
#include <sys/timerfd.h>

#include "network/packet.hh"

namespace sidecore::device {

namespace {

constexpr std::uint64_t ns_per_s = 1'000'000'000;
constexpr TokenRate bytes_at(std::uint64_t bits_per_s) {
    return {bits_per_s, 8 * ns_per_s};
}
constexpr TokenRate packets_at(std::uint64_t packets_per_s) {
    return {packets_per_s, ns_per_s};
}

std::shared_ptr<TokenBucket> make_bucket(TokenRate rate, std::uint64_t burst_ns, std::uint64_t least,
                                         std::uint64_t now_ns) {
    if (rate.tokens == 0) {
        return nullptr;
    }
    const std::uint64_t time_ns = burst_ns != 0 ? burst_ns : RateLimits::default_burst_ns;
    __extension__ using Wide = unsigned __int128;
    const auto worth = static_cast<std::uint64_t>(Wide{rate.tokens} * time_ns / rate.per_ns);
    return std::make_shared<TokenBucket>(rate, std::max(worth, burst_ns != 0 ? 1 : least), now_ns);
}

}  // namespace

void RateLimiter::set(const RateLimits& limits) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t now = now_ns();
    const bool same_burst = limits.burst_ns == limits_.burst_ns;
    if (!same_burst || limits.bits_per_s != limits_.bits_per_s) {
        buckets_.bytes = make_bucket(bytes_at(limits.bits_per_s), limits.burst_ns, network::max_packet_bytes, now);
    }
    if (!same_burst || limits.packets_per_s != limits_.packets_per_s) {
        buckets_.packets = make_bucket(packets_at(limits.packets_per_s), limits.burst_ns, 1, now);
    }
    limits_ = limits;
    // Pairs with Throttle::arm(), which sets its timer and looks at the generation then: a queue that has seen the old one has set its timer
    // before we do, and one that sets it later sees the new one. Otherwise it would sleep on for as long as the old limits said.
    generation_.store(++buckets_.generation, std::memory_order_release);
    for (const int timer : timers_) {
        set_timer(timer, 1);
    }
}

RateLimits RateLimiter::limits() const {
    const std::lock_guard lock(mutex_);
    return limits_;
}

RateLimiter::Buckets RateLimiter::buckets() const {
    const std::lock_guard lock(mutex_);
    return buckets_;
}

void RateLimiter::wake(int timer_fd) {
    const std::lock_guard lock(mutex_);
    timers_.push_back(timer_fd);
}

void RateLimiter::forget(int timer_fd) {
    const std::lock_guard lock(mutex_);
    std::erase(timers_, timer_fd);
}

void set_timer(int timer_fd, std::uint64_t wait_ns) noexcept {
    itimerspec setting{};
    setting.it_value.tv_sec = static_cast<time_t>(wait_ns / ns_per_s);
    setting.it_value.tv_nsec = static_cast<long>(wait_ns % ns_per_s);
    ::timerfd_settime(timer_fd, 0, &setting, nullptr);
}

}  // namespace sidecore::device
