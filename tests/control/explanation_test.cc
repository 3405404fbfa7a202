// SPDX-License-Identifier: Apache-2.0
#include "control/explanation.hh"

#include <gtest/gtest.h>

namespace sidecore::control {
namespace {

TEST(Explanation, RoundTrips) {
    QueueReasons queue;
    queue.index = 3;
    queue.worker = "io0";
    queue.mode = "polled";
    queue.mode_age_ns = 1;
    queue.policy = "adaptive";
    queue.bar = "neighbour";
    queue.worker_decides = true;
    queue.figures = {2, 3, 4, 5, 6, 7.5, 8.5, 9.5};
    queue.worker_figures = {10, 11, 12, 13, 14, 15.5, 16.5, 17.5};
    queue.pass_ns = 18.5;
    queue.request_ns = 19.5;
    queue.kicks_avoided = 20;
    queue.saved_ns = 21;
    queue.spent_ns = 22;
    queue.text = {"It is so.", "It was so."};
    const Explanation explanation{"disk0", {queue, {}}};
    EXPECT_EQ(parse_explanation(to_text(to_json(explanation))).value(), explanation);

    Json json = to_json(explanation);
    json["queues"][0]["figures"].erase("gaps");
    json["queues"][1]["text"] = {1};
    EXPECT_EQ(parse_explanation(to_text(json)).error().message,
              "queues[0].figures: figures needs the key \"gaps\"; "
              "queues[1].text[0]: a string is expected, not an integer");
}

}  // namespace
}  // namespace sidecore::control
