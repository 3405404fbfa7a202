// SPDX-License-Identifier: Apache-2.0
#include "control/capture.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sidecore::control {
namespace {

using ::testing::HasSubstr;

TEST(CaptureRequest, ReadsWhatAQueryHolds) {
    EXPECT_EQ(parse_capture_request("{}"), CaptureRequest{});
    EXPECT_EQ(parse_capture_request(R"({"snaplen": "96", "direction": "in"})"),
              (CaptureRequest{96, CaptureDirection::in}));
    EXPECT_EQ(parse_capture_request(R"({"snaplen": "1KiB", "direction": "out"})"),
              (CaptureRequest{1024, CaptureDirection::out}));
    EXPECT_EQ(parse_capture_request(R"({"snaplen": 262144, "direction": "both"})"), CaptureRequest{});
}

TEST(CaptureRequest, RefusesWhatIsNone) {
    const auto message = [](std::string_view body) { return parse_capture_request(body).error().message; };
    EXPECT_THAT(message(R"({"snaplen": "13"})"), HasSubstr("snaplen"));
    EXPECT_THAT(message(R"({"snaplen": "262145"})"), HasSubstr("snaplen"));
    EXPECT_THAT(message(R"({"snaplen": "much"})"), HasSubstr("snaplen"));
    EXPECT_THAT(message(R"({"direction": "up"})"), HasSubstr("\"both\", \"in\""));
    EXPECT_THAT(message(R"({"filter": "tcp"})"), HasSubstr("filter"));
}

TEST(CaptureRequest, GoesIntoAQuery) {
    EXPECT_EQ(to_query({}), "");
    EXPECT_EQ(to_query({96, CaptureDirection::both}), "?snaplen=96");
    EXPECT_EQ(to_query({CaptureRequest::max_snap_bytes, CaptureDirection::out}), "?direction=out");
    EXPECT_EQ(to_query({14, CaptureDirection::in}), "?snaplen=14&direction=in");
}

}  // namespace
}  // namespace sidecore::control
