// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/format.hh"
#include "control/info.hh"
#include "control/settings.hh"
#include "control/value.hh"

namespace sidecore::control {

/// Reads members of a reply: each of them has to be there, and others are passed over. Thread: one.
class ReplyReader {
public:
    ReplyReader(const Value& table, std::string_view what, Problems& problems)
        : problems_(problems), reader_(table, what, problems, TableReader::Unknown::ignore) {}

    std::string text(std::string_view key) {
        reader_.require(key);
        return reader_.text(key).value_or("");
    }
    bool boolean(std::string_view key) {
        reader_.require(key);
        return reader_.boolean(key).value_or(false);
    }
    std::uint64_t integer(std::string_view key, std::uint64_t highest = std::numeric_limits<std::uint64_t>::max()) {
        reader_.require(key);
        return reader_.integer(key, 0, highest).value_or(0);
    }
    double number(std::string_view key) {
        reader_.require(key);
        return reader_.number(key).value_or(0);
    }
    std::optional<std::uint64_t> optional_integer(std::string_view key, std::uint64_t highest) {
        return reader_.is_null(key) ? std::nullopt : reader_.integer(key, 0, highest);
    }
    std::uint64_t hexadecimal(std::string_view key) {
        const std::string digits = text(key);
        std::uint64_t value = 0;
        constexpr std::string_view prefix = "0x";
        constexpr int base = 16;
        const char* end = digits.data() + digits.size();
        if (!digits.starts_with(prefix) ||
            std::from_chars(digits.data() + prefix.size(), end, value, base).ptr != end) {
            reader_.report(key, fmt::format("{} is no hexadecimal number", key));
        }
        return value;
    }
    Settings settings(Level level) { return read_settings(reader_, level, problems_); }
    Settings worker_settings() {
        reader_.require("settings");
        const Value* table = reader_.table("settings");
        if (table == nullptr) {
            return {};
        }
        TableReader reader(*table, "settings", problems_, TableReader::Unknown::ignore);
        return read_settings(reader, Level::worker, problems_);
    }
    Counters counters(std::string_view key = "counters") {
        reader_.require(key);
        Counters counters;
        const Value* table = reader_.table(key);
        if (table != nullptr) {
            for (const Value::Member& member : std::get<Value::Table>(table->data)) {
                if (const auto* count = std::get_if<std::uint64_t>(&member.value.data)) {
                    counters.emplace_back(member.key, *count);
                } else {
                    problems_.push_back({member.where, "a counter is an integer, 0 or more"});
                }
            }
        }
        return counters;
    }
    /// What `read` makes of a member that is a table.
    template <typename T>
    T table(std::string_view key, T (*read)(const Value&, Problems&)) {
        reader_.require(key);
        const Value* table = reader_.table(key);
        return table != nullptr ? read(*table, problems_) : T{};
    }
    /// The same of one that may be null.
    template <typename T>
    std::optional<T> optional_table(std::string_view key, T (*read)(const Value&, Problems&)) {
        return reader_.is_null(key) ? std::nullopt : std::optional(table(key, read));
    }
    template <typename T>
    std::vector<T> list(std::string_view key, T (*read)(const Value&, Problems&)) {
        reader_.require(key);
        std::vector<T> elements;
        for (const Value& element : reader_.array(key)) {
            elements.push_back(read(element, problems_));
        }
        return elements;
    }

private:
    Problems& problems_;
    TableReader reader_;
};

/// An element of a list of strings.
inline std::string read_string(const Value& value, Problems& problems) {
    if (const auto* text = std::get_if<std::string>(&value.data)) {
        return *text;
    }
    problems.push_back({value.where, fmt::format("a string is expected, not {}", value.type_name())});
    return {};
}

/// What `read` makes of a reply's body.
template <typename Read>
auto parse_reply(std::string_view body, Read read) {
    return parse_json_as(body, read, "reply");
}

}  // namespace sidecore::control
