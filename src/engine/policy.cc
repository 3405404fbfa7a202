// SPDX-License-Identifier: Apache-2.0
// The policies that need no more than a few numbers; `adaptive` has a file of its own.
#include "engine/policy.hh"

#include <algorithm>
#include <cmath>

#include "engine/policy_adaptive.hh"

namespace sidecore::engine {

namespace {

class Never final : public Policy {
public:
    Decision start(std::uint64_t, Mode) noexcept override { return {}; }
    Decision on_work(const Work&) noexcept override { return {}; }
    Decision on_idle(std::uint64_t) noexcept override { return {}; }
    PolicyFigures figures() const noexcept override { return {}; }
};

class Always final : public Policy {
public:
    Decision start(std::uint64_t, Mode) noexcept override { return {Mode::polled}; }
    Decision on_work(const Work&) noexcept override { return {Mode::polled}; }
    Decision on_idle(std::uint64_t) noexcept override { return {Mode::polled}; }
    Persistence persistence() const noexcept override { return Persistence::unconditional; }
    PolicyFigures figures() const noexcept override { return {.threshold_ns = forever_ns}; }
};

/// The rule of the 2014 patch, with its jiffy made a parameter.
class Rate final : public Policy {
public:
    explicit Rate(const PolicySettings& settings) noexcept
        : start_rate_(settings.poll_start_rate),
          stop_idle_ns_(settings.poll_stop_idle_ns),
          tick_ns_(settings.tick_ns) {}

    Decision start(std::uint64_t now_ns, Mode current) noexcept override {
        mode_ = start_rate_ == 0 ? Mode::notified : current;
        works_this_tick_ = 0;
        return decision(now_ns);
    }

    Decision on_work(const Work& work) noexcept override {
        if (const std::uint64_t tick = work.now_ns / tick_ns_; tick != tick_) {
            tick_ = tick;
            works_this_tick_ = 0;
        }
        ++works_this_tick_;
        if (start_rate_ != 0 && works_this_tick_ >= start_rate_) {
            mode_ = Mode::polled;
        }
        return decision(work.now_ns);
    }

    Decision on_idle(std::uint64_t) noexcept override {
        mode_ = Mode::notified;
        works_this_tick_ = 0;
        return {};
    }

    PolicyFigures figures() const noexcept override {
        return {.threshold_ns = mode_ == Mode::polled ? stop_idle_ns_ : 0};
    }

private:
    Decision decision(std::uint64_t last_work_ns) const noexcept { return {mode_, last_work_ns + stop_idle_ns_}; }

    const std::uint32_t start_rate_;
    const std::uint64_t stop_idle_ns_;
    const std::uint64_t tick_ns_;
    Mode mode_ = Mode::notified;
    std::uint64_t tick_ = 0;
    std::uint32_t works_this_tick_ = 0;
};

/// Polled for a time that does not change after the last work. `fixed` takes it from the operator, `breakeven` from the costs.
class Fixed final : public Policy {
public:
    Fixed(std::uint64_t poll_time_ns, std::uint64_t price_ns) noexcept
        : poll_time_ns_(poll_time_ns), price_ns_(price_ns) {}

    Decision start(std::uint64_t now_ns, Mode current) noexcept override {
        return current == Mode::polled ? poll_from(now_ns) : Decision{};
    }
    Decision on_work(const Work& work) noexcept override { return poll_from(work.now_ns); }
    Decision on_idle(std::uint64_t) noexcept override { return {}; }
    PolicyFigures figures() const noexcept override { return {.price_ns = price_ns_, .threshold_ns = poll_time_ns_}; }

private:
    Decision poll_from(std::uint64_t now_ns) const noexcept { return {Mode::polled, now_ns + poll_time_ns_}; }

    const std::uint64_t poll_time_ns_;
    const std::uint64_t price_ns_;
};

/// The rule of KVM's halt polling (and, with other numbers, of QEMU's event loop). A gap that polling covered leaves the time as it is;
/// one that it missed and that a longest time would have covered doubles it; a longer one says that polling was in vain.
class GrowShrink final : public Policy {
public:
    explicit GrowShrink(const PolicySettings& settings) noexcept
        : first_ns_(settings.grow_start_ns), longest_ns_(std::max(settings.grow_start_ns, settings.grow_max_ns)) {}

    Decision start(std::uint64_t now_ns, Mode current) noexcept override {
        last_work_ns_ = now_ns;
        poll_time_ns_ = current == Mode::polled ? first_ns_ : 0;
        return decision();
    }

    Decision on_work(const Work& work) noexcept override {
        const std::uint64_t gap_ns = work.arrived_ns > last_work_ns_ ? work.arrived_ns - last_work_ns_ : 0;
        if (gap_ns > longest_ns_) {
            poll_time_ns_ = 0;
        } else if (gap_ns > poll_time_ns_) {
            poll_time_ns_ = std::clamp(2 * poll_time_ns_, first_ns_, longest_ns_);
        }
        last_work_ns_ = work.now_ns;
        return decision();
    }

    Decision on_idle(std::uint64_t) noexcept override { return {}; }
    PolicyFigures figures() const noexcept override { return {.threshold_ns = poll_time_ns_}; }

private:
    Decision decision() const noexcept {
        return poll_time_ns_ == 0 ? Decision{} : Decision{Mode::polled, last_work_ns_ + poll_time_ns_};
    }

    const std::uint64_t first_ns_;
    const std::uint64_t longest_ns_;
    std::uint64_t poll_time_ns_ = 0;
    std::uint64_t last_work_ns_ = 0;
};

std::unique_ptr<Policy> make_breakeven(const PolicySettings& settings, const Costs& costs) {
    const auto price_ns = static_cast<std::uint64_t>(std::lround(costs.sleep_price_ns(settings.prefer)));
    return std::make_unique<Fixed>(price_ns, price_ns);
}

}  // namespace

std::string_view to_string(Mode mode) noexcept {
    return mode == Mode::polled ? "polled" : "notified";
}

std::unique_ptr<Policy> make_policy(const PolicySettings& settings, const Costs& costs) {
    switch (settings.kind) {
        case PolicyKind::never:
            break;
        case PolicyKind::always:
            return std::make_unique<Always>();
        case PolicyKind::rate:
            return std::make_unique<Rate>(settings);
        case PolicyKind::fixed:
            return std::make_unique<Fixed>(settings.poll_time_ns, 0);
        case PolicyKind::grow_shrink:
            return std::make_unique<GrowShrink>(settings);
        case PolicyKind::breakeven:
            return make_breakeven(settings, costs);
        case PolicyKind::adaptive:
            return std::make_unique<AdaptivePolicy>(settings.prefer, costs);
    }
    return std::make_unique<Never>();
}

}  // namespace sidecore::engine
