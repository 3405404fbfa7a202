// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.hh"

namespace sidecore::control {

/// Something wrong in a configuration file or a request, and where it is written.
struct Problem {
    std::string where;  ///< "sidecore.toml:12:8", or a path: "storage.size", "queue[1].index"
    std::string what;   ///< what is wrong and what is allowed

    friend bool operator==(const Problem&, const Problem&) = default;
};

using Problems = std::vector<Problem>;

/// One error of all the problems, "where: what", separated by `separator`.
Error to_error(const Problems& problems, std::string_view separator = "; ");

/// A value of a configuration file or of a request, with the place where it is written. TOML and JSON are
/// both turned into this, so that one reader gives both the same keys, the same limits and the same messages.
struct Value {
    struct Member;
    using Array = std::vector<Value>;
    using Table = std::vector<Member>;  ///< in the order written; no key twice
    struct Null {};
    struct Other {  ///< what neither format shares with the other: dates and times
        std::string_view name;
    };

    /// An integer is held as int64_t if it is negative and as uint64_t if it is not.
    std::variant<Null, bool, std::int64_t, std::uint64_t, double, std::string, Array, Table, Other> data;
    std::string where;

    /// "a string", "an integer", … for messages.
    std::string_view type_name() const noexcept;
};

struct Value::Member {
    std::string key;
    std::string where;  ///< of the key
    Value value;
};

/// Reads the members of one table: each read checks type and range and reports what is wrong to the list of
/// problems; finish() reports the keys that nobody asked for. Reading goes on after a problem, so that all of
/// them are found.
///
/// Thread: one. The value and the list outlive the reader.
class TableReader {
public:
    enum class Unknown {
        reject,  ///< an unknown key is a problem: what people write
        ignore,  ///< an unknown key is passed over: replies of a daemon that may be newer
    };

    /// `what` is the table's name in messages: "device".
    TableReader(const Value& table, std::string_view what, Problems& problems, Unknown unknown = Unknown::reject);

    /// The member's value, or nullptr if there is none. Everything below is made of it.
    const Value* find(std::string_view key);
    bool is_null(std::string_view key);

    std::optional<bool> boolean(std::string_view key);
    std::optional<std::string> text(std::string_view key);
    std::optional<double> number(std::string_view key);
    std::optional<std::uint64_t> integer(std::string_view key, std::uint64_t lowest, std::uint64_t highest);

    /// A string like "3s". Nanoseconds.
    std::optional<std::uint64_t> duration(std::string_view key, std::uint64_t lowest_ns, std::uint64_t highest_ns);

    /// A string like "64MiB" or an integer of bytes.
    std::optional<std::uint64_t> size(std::string_view key, std::uint64_t lowest_bytes, std::uint64_t highest_bytes);

    /// A string like "100Mbit" or an integer of bits per second.
    std::optional<std::uint64_t> rate(std::string_view key, std::uint64_t lowest_bits, std::uint64_t highest_bits);

    /// A string of octal digits: "0660".
    std::optional<std::uint32_t> permissions(std::string_view key);

    /// A string out of `allowed`; its position there.
    std::optional<std::size_t> choice(std::string_view key, std::span<const std::string_view> allowed);

    const Value* table(std::string_view key);
    /// The elements, none if the key is absent or no array.
    std::span<const Value> array(std::string_view key);

    /// The key has to be there: reports it if it is not.
    void require(std::string_view key);

    /// Reports a member that is there and means nothing: "KEY means nothing for kind = "null"". `where`: "for kind = \"null\"".
    void refuse(std::string_view key, std::string_view where);

    /// Reports a problem of a member's value, or of the table if there is no such member.
    void report(std::string_view key, std::string what);
    void finish();

private:
    const Value* expect(std::string_view key, std::string_view type, bool matches, const Value* value);
    std::optional<std::uint64_t> quantity(std::string_view key, std::string_view type, std::uint64_t lowest,
                                          std::uint64_t highest, Result<std::uint64_t> (*parse)(std::string_view),
                                          std::string (*format)(std::uint64_t));
    std::optional<std::uint64_t> in_range(std::string_view key, std::uint64_t value, std::uint64_t lowest,
                                          std::uint64_t highest, std::string (*format)(std::uint64_t));

    const Value& table_;
    std::string_view what_;
    Problems& problems_;
    Unknown unknown_;
    const Value::Table* members_ = nullptr;  // nullptr: not a table, which has been reported
    std::vector<std::string_view> known_;
};

}  // namespace sidecore::control
