// SPDX-License-Identifier: Apache-2.0
#include "engine/policy_settings.hh"

#include <gtest/gtest.h>

namespace sidecore::engine {
namespace {

TEST(PolicyKind, NamesGoBothWaysAndOthersAreRefused) {
    for (const PolicyKind kind : {PolicyKind::never, PolicyKind::always, PolicyKind::rate, PolicyKind::fixed,
                                  PolicyKind::grow_shrink, PolicyKind::breakeven, PolicyKind::adaptive}) {
        EXPECT_EQ(parse_policy_kind(to_string(kind)).value(), kind);
    }
    EXPECT_NE(parse_policy_kind("sometimes").error().message.find("\"sometimes\" is no policy; use one of never, "),
              std::string::npos);
}

TEST(Prefer, NamesGoBothWaysAndOthersAreRefused) {
    for (const Prefer prefer : {Prefer::latency, Prefer::balanced, Prefer::cpu}) {
        EXPECT_EQ(parse_prefer(to_string(prefer)).value(), prefer);
    }
    EXPECT_EQ(parse_prefer("comfort").error().message,
              "\"comfort\" is no preference; use one of latency, balanced, cpu");
}

}  // namespace
}  // namespace sidecore::engine
