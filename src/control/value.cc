// SPDX-License-Identifier: Apache-2.0
#include "control/value.hh"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/ranges.h>

#include "base/format.hh"
#include "control/units.hh"

namespace sidecore::control {

namespace {

std::string plain(std::uint64_t value) {
    return fmt::format("{}", value);
}

}  // namespace

Error to_error(const Problems& problems, std::string_view separator) {
    std::string message;
    for (const Problem& problem : problems) {
        if (!message.empty()) {
            message += separator;
        }
        message += problem.where.empty() ? problem.what : fmt::format("{}: {}", problem.where, problem.what);
    }
    return Error{ErrorKind::invalid_argument, std::move(message), 0};
}

std::string_view Value::type_name() const noexcept {
    static constexpr std::array<std::string_view, 8> names{"null",     "a boolean", "an integer", "an integer",
                                                           "a number", "a string",  "an array",   "a table"};
    if (const Other* other = std::get_if<Other>(&data)) {
        return other->name;
    }
    return names[data.index()];
}

TableReader::TableReader(const Value& table, std::string_view what, Problems& problems, Unknown unknown)
    : table_(table),
      what_(what),
      problems_(problems),
      unknown_(unknown),
      members_(std::get_if<Value::Table>(&table.data)) {
    if (members_ == nullptr) {
        problems_.push_back({table.where, fmt::format("{} is a table, not {}", what, table.type_name())});
    }
}

const Value* TableReader::find(std::string_view key) {
    known_.push_back(key);
    if (members_ == nullptr) {
        return nullptr;
    }
    const auto found = std::ranges::find(*members_, key, &Value::Member::key);
    return found != members_->end() ? &found->value : nullptr;
}

bool TableReader::is_null(std::string_view key) {
    const Value* value = find(key);
    return value != nullptr && std::holds_alternative<Value::Null>(value->data);
}

const Value* TableReader::expect(std::string_view key, std::string_view type, bool matches, const Value* value) {
    if (value != nullptr && !matches) {
        problems_.push_back({value->where, fmt::format("{} is {}, not {}", key, type, value->type_name())});
        return nullptr;
    }
    return value;
}

std::optional<bool> TableReader::boolean(std::string_view key) {
    const Value* value = find(key);
    const bool* content = value != nullptr ? std::get_if<bool>(&value->data) : nullptr;
    if (expect(key, "true or false", content != nullptr, value) == nullptr) {
        return std::nullopt;
    }
    return *content;
}

std::optional<std::string> TableReader::text(std::string_view key) {
    const Value* value = find(key);
    const std::string* content = value != nullptr ? std::get_if<std::string>(&value->data) : nullptr;
    if (expect(key, "a string", content != nullptr, value) == nullptr) {
        return std::nullopt;
    }
    if (content->find('\0') != std::string::npos) {
        report(key, fmt::format("{} contains a zero byte", key));
        return std::nullopt;
    }
    return *content;
}

std::optional<double> TableReader::number(std::string_view key) {
    const Value* value = find(key);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (const auto* real = std::get_if<double>(&value->data)) {
        return *real;
    }
    if (const auto* natural = std::get_if<std::uint64_t>(&value->data)) {
        return static_cast<double>(*natural);
    }
    if (const auto* negative = std::get_if<std::int64_t>(&value->data)) {
        return static_cast<double>(*negative);
    }
    expect(key, "a number", false, value);
    return std::nullopt;
}

std::optional<std::uint64_t> TableReader::in_range(std::string_view key, std::uint64_t value, std::uint64_t lowest,
                                                   std::uint64_t highest, std::string (*format)(std::uint64_t)) {
    if (value < lowest || value > highest) {
        report(key, fmt::format("{} cannot be {}; allowed are {} to {}", key, format(value), format(lowest),
                                format(highest)));
        return std::nullopt;
    }
    return value;
}

std::optional<std::uint64_t> TableReader::integer(std::string_view key, std::uint64_t lowest, std::uint64_t highest) {
    const Value* value = find(key);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (const auto* negative = std::get_if<std::int64_t>(&value->data)) {
        report(key, fmt::format("{} cannot be {}; allowed are {} to {}", key, *negative, lowest, highest));
        return std::nullopt;
    }
    const auto* natural = std::get_if<std::uint64_t>(&value->data);
    if (expect(key, "an integer", natural != nullptr, value) == nullptr) {
        return std::nullopt;
    }
    return in_range(key, *natural, lowest, highest, plain);
}

std::optional<std::uint64_t> TableReader::duration(std::string_view key, std::uint64_t lowest_ns,
                                                   std::uint64_t highest_ns) {
    const Value* value = find(key);
    const std::string* content = value != nullptr ? std::get_if<std::string>(&value->data) : nullptr;
    if (expect(key, "a duration in a string, like \"3s\"", content != nullptr, value) == nullptr) {
        return std::nullopt;
    }
    auto parsed = parse_duration_ns(*content);
    if (!parsed) {
        report(key, fmt::format("{}: {}", key, parsed.error().message));
        return std::nullopt;
    }
    return in_range(key, *parsed, lowest_ns, highest_ns, format_duration);
}

/// Plain, or as a string with a unit.
std::optional<std::uint64_t> TableReader::quantity(std::string_view key, std::string_view type, std::uint64_t lowest,
                                                   std::uint64_t highest,
                                                   Result<std::uint64_t> (*parse)(std::string_view),
                                                   std::string (*format)(std::uint64_t)) {
    const Value* value = find(key);
    if (value != nullptr && std::holds_alternative<std::uint64_t>(value->data)) {
        return in_range(key, std::get<std::uint64_t>(value->data), lowest, highest, format);
    }
    const std::string* content = value != nullptr ? std::get_if<std::string>(&value->data) : nullptr;
    if (expect(key, type, content != nullptr, value) == nullptr) {
        return std::nullopt;
    }
    auto parsed = parse(*content);
    if (!parsed) {
        report(key, fmt::format("{}: {}", key, parsed.error().message));
        return std::nullopt;
    }
    return in_range(key, *parsed, lowest, highest, format);
}

std::optional<std::uint64_t> TableReader::size(std::string_view key, std::uint64_t lowest_bytes,
                                               std::uint64_t highest_bytes) {
    return quantity(key, "a size: bytes, or a string like \"64MiB\"", lowest_bytes, highest_bytes, parse_size_bytes,
                    format_size);
}

std::optional<std::uint64_t> TableReader::rate(std::string_view key, std::uint64_t lowest_bits,
                                               std::uint64_t highest_bits) {
    return quantity(key, "a rate: bits per second, or a string like \"100Mbit\"", lowest_bits, highest_bits,
                    parse_rate_bits, format_rate);
}

std::optional<std::uint32_t> TableReader::permissions(std::string_view key) {
    const std::optional<std::string> content = text(key);
    if (!content) {
        return std::nullopt;
    }
    auto parsed = parse_permissions(*content);
    if (!parsed) {
        report(key, fmt::format("{}: {}", key, parsed.error().message));
        return std::nullopt;
    }
    return *parsed;
}

std::optional<std::size_t> TableReader::choice(std::string_view key, std::span<const std::string_view> allowed) {
    const std::optional<std::string> content = text(key);
    if (!content) {
        return std::nullopt;
    }
    const auto found = std::ranges::find(allowed, *content);
    if (found == allowed.end()) {
        report(key,
               fmt::format("{} cannot be \"{}\"; allowed are \"{}\"", key, *content, fmt::join(allowed, "\", \"")));
        return std::nullopt;
    }
    return static_cast<std::size_t>(found - allowed.begin());
}

const Value* TableReader::table(std::string_view key) {
    const Value* value = find(key);
    return expect(key, "a table", value != nullptr && std::holds_alternative<Value::Table>(value->data), value);
}

std::span<const Value> TableReader::array(std::string_view key) {
    const Value* value = find(key);
    const Value::Array* content = value != nullptr ? std::get_if<Value::Array>(&value->data) : nullptr;
    if (expect(key, "an array", content != nullptr, value) == nullptr) {
        return {};
    }
    return *content;
}

void TableReader::require(std::string_view key) {
    if (members_ != nullptr && find(key) == nullptr) {
        problems_.push_back({table_.where, fmt::format("{} needs the key \"{}\"", what_, key)});
    }
}

void TableReader::refuse(std::string_view key, std::string_view where) {
    if (find(key) != nullptr) {
        report(key, fmt::format("{} means nothing {}", key, where));
    }
}

void TableReader::report(std::string_view key, std::string what) {
    const Value* value = find(key);
    problems_.push_back({value != nullptr ? value->where : table_.where, std::move(what)});
}

void TableReader::finish() {
    if (members_ == nullptr || unknown_ == Unknown::ignore) {
        return;
    }
    std::ranges::sort(known_);
    known_.erase(std::unique(known_.begin(), known_.end()), known_.end());
    for (const Value::Member& member : *members_) {
        if (!std::ranges::binary_search(known_, std::string_view(member.key))) {
            problems_.push_back({member.where, fmt::format("unknown key \"{}\"; {} can have {}", member.key, what_,
                                                           fmt::join(known_, ", "))});
        }
    }
}

}  // namespace sidecore::control
