// SPDX-License-Identifier: Apache-2.0
#include "engine/policy_figures.hh"

#include <string_view>

#include "base/format.hh"
#include "engine/policy_settings.hh"

namespace sidecore::engine {

namespace {

/// A duration as a person would say it: three digits at most.
std::string duration(double ns) {
    struct Unit {
        double size;
        std::string_view name;
    };
    for (const Unit unit : {Unit{1e9, "s"}, Unit{1e6, "ms"}, Unit{1e3, "us"}}) {
        if (ns >= unit.size) {
            return fmt::format("{:.3g} {}", ns / unit.size, unit.name);
        }
    }
    return fmt::format("{:.0f} ns", ns);
}

std::string duration(std::uint64_t ns) {
    return duration(static_cast<double>(ns));
}

/// How the threshold came about and how it has done so far.
std::string learned(const PolicyFigures& figures) {
    std::string text = fmt::format("gaps lately were {} on average, and being woken costs as much as looking on for {}",
                                   duration(figures.mean_gap_ns), duration(figures.price_ns));
    if (figures.threshold_ns != figures.learned_threshold_ns) {
        text += fmt::format("; {} would be cheapest, but the bound allows no more than {} off the price",
                            duration(figures.learned_threshold_ns), duration(figures.credit_ns));
    }
    if (figures.optimal_ns > 0) {
        text += fmt::format("; so far that cost {:.2f} times the least possible", figures.paid_ns / figures.optimal_ns);
    }
    return text;
}

std::string adaptive(std::string_view subject, std::string_view then, const PolicyFigures& figures) {
    if (figures.gaps == 0) {
        return fmt::format("{} has seen no gap between works yet.", subject);
    }
    if (figures.threshold_ns == 0) {
        return fmt::format("{} does not look on after its last work: {}.", subject, learned(figures));
    }
    return fmt::format("{} looks on for {} after its last work, then {}: {}.", subject, duration(figures.threshold_ns),
                       then, learned(figures));
}

}  // namespace

std::string explain(const PolicySettings& settings, const PolicyFigures& figures) {
    switch (settings.kind) {
        case PolicyKind::never:
            return "The queue waits for kicks: its policy is never to poll it.";
        case PolicyKind::always:
            return "The queue is polled: its policy is to do so always.";
        case PolicyKind::rate:
            return fmt::format("The queue is polled from {} works within {} on, until it has had none for {}.",
                               settings.poll_start_rate, duration(settings.tick_ns),
                               duration(settings.poll_stop_idle_ns));
        case PolicyKind::fixed:
            return fmt::format("The queue is polled for {} after its last work.", duration(figures.threshold_ns));
        case PolicyKind::grow_shrink:
            return figures.threshold_ns == 0
                       ? fmt::format("The queue is not polled: the last gap between works was longer than {}.",
                                     duration(settings.grow_max_ns))
                       : fmt::format(
                             "The queue is polled for {} after its last work; gaps that this misses double it, up to "
                             "{}.",
                             duration(figures.threshold_ns), duration(settings.grow_max_ns));
        case PolicyKind::breakeven:
            return fmt::format("The queue is polled for {} after its last work: as long as being woken costs.",
                               duration(figures.threshold_ns));
        case PolicyKind::adaptive:
            break;
    }
    return adaptive("While its worker is awake, the queue", "waits for a kick", figures);
}

std::string explain_spinning(const PolicyFigures& figures) {
    return adaptive("The worker", "sleeps", figures);
}

}  // namespace sidecore::engine
