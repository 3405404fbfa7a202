// SPDX-License-Identifier: Apache-2.0
#include "engine/policy_settings.hh"

#include <array>
#include <utility>

#include <fmt/ranges.h>

#include "base/format.hh"

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

}  // namespace sidecore::engine
