// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/error.hh"
#include "engine/costs.hh"

namespace sidecore::engine {

/// Who finds new work in a queue: the guest tells us, or we look.
enum class Mode : std::uint8_t { notified, polled };

enum class PolicyKind : std::uint8_t {
    never,   ///< notification only
    always,  ///< polled as long as the queue runs
    rate,    ///< the 2014 Linux patch "vhost: Add polling mode"
};

/// A time that never comes.
inline constexpr std::uint64_t forever_ns = UINT64_MAX;

std::string_view to_string(Mode mode) noexcept;
std::string_view to_string(PolicyKind kind) noexcept;
Result<PolicyKind> parse_policy_kind(std::string_view name);

/// A policy and its parameters. Parameters that a kind does not use are kept, so that changing the kind back
/// and forth loses nothing.
struct PolicySettings {
    PolicyKind kind = PolicyKind::rate;

    /// rate: works within one tick that make a notified queue polled; 0: never. A work is a turn that found
    /// something to do, however many requests it took (the patch's "work").
    std::uint32_t poll_start_rate = 4;

    /// rate: a polled queue without work for this long is notified again. 1 to 2^62 ns.
    std::uint64_t poll_stop_idle_ns = 3'000'000'000;

    /// rate: the interval that works are counted in. 1 to 2^62 ns.
    std::uint64_t tick_ns = 1'000'000;

    friend bool operator==(const PolicySettings&, const PolicySettings&) = default;
};

/// Some of the settings; the others come from the level above (queue over device over daemon).
struct PolicyOverrides {
    std::optional<PolicyKind> kind;
    std::optional<std::uint32_t> poll_start_rate;
    std::optional<std::uint64_t> poll_stop_idle_ns;
    std::optional<std::uint64_t> tick_ns;

    /// `base` with what is set here in its place.
    PolicySettings applied_to(PolicySettings base) const noexcept;

    /// What `later` sets wins; the rest stays.
    void merge(const PolicyOverrides& later) noexcept;

    /// Whether every value that is set lies within its range, else what is wrong.
    Result<void> check() const;

    friend bool operator==(const PolicyOverrides&, const PolicyOverrides&) = default;
};

/// Work that was found in a queue.
struct Work {
    std::uint64_t now_ns = 0;      ///< when the turn that found it was over
    std::uint64_t arrived_ns = 0;  ///< when it came, as well as can be told: after a sleep, not when it was noticed
    double pass_ns = 0;            ///< the worker's time from one look at this queue to the next, lately; 0: not known
};

/// What a queue shall be from now on.
struct Decision {
    Mode mode = Mode::notified;
    std::uint64_t until_ns = forever_ns;  ///< if polled, and no work is found until then: on_idle() is asked again

    friend bool operator==(const Decision&, const Decision&) = default;
};

/// Decides one queue's mode from its past. Pure: no clock, no I/O; the same object serves worker, tests and
/// simulator.
///
/// Thread: one at a time. Times are nanoseconds of one monotonic clock and never go back.
class Policy {
public:
    virtual ~Policy() = default;
    Policy() = default;
    Policy(const Policy&) = delete;
    Policy& operator=(const Policy&) = delete;

    /// The mode of a queue when it starts, or when it is given this policy while in `current` mode.
    virtual Decision start(std::uint64_t now_ns, Mode current) noexcept = 0;

    /// A turn found work.
    virtual Decision on_work(const Work& work) noexcept = 0;

    /// The queue is polled, the time of the last decision has come, and there was no work.
    virtual Decision on_idle(std::uint64_t now_ns) noexcept = 0;

    /// True: that the queue is polled does not keep the worker awake; its SpinRule decides. When it sleeps, the queue is armed
    /// and counts as notified until it has work again.
    virtual bool yields() const noexcept { return false; }

    /// The worker has gone to sleep over the queue, which yields.
    virtual void on_sleep(std::uint64_t now_ns) noexcept { static_cast<void>(now_ns); }
};

std::unique_ptr<Policy> make_policy(const PolicySettings& settings, const Costs& costs);

}  // namespace sidecore::engine
