// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidecore::cli {

/// Text in columns, for people.
class Table {
public:
    enum class Align : std::uint8_t { left, right };
    struct Column {
        std::string title;
        Align align = Align::left;
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    /// As many cells as there are columns. What a terminal would take for a command is replaced by '?'.
    void add(std::vector<std::string> cells);

    /// One line per row, the titles first; no white space at the ends.
    std::string text() const;

private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

/// For numbers.
inline constexpr auto right = Table::Align::right;

/// `text` with '?' for control characters: names and paths come from anywhere.
std::string printable(std::string_view text);

}  // namespace sidecore::cli
