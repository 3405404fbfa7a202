// SPDX-License-Identifier: Apache-2.0
#include "report.hh"

#include <cstdio>
#include <fstream>

#include "base/clock.hh"
#include "base/format.hh"

namespace sidecore::bench {

namespace {

std::string cell(const Row& row, const Column& column) {
    const auto found = row.find(column.key);
    if (found == row.end()) {
        return "-";
    }
    if (found->is_string()) {
        return found->get<std::string>();
    }
    return fmt::format("{:.{}f}", found->get<double>() / column.scale, column.digits);
}

}  // namespace

void Report::print_line(const Row& row) const {
    std::string line;
    for (const Column& column : columns_) {
        line += fmt::format("{}{:>{}}", line.empty() ? "" : " ", cell(row, column), column.width);
    }
    fmt::print("{}\n", line);
    std::fflush(stdout);
}

void Report::add(Row row) {
    if (format_ == Format::table) {
        if (rows_.empty()) {
            Row titles;
            for (const Column& column : columns_) {
                titles[std::string(column.key)] = column.title;
            }
            print_line(titles);
        }
        print_line(row);
    }
    rows_.push_back(std::move(row));
}

std::string Report::csv() const {
    std::string text;
    if (rows_.empty()) {
        return text;
    }
    std::vector<std::string> keys;
    for (const auto& [key, value] : rows_.front().items()) {
        if (value.is_primitive()) {
            text += (keys.empty() ? "" : ",") + key;
            keys.push_back(key);
        }
    }
    text += '\n';
    for (const Row& row : rows_) {
        bool first = true;
        for (const std::string& key : keys) {
            text += first ? "" : ",";
            text += row.contains(key) ? row[key].dump() : "";
            first = false;
        }
        text += '\n';
    }
    return text;
}

Result<void> Report::finish() {
    if (format_ == Format::table) {
        return {};
    }
    const std::string text = format_ == Format::csv ? csv() : Row(rows_).dump(2) + '\n';
    if (path_.empty() || path_ == "-") {
        fmt::print("{}", text);
        return {};
    }
    std::ofstream file(path_);
    file << text;
    file.close();
    if (!file) {
        return failure_from_errno(fmt::format("writing {}", path_));
    }
    return {};
}

void add_latencies(Row& row, const LatencyHistogram& cycles) {
    struct Percentile {
        const char* name;
        double share;
    };
    for (const auto& [name, share] :
         {Percentile{"lat_p50_us", 0.5}, Percentile{"lat_p90_us", 0.9}, Percentile{"lat_p99_us", 0.99},
          Percentile{"lat_p999_us", 0.999}, Percentile{"lat_p9999_us", 0.9999}, Percentile{"lat_max_us", 1}}) {
        row[name] = static_cast<double>(cycles_to_ns(cycles.percentile(share))) / 1e3;
    }
}

}  // namespace sidecore::bench
