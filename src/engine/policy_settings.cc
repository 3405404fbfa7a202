// SPDX-License-Identifier: Apache-2.0
#include "engine/policy_settings.hh"

#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace sidecore::engine {

namespace {

template <typename Value, std::size_t count>
using Names = std::array<std::pair<Value, std::string_view>, count>;

constexpr Names<PolicyKind, 7> kind_names{{
    {PolicyKind::never, "never"},
    {PolicyKind::always, "always"},
    {PolicyKind::rate, "rate"},
    {PolicyKind::fixed, "fixed"},
    {PolicyKind::grow_shrink, "grow_shrink"},
    {PolicyKind::breakeven, "breakeven"},
    {PolicyKind::adaptive, "adaptive"},
}};

constexpr Names<Prefer, 3> prefer_names{{
    {Prefer::latency, "latency"},
    {Prefer::balanced, "balanced"},
    {Prefer::cpu, "cpu"},
}};

template <typename Value, std::size_t count>
std::string_view name_of(Value value, const Names<Value, count>& names) noexcept {
    for (const auto& [known, name] : names) {
        if (known == value) {
            return name;
        }
    }
    return "unknown";
}

template <typename Value, std::size_t count>
Result<Value> parse(std::string_view text, std::string_view what, const Names<Value, count>& names) {
    std::array<std::string_view, count> known;
    for (std::size_t i = 0; i < count; ++i) {
        if (names[i].second == text) {
            return names[i].first;
        }
        known[i] = names[i].second;
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("\"{}\" is no {}; use one of {}", text, what, fmt::join(known, ", ")));
}

constexpr std::uint64_t longest_ns = std::uint64_t{1} << 62U;

Result<void> check_duration(const std::optional<std::uint64_t>& value, std::string_view name) {
    if (value && (*value == 0 || *value > longest_ns)) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{} must be between 1 ns and {} ns, not {} ns", name, longest_ns, *value));
    }
    return {};
}

}  // namespace

std::string_view to_string(PolicyKind kind) noexcept {
    return name_of(kind, kind_names);
}

Result<PolicyKind> parse_policy_kind(std::string_view name) {
    return parse(name, "policy", kind_names);
}

std::string_view to_string(Prefer prefer) noexcept {
    return name_of(prefer, prefer_names);
}

Result<Prefer> parse_prefer(std::string_view name) {
    return parse(name, "preference", prefer_names);
}

PolicySettings PolicyOverrides::applied_to(PolicySettings base) const noexcept {
    base.kind = kind.value_or(base.kind);
    base.poll_start_rate = poll_start_rate.value_or(base.poll_start_rate);
    base.poll_stop_idle_ns = poll_stop_idle_ns.value_or(base.poll_stop_idle_ns);
    base.tick_ns = tick_ns.value_or(base.tick_ns);
    base.prefer = prefer.value_or(base.prefer);
    base.poll_time_ns = poll_time_ns.value_or(base.poll_time_ns);
    base.grow_start_ns = grow_start_ns.value_or(base.grow_start_ns);
    base.grow_max_ns = grow_max_ns.value_or(base.grow_max_ns);
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
    take(prefer, later.prefer);
    take(poll_time_ns, later.poll_time_ns);
    take(grow_start_ns, later.grow_start_ns);
    take(grow_max_ns, later.grow_max_ns);
}

Result<void> PolicyOverrides::check() const {
    SIDECORE_TRY(check_duration(poll_stop_idle_ns, "poll_stop_idle"));
    SIDECORE_TRY(check_duration(tick_ns, "tick"));
    SIDECORE_TRY(check_duration(poll_time_ns, "poll_time"));
    SIDECORE_TRY(check_duration(grow_start_ns, "grow_start"));
    return check_duration(grow_max_ns, "grow_max");
}

}  // namespace sidecore::engine
