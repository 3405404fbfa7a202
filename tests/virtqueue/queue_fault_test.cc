// SPDX-License-Identifier: Apache-2.0
#include "virtqueue/queue_fault.hh"

#include <set>

#include <gtest/gtest.h>

namespace sidecore::virtqueue {
namespace {

using Kind = QueueFault::Kind;

TEST(QueueFault, is_none_at_first) {
    const QueueFault fault;
    EXPECT_FALSE(fault);
    EXPECT_EQ(fault.describe(8), "no fault");
    EXPECT_TRUE((QueueFault{Kind::loop, 0, 0, 0}));
}

TEST(QueueFault, has_words_of_its_own_for_each_kind) {
    std::set<std::string> all;
    for (unsigned kind = 0; kind <= static_cast<unsigned>(Kind::bad_request); ++kind) {
        const std::string words = QueueFault{static_cast<Kind>(kind), 3, 5, 7}.describe(8);
        EXPECT_NE(words, "unknown fault") << kind;
        EXPECT_TRUE(all.insert(words).second) << words;
    }
}

TEST(QueueFault, names_the_reasons_that_no_chain_has) {
    EXPECT_EQ((QueueFault{Kind::memory_damaged, 0, 0, 0}.describe(8)),
              "the front-end's memory file is shorter than the memory it described");
    EXPECT_EQ((QueueFault{Kind::ring_unmapped, 0, 0, 0}.describe(8)),
              "the ring is not in the memory that the front-end described last");
    EXPECT_EQ((QueueFault{Kind::bad_request, 9, 2, 0}.describe(8)),
              "descriptor chain 9: the device cannot make sense of it (case 2)");
}

}  // namespace
}  // namespace sidecore::virtqueue
