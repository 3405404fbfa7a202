// SPDX-License-Identifier: Apache-2.0
#include "control/json.hh"

#include <limits>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sidecore::control {
namespace {

using ::testing::HasSubstr;

std::string error_of(std::string_view text) {
    const auto parsed = parse_json(text);
    return parsed ? "no error" : parsed.error().message;
}

const Value& member(const Value& table, std::string_view key) {
    for (const Value::Member& candidate : std::get<Value::Table>(table.data)) {
        if (candidate.key == key) {
            return candidate.value;
        }
    }
    throw std::out_of_range(std::string(key));
}

TEST(ParseJson, KeepsTypesAndPlaces) {
    const auto parsed =
        parse_json(R"({"a": 1, "b": {"c": [true, null, {"d": -5}, "text"]}, "e": 1.5, "f": 18446744073709551615})");
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(parsed->where, "request");
    EXPECT_EQ(std::get<std::uint64_t>(member(*parsed, "a").data), 1U);
    EXPECT_EQ(member(*parsed, "a").where, "a");
    const Value& list = member(member(*parsed, "b"), "c");
    EXPECT_EQ(list.where, "b.c");
    const auto& elements = std::get<Value::Array>(list.data);
    ASSERT_EQ(elements.size(), 4U);
    EXPECT_TRUE(std::get<bool>(elements[0].data));
    EXPECT_TRUE(std::holds_alternative<Value::Null>(elements[1].data));
    EXPECT_EQ(elements[2].where, "b.c[2]");
    EXPECT_EQ(std::get<std::int64_t>(member(elements[2], "d").data), -5);
    EXPECT_EQ(member(elements[2], "d").where, "b.c[2].d");
    EXPECT_EQ(std::get<std::string>(elements[3].data), "text");
    EXPECT_DOUBLE_EQ(std::get<double>(member(*parsed, "e").data), 1.5);
    EXPECT_EQ(std::get<std::uint64_t>(member(*parsed, "f").data), std::numeric_limits<std::uint64_t>::max());
}

TEST(ParseJson, KeepsTheOuterValueAlone) {
    EXPECT_EQ(std::get<std::uint64_t>(parse_json("7").value().data), 7U);
    const auto array = parse_json("[[1]]", "reply");
    ASSERT_TRUE(array);
    const auto& outer = std::get<Value::Array>(array->data);
    EXPECT_EQ(outer[0].where, "reply[0]");
    EXPECT_EQ(std::get<Value::Array>(outer[0].data)[0].where, "reply[0][0]");
}

TEST(ParseJson, SaysWhereTheSyntaxIsWrong) {
    EXPECT_THAT(error_of(""), HasSubstr("request: not JSON: it ends too early"));
    EXPECT_THAT(error_of("{"), HasSubstr("byte 2"));
    EXPECT_THAT(error_of("{\"a\" 1}"), HasSubstr("at byte 6"));
    EXPECT_THAT(error_of("{} x"), HasSubstr("unexpected"));
    EXPECT_THAT(error_of("{\"a\": 01}"), HasSubstr("not JSON"));
    EXPECT_THAT(error_of("{\"a\": 1e999}"), HasSubstr("not JSON"));
    EXPECT_THAT(error_of("{\"\xff\": 1}"), HasSubstr("not JSON"));
    EXPECT_LT(error_of("{\"" + std::string(10'000, 'x')).size(), 200U);
}

TEST(ParseJson, RefusesWhatWouldBeAmbiguousOrHurt) {
    EXPECT_EQ(error_of(R"({"a": {"b": 1, "b": 2}})"), "a.b: the key \"b\" is there twice");
    EXPECT_EQ(error_of(R"({"a": 18446744073709551616})"), "a: the integer 18446744073709551616 has more than 64 bits");
    EXPECT_THAT(error_of(std::string(17, '[') + std::string(17, ']')), HasSubstr("nested deeper than 16"));
    EXPECT_THAT(error_of(std::string(100'000, '[')), HasSubstr("nested deeper than 16"));
    EXPECT_EQ(error_of(std::string(16, '[') + std::string(16, ']')), "no error");
}

TEST(ToText, SurvivesBytesThatAreNoUtf8) {
    const Json json = {{"path", "/tmp/\xff"}};
    EXPECT_EQ(to_text(json), "{\"path\":\"/tmp/\xef\xbf\xbd\"}");
}

}  // namespace
}  // namespace sidecore::control
