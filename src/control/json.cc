// SPDX-License-Identifier: Apache-2.0
#include "control/json.hh"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/format.hh"

namespace sidecore::control {

namespace {

constexpr std::size_t max_depth = 16;

/// Builds a Value while the parser walks through the text. A handler that returns false ends the parsing.
class ValueBuilder final : public nlohmann::json_sax<nlohmann::json> {
public:
    explicit ValueBuilder(std::string_view root) : root_place_(root) {}

    bool null() override { return add(Value::Null{}); }
    bool boolean(bool value) override { return add(value); }
    bool number_integer(number_integer_t value) override {
        return value < 0 ? add(std::int64_t{value}) : add(static_cast<std::uint64_t>(value));
    }
    bool number_unsigned(number_unsigned_t value) override { return add(std::uint64_t{value}); }
    bool number_float(number_float_t value, const string_t& text) override {
        // The parser falls back to floating point when an integer is too long for 64 bits.
        if (text.find_first_of(".eE") == string_t::npos) {
            return fail(place(), fmt::format("the integer {} has more than 64 bits", text));
        }
        return add(value);
    }
    bool string(string_t& value) override { return add(std::move(value)); }
    bool binary(binary_t& /*value*/) override { return fail(place(), "binary values are not JSON"); }

    bool start_object(std::size_t /*elements*/) override { return open(Value::Table{}); }
    bool end_object() override { return close(); }
    bool start_array(std::size_t /*elements*/) override { return open(Value::Array{}); }
    bool end_array() override { return close(); }

    bool key(string_t& key) override {
        Open& object = open_.back();
        object.key = std::move(key);
        const auto& members = std::get<Value::Table>(object.value.data);
        if (std::ranges::find(members, object.key, &Value::Member::key) != members.end()) {
            return fail(place(), fmt::format("the key \"{}\" is there twice", object.key));
        }
        return true;
    }

    bool parse_error(std::size_t position, const std::string& last_token,
                     const nlohmann::json::exception& /*exception*/) override {
        constexpr std::size_t max_quoted = 40;
        return fail(root_place_, last_token.empty()
                                     ? fmt::format("not JSON: it ends too early, at byte {}", position)
                                     : fmt::format("not JSON: unexpected \"{}\" at byte {}",
                                                   std::string_view(last_token).substr(0, max_quoted), position));
    }

    Result<Value> take() && {
        if (problem_) {
            return tl::unexpected(to_error({*problem_}));
        }
        return std::move(root_);
    }

private:
    /// An object or array whose end has not come yet.
    struct Open {
        Value value;
        std::string key;  // object: of the member that comes next
    };

    /// Where the value that comes next is.
    std::string place() const {
        if (open_.empty()) {
            return root_place_;
        }
        const Open& parent = open_.back();
        if (const auto* elements = std::get_if<Value::Array>(&parent.value.data)) {
            return fmt::format("{}[{}]", parent.value.where, elements->size());
        }
        return open_.size() == 1 ? parent.key : fmt::format("{}.{}", parent.value.where, parent.key);
    }

    template <typename T>
    bool add(T content) {
        put(Value{std::move(content), place()});
        return true;
    }

    void put(Value value) {
        if (open_.empty()) {
            root_ = std::move(value);
            return;
        }
        Open& parent = open_.back();
        if (auto* elements = std::get_if<Value::Array>(&parent.value.data)) {
            elements->push_back(std::move(value));
        } else {
            std::string where = value.where;
            std::get<Value::Table>(parent.value.data)
                .push_back({std::move(parent.key), std::move(where), std::move(value)});
        }
    }

    template <typename T>
    bool open(T empty) {
        if (open_.size() == max_depth) {
            return fail(place(), fmt::format("nested deeper than {}", max_depth));
        }
        std::string where = place();
        open_.push_back(Open{Value{std::move(empty), std::move(where)}, {}});
        return true;
    }

    bool close() {
        Value value = std::move(open_.back().value);
        open_.pop_back();
        put(std::move(value));
        return true;
    }

    bool fail(std::string where, std::string what) {
        problem_ = Problem{std::move(where), std::move(what)};
        return false;
    }

    std::string root_place_;
    Value root_;
    std::vector<Open> open_;
    std::optional<Problem> problem_;
};

}  // namespace

Result<Value> parse_json(std::string_view text, std::string_view root) {
    ValueBuilder builder(root);
    nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
    return std::move(builder).take();
}

std::string to_text(const Json& json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace sidecore::control
