// SPDX-License-Identifier: Apache-2.0
#include "base/error.hh"

#include <array>
#include <cerrno>
#include <memory>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sidecore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Error, EveryKindHasItsOwnName) {
    constexpr std::array kinds{
        ErrorKind::invalid_argument, ErrorKind::protocol_violation, ErrorKind::not_found, ErrorKind::already_exists,
        ErrorKind::unsupported,      ErrorKind::out_of_range,       ErrorKind::system,    ErrorKind::closed,
        ErrorKind::timed_out,
    };
    std::set<std::string_view> names;
    for (const ErrorKind kind : kinds) {
        names.insert(to_string(kind));
    }
    EXPECT_EQ(names.size(), kinds.size());
    EXPECT_EQ(names.count("unknown error"), 0U);
    EXPECT_EQ(to_string(static_cast<ErrorKind>(255)), "unknown error");
}

TEST(Error, FromErrnoKeepsTheNumberAndSaysItsText) {
    errno = ENOENT;
    const Error error = Error::from_errno("opening disk.img");
    EXPECT_EQ(error.kind, ErrorKind::system);
    EXPECT_EQ(error.os_error, ENOENT);
    EXPECT_THAT(error.message, AllOf(StartsWith("opening disk.img: "), HasSubstr("No such file")));
}

TEST(Error, FailureFromErrnoTakesAnExplicitNumber) {
    errno = 0;
    const Result<void> result = failure_from_errno("reading", EIO);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().os_error, EIO);
    EXPECT_EQ(result.error().kind, ErrorKind::system);
}

TEST(Error, WithinPutsContextInFrontAndKeepsTheRest) {
    Error error = Error::from_errno("opening", EACCES);
    const std::string inner = error.message;
    error = std::move(error).within("disk0").within("config.toml");
    EXPECT_EQ(error.message, "config.toml: disk0: " + inner);
    EXPECT_EQ(error.os_error, EACCES);
    EXPECT_EQ(error.kind, ErrorKind::system);
}

Result<void> succeed_or_fail(bool succeed) {
    if (!succeed) {
        return failure(ErrorKind::not_found, "nothing here");
    }
    return {};
}

Result<int> tried(bool succeed, bool& went_on) {
    SIDECORE_TRY(succeed_or_fail(succeed));
    went_on = true;
    return 7;
}

TEST(Try, GoesOnAfterSuccess) {
    bool went_on = false;
    const Result<int> result = tried(true, went_on);
    ASSERT_TRUE(result);
    EXPECT_EQ(*result, 7);
    EXPECT_TRUE(went_on);
}

TEST(Try, LeavesWithTheErrorAsItIs) {
    bool went_on = false;
    const Result<int> result = tried(false, went_on);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, ErrorKind::not_found);
    EXPECT_EQ(result.error().message, "nothing here");
    EXPECT_FALSE(went_on);
}

Result<std::unique_ptr<int>> make_number(int value) {
    if (value < 0) {
        return failure(ErrorKind::out_of_range, "negative");
    }
    return std::make_unique<int>(value);
}

Result<int> sum(int a, int b) {
    SIDECORE_TRY_ASSIGN(const auto first, make_number(a));
    SIDECORE_TRY_ASSIGN(const auto second, make_number(b));
    return *first + *second;
}

TEST(TryAssign, MovesTheValueOut) {
    const Result<int> result = sum(3, 4);
    ASSERT_TRUE(result);
    EXPECT_EQ(*result, 7);
}

TEST(TryAssign, LeavesWithTheFirstError) {
    for (const auto& [a, b] : {std::pair{-1, 4}, std::pair{3, -1}}) {
        const Result<int> result = sum(a, b);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().kind, ErrorKind::out_of_range);
    }
}

TEST(TryAssign, AssignsToAVariableThatExists) {
    int number = 0;
    const auto assign = [&]() -> Result<void> {
        SIDECORE_TRY_ASSIGN(number, sum(1, 1));
        return {};
    };
    ASSERT_TRUE(assign());
    EXPECT_EQ(number, 2);
}

}  // namespace
}  // namespace sidecore
