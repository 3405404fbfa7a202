// SPDX-License-Identifier: Apache-2.0
#include "cli/table.hh"

#include <algorithm>
#include <utility>

#include "base/format.hh"

namespace sidecore::cli {

std::string printable(std::string_view text) {
    constexpr unsigned char first_printable = ' ';
    constexpr unsigned char delete_character = 0x7f;
    const auto is_control = [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < first_printable || byte == delete_character;
    };
    std::string result(text);
    std::ranges::replace_if(result, is_control, '?');
    return result;
}

void Table::add(std::vector<std::string> cells) {
    cells.resize(columns_.size());
    std::ranges::transform(cells, cells.begin(), printable);
    rows_.push_back(std::move(cells));
}

std::string Table::text() const {
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        std::size_t width = columns_[i].title.size();
        for (const auto& row : rows_) {
            width = std::max(width, row[i].size());
        }
        widths.push_back(width);
    }
    std::string result;
    const auto add_line = [&](const auto& cell_of) {
        std::string line;
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            const std::string& cell = cell_of(i);
            line += columns_[i].align == Align::left ? fmt::format("{:<{}}  ", cell, widths[i])
                                                     : fmt::format("{:>{}}  ", cell, widths[i]);
        }
        line.erase(line.find_last_not_of(' ') + 1);
        result += line + "\n";
    };
    add_line([this](std::size_t i) -> const std::string& { return columns_[i].title; });
    for (const auto& row : rows_) {
        add_line([&row](std::size_t i) -> const std::string& { return row[i]; });
    }
    return result;
}

}  // namespace sidecore::cli
