// SPDX-License-Identifier: Apache-2.0
#include "daemon/reasons.hh"

#include <string>
#include <string_view>

#include "base/format.hh"
#include "control/units.hh"
#include "engine/policy_figures.hh"

namespace sidecore::daemon {

namespace {

using control::rough_duration;
using control::Setting;

control::FiguresInfo to_info(const engine::PolicyFigures& figures) {
    return {figures.price_ns,  figures.threshold_ns, figures.learned_threshold_ns,
            figures.credit_ns, figures.gaps,         figures.mean_gap_ns,
            figures.paid_ns,   figures.optimal_ns};
}

struct Bar {
    std::string_view name;
    std::string_view sentence;
};

Bar describe(engine::PollBar bar) {
    switch (bar) {
        case engine::PollBar::none:
            break;
        case engine::PollBar::no_kick:
            return {"no_kick",
                    "It is polled whatever its policy says: there is no kick descriptor that could tell us."};
        case engine::PollBar::device_budget:
            return {"device_budget", "It is not polled for now: its device's poll budget is used up."};
        case engine::PollBar::worker_budget:
            return {"worker_budget", "It is not polled for now: its worker's poll budget is used up."};
        case engine::PollBar::neighbour:
            return {"neighbour", "It is not polled for now: other threads want its worker's CPU."};
    }
    return {"none", ""};
}

std::string sourced(const control::Settings& settings, Setting setting) {
    return fmt::format("{} ({})", settings.text(setting), control::to_string(settings.at(setting).source));
}

std::string_view why_not_served(const control::QueueInfo& queue) {
    if (queue.broken) {
        return "Its driver broke the rules: it gets no more turns until it is started anew.";
    }
    return queue.size == 0 ? "Nobody serves it: its driver has not started it."
                           : "Nobody serves it: its driver has disabled it.";
}

std::string cost_and_savings(const engine::QueueExplanation& why) {
    const std::string saved =
        why.kicks_avoided == 0
            ? "no kick"
            : fmt::format("{} kick{}, which would have cost guest and worker {} of CPU time", why.kicks_avoided,
                          why.kicks_avoided == 1 ? "" : "s", rough_duration(why.saved_ns));
    return fmt::format("So far polling has avoided {}; looks that found nothing have cost {}.", saved,
                       why.spent_ns == 0 ? "nothing" : rough_duration(why.spent_ns));
}

void add_sentences(const control::QueueInfo& queue, const engine::QueueExplanation& why,
                   std::vector<std::string>& text) {
    text.push_back(fmt::format("It has been {} for {}, on worker {}.", engine::to_string(why.mode),
                               rough_duration(why.mode_for_ns), queue.worker));
    const bool has_preference =
        why.policy.kind == engine::PolicyKind::adaptive || why.policy.kind == engine::PolicyKind::breakeven;
    text.push_back(fmt::format("Its policy is {}{}.", sourced(queue.settings, Setting::kind),
                               has_preference ? " with prefer = " + sourced(queue.settings, Setting::prefer) : ""));
    text.push_back(engine::explain(why.policy, why.queue));
    if (why.worker_decides) {
        text.push_back(engine::explain_spinning(why.worker));
    }
    if (const std::string_view sentence = describe(why.bar).sentence; !sentence.empty()) {
        text.emplace_back(sentence);
    }
    if (why.request_ns > 0) {
        text.push_back(fmt::format("Lately a request took {} of a turn, and a pass over the worker's listed queues {}.",
                                   rough_duration(static_cast<std::uint64_t>(why.request_ns)),
                                   rough_duration(static_cast<std::uint64_t>(why.pass_ns))));
    }
    text.push_back(cost_and_savings(why));
}

}  // namespace

control::QueueReasons reasons_for(const control::QueueInfo& queue, const std::optional<engine::QueueExplanation>& why) {
    control::QueueReasons reasons;
    reasons.index = queue.index;
    reasons.worker = queue.worker;
    reasons.policy = queue.settings.text(Setting::kind);
    reasons.mode = "-";
    if (queue.broken || !why) {
        reasons.text.emplace_back(why_not_served(queue));
        return reasons;
    }
    reasons.mode = engine::to_string(why->mode);
    reasons.mode_age_ns = why->mode_for_ns;
    reasons.bar = describe(why->bar).name;
    reasons.worker_decides = why->worker_decides;
    reasons.figures = to_info(why->queue);
    reasons.worker_figures = to_info(why->worker);
    reasons.pass_ns = why->pass_ns;
    reasons.request_ns = why->request_ns;
    reasons.kicks_avoided = why->kicks_avoided;
    reasons.saved_ns = why->saved_ns;
    reasons.spent_ns = why->spent_ns;
    add_sentences(queue, *why, reasons.text);
    return reasons;
}

}  // namespace sidecore::daemon
