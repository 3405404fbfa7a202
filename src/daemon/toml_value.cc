// SPDX-License-Identifier: Apache-2.0
#include "daemon/toml_value.hh"

#include <string>
#include <utility>

#include <toml++/toml.h>

#include "base/format.hh"

namespace sidecore::daemon {

namespace {

using control::Problem;
using control::Value;

class Converter {
public:
    explicit Converter(std::string_view file_name) : file_name_(file_name) {}

    std::string place(const toml::source_region& region) const {
        return fmt::format("{}:{}:{}", file_name_, region.begin.line, region.begin.column);
    }

    // Recursion ends where the parser's own limit on nesting ends it (256 levels).
    Value convert(const toml::node& node) const { return {content(node), place(node.source())}; }

private:
    decltype(Value::data) content(const toml::node& node) const {
        switch (node.type()) {
            case toml::node_type::table:
                return members(*node.as_table());
            case toml::node_type::array:
                return elements(*node.as_array());
            case toml::node_type::string:
                return node.as_string()->get();
            case toml::node_type::integer:
                return integer(node.as_integer()->get());
            case toml::node_type::floating_point:
                return node.as_floating_point()->get();
            case toml::node_type::boolean:
                return node.as_boolean()->get();
            case toml::node_type::date:
                return Value::Other{"a date"};
            case toml::node_type::time:
                return Value::Other{"a time"};
            case toml::node_type::date_time:
                return Value::Other{"a date and time"};
            case toml::node_type::none:
                break;
        }
        return Value::Null{};
    }

    static decltype(Value::data) integer(std::int64_t value) {
        if (value < 0) {
            return value;
        }
        return static_cast<std::uint64_t>(value);
    }

    Value::Table members(const toml::table& table) const {
        Value::Table result;
        for (const auto& [key, node] : table) {
            result.push_back({std::string(key.str()), place(key.source()), convert(node)});
        }
        return result;
    }

    Value::Array elements(const toml::array& array) const {
        Value::Array result;
        for (const toml::node& node : array) {
            result.push_back(convert(node));
        }
        return result;
    }

    std::string_view file_name_;
};

}  // namespace

tl::expected<Value, Problem> parse_toml(std::string_view text, std::string_view file_name) {
    const Converter converter(file_name);
    try {
        return converter.convert(toml::parse(text));
    } catch (const toml::parse_error& error) {
        return tl::unexpected(Problem{converter.place(error.source()), std::string(error.description())});
    }
}

}  // namespace sidecore::daemon
