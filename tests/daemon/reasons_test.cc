// SPDX-License-Identifier: Apache-2.0
#include "daemon/reasons.hh"

#include <algorithm>
#include <string>

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.hh"
#include "daemon/engine_settings.hh"

namespace sidecore::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

control::QueueInfo example_queue() {
    control::QueueInfo queue;
    queue.index = 2;
    queue.size = 256;
    queue.worker = "io1";
    queue.settings =
        built_in_queue_settings().overridden_by({{control::Setting::prefer, "cpu"}}, control::Level::device);
    return queue;
}

engine::QueueExplanation example_explanation() {
    engine::QueueExplanation why;
    why.mode = engine::Mode::polled;
    why.mode_for_ns = 3'200'000'000;
    why.policy.kind = engine::PolicyKind::adaptive;
    why.queue = {.price_ns = 640, .threshold_ns = 640, .learned_threshold_ns = 640, .gaps = 9, .mean_gap_ns = 2'000};
    why.worker = {
        .price_ns = 2'440, .threshold_ns = 2'440, .learned_threshold_ns = 2'440, .gaps = 8, .mean_gap_ns = 3'000};
    why.worker_decides = true;
    why.pass_ns = 12;
    why.request_ns = 1'500;
    why.kicks_avoided = 1'234;
    why.saved_ns = 2'300'000;
    why.spent_ns = 1'100'000;
    return why;
}

std::string text_of(const control::QueueReasons& reasons) {
    return fmt::format("{}", fmt::join(reasons.text, " "));
}

TEST(Reasons, AreFiguresAndSentences) {
    const control::QueueReasons reasons = reasons_for(example_queue(), example_explanation());
    EXPECT_EQ(reasons.index, 2);
    EXPECT_EQ(reasons.mode, "polled");
    EXPECT_EQ(reasons.policy, "adaptive");
    EXPECT_EQ(reasons.bar, "none");
    EXPECT_EQ(reasons.figures.price_ns, 640U);
    EXPECT_EQ(reasons.worker_figures.gaps, 8U);
    EXPECT_EQ(reasons.kicks_avoided, 1'234U);
    EXPECT_THAT(
        reasons.text,
        ElementsAre("It has been polled for 3.2 s, on worker io1.",
                    "Its policy is adaptive (built-in) with prefer = cpu (device).",
                    HasSubstr("the queue looks on for 640 ns after its last work, then waits for a kick: gaps lately"),
                    HasSubstr("The worker looks on for 2.44 us after its last work, then sleeps: gaps lately"),
                    "Lately a request took 1.5 us of a turn, and a pass over the worker's listed queues 12 ns.",
                    "So far polling has avoided 1234 kicks, which would have cost guest and worker 2.3 ms of CPU time; "
                    "looks that found nothing have cost 1.1 ms."));
}

TEST(Reasons, LeaveOutWhatDoesNotMatter) {
    control::QueueInfo queue = example_queue();
    queue.settings.put(control::Setting::kind, "never", control::Level::queue);
    engine::QueueExplanation why;
    why.policy.kind = engine::PolicyKind::never;
    const control::QueueReasons reasons = reasons_for(queue, why);
    EXPECT_THAT(reasons.text,
                ElementsAre("It has been notified for 0 ns, on worker io1.", "Its policy is never (queue).",
                            "The queue waits for kicks: its policy is never to poll it.",
                            "So far polling has avoided no kick; looks that found nothing have cost nothing."));
}

TEST(Reasons, CountOneKickAsOne) {
    engine::QueueExplanation why = example_explanation();
    why.kicks_avoided = 1;
    EXPECT_THAT(text_of(reasons_for(example_queue(), why)), HasSubstr("has avoided 1 kick, which would have cost"));
    why.kicks_avoided = 0;
    EXPECT_THAT(text_of(reasons_for(example_queue(), why)),
                HasSubstr("has avoided no kick; looks that found nothing have cost 1.1 ms."));
}

TEST(Reasons, NameWhatBarsPolling) {
    engine::QueueExplanation why = example_explanation();
    const auto barred_by = [&why](engine::PollBar bar) {
        why.bar = bar;
        const control::QueueReasons reasons = reasons_for(example_queue(), why);
        return reasons.bar + ": " + text_of(reasons);
    };
    EXPECT_THAT(
        barred_by(engine::PollBar::device_budget),
        testing::AllOf(testing::StartsWith("device_budget: "), HasSubstr("its device's poll budget is used up")));
    EXPECT_THAT(barred_by(engine::PollBar::worker_budget), HasSubstr("its worker's poll budget is used up"));
    EXPECT_THAT(barred_by(engine::PollBar::neighbour), HasSubstr("other threads want its worker's CPU"));
    EXPECT_THAT(barred_by(engine::PollBar::no_kick), HasSubstr("there is no kick descriptor"));
    EXPECT_THAT(barred_by(engine::PollBar::none), Not(HasSubstr("for now")));
}

TEST(Reasons, OfAQueueThatNobodyServes) {
    control::QueueInfo queue = example_queue();
    EXPECT_THAT(reasons_for(queue, std::nullopt).text, ElementsAre("Nobody serves it: its driver has disabled it."));
    EXPECT_EQ(reasons_for(queue, std::nullopt).mode, "-");
    queue.size = 0;
    EXPECT_THAT(reasons_for(queue, std::nullopt).text, ElementsAre("Nobody serves it: its driver has not started it."));
    queue.broken = true;
    EXPECT_THAT(text_of(reasons_for(queue, example_explanation())), HasSubstr("Its driver broke the rules"));
}

}  // namespace
}  // namespace sidecore::daemon
