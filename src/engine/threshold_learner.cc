// SPDX-License-Identifier: Apache-2.0
#include "engine/threshold_learner.hh"

#include <algorithm>
#include <limits>

namespace sidecore::engine {

namespace {

/// The experts are asked when not knowing the future has cost this part of a price since the last time. As long as it costs nothing, as at
/// full speed or in deep rest, there is nothing to ask.
constexpr std::uint64_t regret_to_ask = 4;

/// How far, in prices, the recent expert must be ahead to be followed. Six gaps say little about a load that does not change, so
/// luck alone must not do.
constexpr double ahead_to_follow = 2.5;

/// An advantage has lost two thirds of its weight after so many gaps in which the two experts differed.
constexpr std::int64_t ahead_memory = 32;

/// How far behind, in prices, the recent expert can fall: however good the long run was, a new load is noticed as soon.
constexpr std::int64_t most_behind = 1;

/// What the long run counts for once the load has turned out to be another, in gaps.
constexpr float long_run_after_change = 32;

}  // namespace

std::uint64_t ThresholdLearner::begin(std::uint64_t price_ns, std::uint64_t at_least_ns) noexcept {
    price_ns_ = std::clamp<std::uint64_t>(price_ns, 1, highest_price_ns);
    if (paid_ns_ == 0) {
        paid_ns_ = optimal_ns_ = credit_ns_ = price_ns_;
    }
    credit_ns_ = std::min(credit_ns_, most_credit * price_ns_);
    const std::uint64_t change = std::max(price_ns_, asked_price_ns_) - std::min(price_ns_, asked_price_ns_);
    if (regret_ns_ >= price_ns_ / regret_to_ask || change > price_ns_ / 8) {
        ask_experts();
    }
    const std::uint64_t learned = follow_recent_ ? recent_threshold_ns_ : long_run_threshold_ns_;
    const std::uint64_t least = std::max(price_ns_ - std::min(price_ns_, credit_ns_), std::min(at_least_ns, price_ns_));
    threshold_ns_ = std::clamp(learned, least, price_ns_ + credit_ns_ / 2);
    in_gap_ = true;
    return threshold_ns_;
}

void ThresholdLearner::end(std::uint64_t gap_ns) noexcept {
    if (!in_gap_ || gap_ns == 0) {
        return;
    }
    in_gap_ = false;
    const std::uint64_t paid = cost(gap_ns, threshold_ns_, price_ns_);
    const std::uint64_t optimal = std::min(gap_ns, price_ns_);
    credit_ns_ = std::min(credit_ns_ + 2 * optimal - paid, most_credit * price_ns_);
    paid_ns_ += paid;
    optimal_ns_ += optimal;
    regret_ns_ += paid - optimal;
    ++gaps_;

    long_run_.add(gap_ns);
    recent_ns_[next_recent_++ % recent_gaps] =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(gap_ns, std::numeric_limits<std::uint32_t>::max()));
    const std::uint64_t with_recent = cost(gap_ns, recent_threshold_ns_, price_ns_);
    const std::uint64_t with_long_run = cost(gap_ns, long_run_threshold_ns_, price_ns_);
    if (with_recent != with_long_run) {
        recent_ahead_ns_ -= recent_ahead_ns_ / ahead_memory;
        recent_ahead_ns_ += static_cast<std::int64_t>(with_long_run) - static_cast<std::int64_t>(with_recent);
        recent_ahead_ns_ = std::max(recent_ahead_ns_, -most_behind * static_cast<std::int64_t>(price_ns_));
    }
}

void ThresholdLearner::ask_experts() noexcept {
    asked_price_ns_ = price_ns_;
    regret_ns_ = 0;
    if (!follow_recent_ && static_cast<double>(recent_ahead_ns_) > ahead_to_follow * static_cast<double>(price_ns_)) {
        follow_recent_ = true;
        long_run_.keep(long_run_after_change);
    } else if (follow_recent_ && recent_ahead_ns_ <= 0) {
        follow_recent_ = false;
    }
    long_run_threshold_ns_ = long_run_.cheapest_threshold(price_ns_, longest_threshold * price_ns_);
    recent_threshold_ns_ = cheapest_for_recent();
}

/// The candidates are the recent gaps themselves with a quarter on top, for the next one will not be exactly as long, and 0 and the
/// price. Of equals it takes the price if it can.
std::uint64_t ThresholdLearner::cheapest_for_recent() const noexcept {
    const auto total = [this](std::uint64_t threshold) {
        std::uint64_t sum = 0;
        for (const std::uint32_t gap : recent_ns_) {
            sum += gap == 0 ? 0 : cost(gap, threshold, price_ns_);
        }
        return sum;
    };
    std::uint64_t chosen = price_ns_;
    std::uint64_t least = total(chosen);
    const auto consider = [&](std::uint64_t threshold) {
        if (const std::uint64_t sum = total(threshold); sum < least) {
            chosen = threshold;
            least = sum;
        }
    };
    consider(0);
    for (const std::uint64_t gap : recent_ns_) {
        if (gap != 0 && gap <= longest_threshold * price_ns_) {
            consider(std::min(gap + gap / 4, longest_threshold * price_ns_));
        }
    }
    return chosen;
}

PolicyFigures ThresholdLearner::figures() const noexcept {
    return {.price_ns = price_ns_,
            .threshold_ns = threshold_ns_,
            .learned_threshold_ns = follow_recent_ ? recent_threshold_ns_ : long_run_threshold_ns_,
            .credit_ns = credit_ns_,
            .gaps = gaps_,
            .mean_gap_ns = long_run_.mean_ns(),
            .paid_ns = static_cast<double>(paid_ns_),
            .optimal_ns = static_cast<double>(optimal_ns_)};
}

}  // namespace sidecore::engine
