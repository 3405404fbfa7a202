// SPDX-License-Identifier: Apache-2.0
#include "base/log.hh"

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

namespace sidecore {
namespace {

using ::testing::HasSubstr;
using ::testing::internal::CaptureStderr;
using ::testing::internal::GetCapturedStderr;

/// Puts back the logger that the other tests of this program use.
class Logging : public ::testing::Test {
protected:
    void TearDown() override { spdlog::set_default_logger(previous_); }

private:
    std::shared_ptr<spdlog::logger> previous_ = spdlog::default_logger();
};

TEST(LogLevel, KnowsItsNames) {
    EXPECT_EQ(parse_log_level("trace"), spdlog::level::trace);
    EXPECT_EQ(parse_log_level("debug"), spdlog::level::debug);
    EXPECT_EQ(parse_log_level("info"), spdlog::level::info);
    EXPECT_EQ(parse_log_level("warn"), spdlog::level::warn);
    EXPECT_EQ(parse_log_level("error"), spdlog::level::err);
    EXPECT_EQ(parse_log_level("off"), spdlog::level::off);
}

TEST(LogLevel, RefusesOthersAndSaysWhichThereAre) {
    for (const std::string name : {"", "Info", "warning", "error ", "verbose"}) {
        const auto level = parse_log_level(name);
        ASSERT_FALSE(level) << name;
        EXPECT_EQ(level.error().kind, ErrorKind::invalid_argument);
        EXPECT_THAT(level.error().message, HasSubstr("\"" + name + "\""));
        EXPECT_THAT(level.error().message, HasSubstr("debug"));
    }
}

TEST_F(Logging, WritesALinePerEventToStandardError) {
    CaptureStderr();
    set_up_logging(spdlog::level::info);
    spdlog::warn("disk0: {} is gone", "the file");
    const std::string written = GetCapturedStderr();
    EXPECT_THAT(written, ::testing::MatchesRegex(
                             "[0-9]+-[0-9]+-[0-9]+ [0-9]+:[0-9]+:[0-9]+.[0-9]+ warn  disk0: the file is gone\n"));
}

TEST_F(Logging, DropsWhatIsBelowTheLevel) {
    CaptureStderr();
    set_up_logging(spdlog::level::err);
    spdlog::warn("not worth a line");
    spdlog::error("worth one");
    const std::string written = GetCapturedStderr();
    EXPECT_THAT(written, ::testing::Not(HasSubstr("not worth")));
    EXPECT_THAT(written, HasSubstr("worth one"));
}

}  // namespace
}  // namespace sidecore
