// SPDX-License-Identifier: Apache-2.0
#include "control/requests.hh"

#include <gtest/gtest.h>

#include "control/worker_spec.hh"

namespace sidecore::control {
namespace {

TEST(ResizeRequest, IsReadAndChecked) {
    EXPECT_EQ(parse_resize_request(R"({"size": "2GiB"})").value().size_bytes, 2ULL << 30U);
    EXPECT_EQ(parse_resize_request(R"({"size": 1024})").value().size_bytes, 1024U);
    EXPECT_EQ(parse_resize_request("{}").value().size_bytes, 0U);
    EXPECT_EQ(parse_resize_request(to_text(to_json(ResizeRequest{4096}))).value().size_bytes, 4096U);
    EXPECT_EQ(parse_resize_request(to_text(to_json(ResizeRequest{}))).value().size_bytes, 0U);
    EXPECT_EQ(parse_resize_request(R"({"size": 1000})").error().message,
              "size: size has to be a multiple of 512 bytes");
    EXPECT_EQ(parse_resize_request(R"({"length": 512})").error().message,
              "length: unknown key \"length\"; resize can have size");
    EXPECT_FALSE(parse_resize_request(R"({"size": 0})"));
    EXPECT_FALSE(parse_resize_request(R"({"size": "99999999P"})"));
}

TEST(MoveRequest, NamesAWorker) {
    EXPECT_EQ(parse_move_request(to_text(to_json(MoveRequest{"io1"}))).value().worker, "io1");
    EXPECT_EQ(parse_move_request("{}").error().message, "request: move needs the key \"worker\"");
    EXPECT_EQ(parse_move_request(R"({"worker": 1})").error().message.substr(0, 51),
              "worker: worker is a string, not an integer; worker:");
    EXPECT_FALSE(parse_move_request(R"({"worker": "a/b"})"));
}

TEST(PinRequest, NamesACpuOrNone) {
    EXPECT_EQ(parse_pin_request(R"({"cpu": 3})").value().cpu, 3U);
    EXPECT_EQ(parse_pin_request(to_text(to_json(PinRequest{}))).value().cpu, std::nullopt);
    EXPECT_EQ(parse_pin_request(to_text(to_json(PinRequest{1023}))).value().cpu, 1023U);
    EXPECT_EQ(parse_pin_request("{}").error().message, "request: pin needs the key \"cpu\"");
    EXPECT_EQ(parse_pin_request(R"({"cpu": 1024})").error().message, "cpu: cpu cannot be 1024; allowed are 0 to 1023");
    EXPECT_EQ(parse_pin_request(R"({"cpu": "3"})").error().message, "cpu: cpu is an integer, not a string");
}

TEST(WorkerSpec, IsReadAndChecked) {
    const auto spec = parse_worker_spec(R"({"name": "io0", "cpu": 2, "poll_budget": 50, "good_neighbour": false})");
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(*spec, (WorkerSpec{"io0", 2, {{Setting::worker_poll_budget, 50U}, {Setting::good_neighbour, false}}}));
    EXPECT_EQ(parse_worker_spec(R"({"name": "io0"})").value(), WorkerSpec{"io0"});
    EXPECT_EQ(parse_worker_spec(R"({"cpu": -1, "wait_max": "20s"})").error().message,
              "request: worker needs the key \"name\"; cpu: cpu cannot be -1; allowed are 0 to 1023; "
              "wait_max: wait_max cannot be 20s; allowed are 0 to 10s");
}

}  // namespace
}  // namespace sidecore::control
