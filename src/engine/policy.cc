// SPDX-License-Identifier: Apache-2.0
#include "engine/policy.hh"

#include <array>
#include <utility>

#include <fmt/format.h>

namespace sidecore::engine {

namespace {

constexpr std::array<std::pair<PolicyKind, std::string_view>, 3> kind_names{{
    {PolicyKind::never, "never"},
    {PolicyKind::always, "always"},
    {PolicyKind::rate, "rate"},
}};

class Never final : public Policy {
public:
    Decision start(std::uint64_t, Mode) noexcept override { return {}; }
    Decision on_work(const Work&) noexcept override { return {}; }
    Decision on_idle(std::uint64_t) noexcept override { return {}; }
};

class Always final : public Policy {
public:
    Decision start(std::uint64_t, Mode) noexcept override { return {Mode::polled}; }
    Decision on_work(const Work&) noexcept override { return {Mode::polled}; }
    Decision on_idle(std::uint64_t) noexcept override { return {Mode::polled}; }
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

private:
    Decision decision(std::uint64_t last_work_ns) const noexcept { return {mode_, last_work_ns + stop_idle_ns_}; }

    const std::uint32_t start_rate_;
    const std::uint64_t stop_idle_ns_;
    const std::uint64_t tick_ns_;
    Mode mode_ = Mode::notified;
    std::uint64_t tick_ = 0;
    std::uint32_t works_this_tick_ = 0;
};

constexpr std::uint64_t longest_ns = std::uint64_t{1} << 62U;

Result<void> check_duration(const std::optional<std::uint64_t>& value, std::string_view name) {
    if (value && (*value == 0 || *value > longest_ns)) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{} must be between 1 ns and {} ns, not {} ns", name, longest_ns, *value));
    }
    return {};
}

}  // namespace

std::string_view to_string(Mode mode) noexcept {
    return mode == Mode::polled ? "polled" : "notified";
}

std::string_view to_string(PolicyKind kind) noexcept {
    for (const auto& [known, name] : kind_names) {
        if (known == kind) {
            return name;
        }
    }
    return "unknown";
}

Result<PolicyKind> parse_policy_kind(std::string_view name) {
    for (const auto& [kind, known] : kind_names) {
        if (known == name) {
            return kind;
        }
    }
    return failure(ErrorKind::invalid_argument, fmt::format("\"{}\" is no policy; use never, always or rate", name));
}

PolicySettings PolicyOverrides::applied_to(PolicySettings base) const noexcept {
    base.kind = kind.value_or(base.kind);
    base.poll_start_rate = poll_start_rate.value_or(base.poll_start_rate);
    base.poll_stop_idle_ns = poll_stop_idle_ns.value_or(base.poll_stop_idle_ns);
    base.tick_ns = tick_ns.value_or(base.tick_ns);
    return base;
}

void PolicyOverrides::merge(const PolicyOverrides& later) noexcept {
    const auto take = [](auto& mine, const auto& theirs) {
        if (theirs) {
            mine = theirs;
        }
    };
    take(kind, later.kind);
    take(poll_start_rate, later.poll_start_rate);
    take(poll_stop_idle_ns, later.poll_stop_idle_ns);
    take(tick_ns, later.tick_ns);
}

Result<void> PolicyOverrides::check() const {
    SIDECORE_TRY(check_duration(poll_stop_idle_ns, "poll_stop_idle"));
    return check_duration(tick_ns, "tick");
}

std::unique_ptr<Policy> make_policy(const PolicySettings& settings, const Costs&) {
    switch (settings.kind) {
        case PolicyKind::never:
            return std::make_unique<Never>();
        case PolicyKind::always:
            return std::make_unique<Always>();
        case PolicyKind::rate:
            return std::make_unique<Rate>(settings);
    }
    return std::make_unique<Never>();
}

}  // namespace sidecore::engine
