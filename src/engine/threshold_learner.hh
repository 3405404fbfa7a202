// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/gap_histogram.hh"
#include "engine/policy_figures.hh"

namespace sidecore::engine {

/// Says, gap after gap, for how long to wait for work before giving up: the problem known as ski rental. Waiting costs its
/// time. Giving up costs a price B, once per gap: for a worker a sleep and the wake-up that ends it, for a queue of a worker that is awake one
/// kick. Somebody clairvoyant pays min(gap, B).
///
/// Two things together choose the threshold:
///
/// *Learning.* Two experts each name the threshold that would have been cheapest: one for the last couple of thousand gaps (a
/// GapHistogram), one for the last six. The first is right while the load stays as it is, the second soon after it has
/// changed; the one is followed until the other would have done better by some prices.
///
/// *A bound.* With credit = 2 * optimal - paid, summed over all gaps, the threshold t is what was learned, but within
/// B - credit <= t <= B + credit / 2. Then paid <= 2 * optimal after every gap, whatever the gaps are. For a gap g costs g if
/// g <= t, else t + B, where 2 * min(g, B) would be allowed:
///   If g <= 2 B and g <= t, it costs no more than is allowed. If 2 B < g <= t, it is over by g - 2 B < t - B.
///   If g > t and t <= B, it is over by t + B - 2 * min(g, B) < B - t.
///   If g > t and t > B, it is over by t + B - 2 B = t - B.
/// So a gap is never over by more than the distance of t from B, and that is at most the credit: the credit cannot become negative. It
/// cannot even become 0, where only t = B would be left and every gap longer than B would keep it so: below B the "<" above leaves something
/// over, and above B only half is risked. From any credit c > 0 a long gap doubles it, for with t = B - c it costs 2 B - c.
///
/// The first credit is B, and no gift: a queue starts notified and a worker asleep, so that both, ourselves and the clairvoyant, pay B
/// for the first wake-up. The credit is capped at `most_credit` prices, so the same bound holds from any moment on, but for that much.
///
/// Pure: no clock. Thread: one at a time. No allocation; below 1.5 KiB.
/// Invariants, once begun: 0 < credit <= most_credit * B; B - credit <= threshold <= B + credit / 2.
class ThresholdLearner {
public:
    /// Of the price: the longest threshold. Beyond it waiting on for a gap that is longer still gains next to nothing.
    static constexpr std::uint64_t longest_threshold = 16;

    /// Of the price: how much can be saved up for worse times.
    static constexpr std::uint64_t most_credit = 64;

    /// Prices are kept between 1 ns and this (1 s).
    static constexpr std::uint64_t highest_price_ns = 1'000'000'000;

    /// A gap begins in which giving up costs `price_ns`. How long to wait, in ns: work that comes exactly then still counts as
    /// found. Not less than `at_least_ns`, which is at most the price: nearer to the price is nearer to safety. Called when there is nothing to
    /// do, so it is here that the experts are asked (about half a microsecond), and only if the gaps since the last time cost more
    /// than they had to.
    std::uint64_t begin(std::uint64_t price_ns, std::uint64_t at_least_ns = 0) noexcept;

    /// The gap has ended by work that came `gap_ns` after its begin. A gap of 0 is none: there was no time to wait in. What it is
    /// charged with is what the threshold says, even where something else made the waiting shorter or longer.
    /// Costs a few ns. Without a begin() before it nothing happens.
    void end(std::uint64_t gap_ns) noexcept;

    PolicyFigures figures() const noexcept;

private:
    static constexpr std::size_t recent_gaps = 6;

    void ask_experts() noexcept;
    std::uint64_t cheapest_for_recent() const noexcept;
    static std::uint64_t cost(std::uint64_t gap_ns, std::uint64_t threshold_ns, std::uint64_t price_ns) noexcept {
        return gap_ns <= threshold_ns ? gap_ns : threshold_ns + price_ns;
    }

    // This gap and the ones before it.
    std::uint64_t price_ns_ = 0;
    std::uint64_t threshold_ns_ = 0;
    std::uint64_t credit_ns_ = 0;
    std::uint64_t gaps_ = 0;
    std::uint64_t paid_ns_ = 0;
    std::uint64_t optimal_ns_ = 0;
    bool in_gap_ = false;

    // The experts.
    GapHistogram long_run_;
    std::array<std::uint32_t, recent_gaps> recent_ns_{};  // a ring; 0: no gap yet
    std::uint32_t next_recent_ = 0;
    bool follow_recent_ = false;
    std::uint64_t asked_price_ns_ = 0;
    std::uint64_t regret_ns_ = 0;  // paid beyond the optimum since the experts were asked
    std::uint64_t long_run_threshold_ns_ = 0;
    std::uint64_t recent_threshold_ns_ = 0;
    std::int64_t recent_ahead_ns_ = 0;  // what following the recent expert would have saved, lately
};

}  // namespace sidecore::engine
