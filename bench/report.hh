// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.hh"
#include "latency_histogram.hh"

namespace sidecore::bench {

/// What a run has found out, by name, in the order in which it was put there.
using Row = nlohmann::ordered_json;

enum class Format : std::uint8_t { table, csv, json };

/// A column of the table. What a row does not have is shown as "-".
struct Column {
    std::string_view key;
    std::string_view title;
    unsigned width = 8;
    int digits = 0;    ///< behind the point
    double scale = 1;  ///< value shown = value in the row / scale
};

/// The results, run after run. A table's lines come when their runs end; CSV has the plain values of each row, those of the first row by name, JSON all.
class Report {
public:
    Report(Format format, std::vector<Column> columns, std::string path)
        : format_(format), columns_(std::move(columns)), path_(std::move(path)) {}

    void add(Row row);

    /// Writes what is not there yet. Error: the file cannot be written.
    Result<void> finish();

private:
    void print_line(const Row& row) const;
    std::string csv() const;

    Format format_;
    std::vector<Column> columns_;
    std::string path_;  // empty or "-": standard output
    std::vector<Row> rows_;
};

/// lat_p50_us to lat_p9999_us and lat_max_us, from latencies in cycles.
void add_latencies(Row& row, const LatencyHistogram& cycles);

}  // namespace sidecore::bench
