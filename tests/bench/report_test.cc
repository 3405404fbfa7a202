// SPDX-License-Identifier: Apache-2.0
#include "report.hh"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "base/clock.hh"

namespace sidecore::bench {
namespace {

std::vector<Column> columns() {
    return {{"name", "name", 6}, {"rate", "k/s", 8, 1, 1e3}, {"cpus", "CPUs", 5, 2}};
}

Row first() {
    return {{"name", "a"}, {"rate", 12345}, {"cpus", 0.5}, {"streams", Row::array({1, 2})}};
}

Row second() {
    return {{"name", "b"}, {"rate", 1e6}};
}

std::string printed(Format format) {
    testing::internal::CaptureStdout();
    Report report(format, columns(), "");
    report.add(first());
    report.add(second());
    EXPECT_TRUE(report.finish());
    return testing::internal::GetCapturedStdout();
}

TEST(Report, TableHasTitlesAndDashes) {
    EXPECT_EQ(printed(Format::table),
              "  name      k/s  CPUs\n"
              "     a     12.3  0.50\n"
              "     b   1000.0     -\n");
}

TEST(Report, CsvHasThePlainValues) {
    EXPECT_EQ(printed(Format::csv), "name,rate,cpus\n\"a\",12345,0.5\n\"b\",1000000.0,\n");
}

TEST(Report, JsonHasAll) {
    const Row read = Row::parse(printed(Format::json));
    ASSERT_EQ(read.size(), 2U);
    EXPECT_EQ(read[0], first());
    EXPECT_EQ(read[1], second());
}

TEST(Report, AFileThatCannotBeWrittenIsAnError) {
    const auto path = std::filesystem::path(testing::TempDir()) / "sidecore-report.csv";
    Report report(Format::csv, columns(), path);
    report.add(first());
    EXPECT_TRUE(report.finish());
    std::ifstream file(path);
    EXPECT_EQ(std::string(std::istreambuf_iterator(file), {}), "name,rate,cpus\n\"a\",12345,0.5\n");
    std::filesystem::remove(path);
    Report nowhere(Format::csv, columns(), "/nowhere/at/all");
    EXPECT_FALSE(nowhere.finish());
}

TEST(Report, LatenciesAreInMicroseconds) {
    LatencyHistogram histogram;
    for (std::uint64_t i = 1; i <= 10'000; ++i) {
        histogram.record(ns_to_cycles(i * 1000));
    }
    Row row;
    add_latencies(row, histogram);
    EXPECT_NEAR(row["lat_p50_us"].get<double>(), 5000, 5000 * 0.04);
    EXPECT_NEAR(row["lat_p9999_us"].get<double>(), 9999, 9999 * 0.04);
    EXPECT_NEAR(row["lat_max_us"].get<double>(), 10'000, 10'000 * 0.04);
}

}  // namespace
}  // namespace sidecore::bench
