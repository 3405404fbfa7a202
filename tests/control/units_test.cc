// SPDX-License-Identifier: Apache-2.0
#include "control/units.hh"

#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace sidecore::control {
namespace {

constexpr auto max_value = std::numeric_limits<std::uint64_t>::max();

TEST(Units, DurationsAreReadExactly) {
    const std::vector<std::pair<std::string_view, std::uint64_t>> cases{
        {"0", 0},
        {"0s", 0},
        {"1ns", 1},
        {"500us", 500'000},
        {"500\u00b5s", 500'000},
        {"1ms", 1'000'000},
        {"1.5ms", 1'500'000},
        {"3s", 3'000'000'000},
        {"0.000000001s", 1},
        {"2m", 120'000'000'000},
        {"1h", 3'600'000'000'000},
        {"18446744073709551615ns", max_value},
    };
    for (const auto& [text, expected] : cases) {
        const auto parsed = parse_duration_ns(text);
        ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
        EXPECT_EQ(*parsed, expected) << text;
    }
}

TEST(Units, DurationsThatAreNoneAreRefused) {
    for (const std::string_view text :
         {"", "s", "3", "-1s", "3 s", "3S", "1.s", ".5s", "1e3s", "1.5ns", "0.0000000001s", "3sx", "3s ", "0x1s",
          "18446744073709551616ns", "18446744074s", "99999999999999999999999h", "5124096h"}) {
        EXPECT_FALSE(parse_duration_ns(text)) << text;
    }
}

TEST(Units, DurationsAtAGlance) {
    EXPECT_EQ(rough_duration(0), "0 ns");
    EXPECT_EQ(rough_duration(35), "35 ns");
    EXPECT_EQ(rough_duration(1'234), "1.23 us");
    EXPECT_EQ(rough_duration(3'200'000'000), "3.2 s");
    EXPECT_EQ(rough_duration(300'000'000'000), "5 min");
    EXPECT_EQ(rough_duration(200'000'000'000'000), "2 d");
}

TEST(Units, SizesAreReadExactly) {
    const std::vector<std::pair<std::string_view, std::uint64_t>> cases{
        {"0", 0},
        {"4096", 4096},
        {"64M", 64ULL << 20U},
        {"64MiB", 64ULL << 20U},
        {"10GiB", 10ULL << 30U},
        {"1.5G", 3ULL << 29U},
        {"0.5K", 512},
        {"2T", 2ULL << 40U},
        {"1PiB", 1ULL << 50U},
        {"18446744073709551615", max_value},
    };
    for (const auto& [text, expected] : cases) {
        const auto parsed = parse_size_bytes(text);
        ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
        EXPECT_EQ(*parsed, expected) << text;
    }
}

TEST(Units, SizesThatAreNoneAreRefused) {
    for (const std::string_view text : {"", "M", "-1", "64MB", "64m", "64 M", "0.3", "0.0001K", "18446744073709551616",
                                        "16777216T", "16384P", "1Mi"}) {
        EXPECT_FALSE(parse_size_bytes(text)) << text;
    }
}

TEST(Units, RatesAreReadExactly) {
    const std::vector<std::pair<std::string_view, std::uint64_t>> cases{
        {"0", 0},
        {"9600", 9600},
        {"9600bit", 9600},
        {"64kbit", 64'000},
        {"100 Mbit/s", 100'000'000},
        {"1 Gbit", 1'000'000'000},
        {"2.5Gbit/s", 2'500'000'000},
        {"0.001kbit", 1},
    };
    for (const auto& [text, expected] : cases) {
        const auto parsed = parse_rate_bits(text);
        ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
        EXPECT_EQ(*parsed, expected) << text;
    }
}

TEST(Units, RatesThatAreNoneAreRefused) {
    for (const std::string_view text : {"", "Gbit", "1G", "1GB", "1 GB/s", "1gbit", "1Kbit", "1  Gbit", "1 ", "-1",
                                        "1/s", "0.5", "1.0001kbit/", "99999999999999Gbit", "1Gib"}) {
        EXPECT_FALSE(parse_rate_bits(text)) << text;
    }
    EXPECT_EQ(format_rate(0), "0");
    EXPECT_EQ(format_rate(1), "1bit");
    EXPECT_EQ(format_rate(2'500'000'000), "2500Mbit");
}

TEST(Units, PermissionsAreOctal) {
    EXPECT_EQ(parse_permissions("0660").value(), 0660U);
    EXPECT_EQ(parse_permissions("0").value(), 0U);
    EXPECT_EQ(parse_permissions("777").value(), 0777U);
    for (const std::string_view text : {"", "-1", "0o660", "8", "1000", "rw", "0660 "}) {
        EXPECT_FALSE(parse_permissions(text)) << text;
    }
    EXPECT_EQ(format_permissions(0600), "0600");
    EXPECT_EQ(format_permissions(0), "0000");
}

TEST(Units, WhatIsFormattedReadsBackTheSame) {
    for (const std::uint64_t value :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{999}, std::uint64_t{1'000}, std::uint64_t{1'024},
          std::uint64_t{1'500'000}, std::uint64_t{3'000'000'000}, std::uint64_t{60'000'000'000},
          std::uint64_t{1} << 40U, (std::uint64_t{1} << 40U) + 512, max_value}) {
        EXPECT_EQ(parse_duration_ns(format_duration(value)).value(), value) << format_duration(value);
        EXPECT_EQ(parse_size_bytes(format_size(value)).value(), value) << format_size(value);
        EXPECT_EQ(parse_rate_bits(format_rate(value)).value(), value) << format_rate(value);
    }
    EXPECT_EQ(format_duration(3'000'000'000), "3s");
    EXPECT_EQ(format_duration(1'500'000), "1500us");
    EXPECT_EQ(format_duration(120'000'000'000), "120s");
    EXPECT_EQ(format_size(64ULL << 20U), "64MiB");
    EXPECT_EQ(format_size(1536), "1536");
}

}  // namespace
}  // namespace sidecore::control
