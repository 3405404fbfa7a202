// SPDX-License-Identifier: Apache-2.0
#include "network/mac_table.hh"

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "network/frames.hh"
#include "network/packet_tools.hh"

namespace sidecore::network::test {
namespace {

using Learned = MacTable::Learned;

Station numbered_station(std::uint32_t number, std::uint16_t vlan = 0) {
    const Mac mac = station(number);
    return {vlan, std::as_bytes(std::span(mac))};
}

std::size_t held_by(const MacTable& table, PortNumber port, std::uint32_t now_s) {
    const std::vector<MacTable::Row> rows = table.list(now_s);
    return static_cast<std::size_t>(
        std::count_if(rows.begin(), rows.end(), [&](const MacTable::Row& row) { return row.port == port; }));
}

TEST(MacTable, KnowsWhatItHasLearned) {
    const auto table = must(MacTable::create({}));
    EXPECT_EQ(table->entries(), 4096U);
    EXPECT_EQ(table->entries_per_port(), 1024U);
    EXPECT_EQ(table->find(numbered_station(1), 0), no_port);
    EXPECT_EQ(table->learn(numbered_station(1), 3, 0), Learned::added);
    EXPECT_EQ(table->learn(numbered_station(1), 3, 0), Learned::known);
    EXPECT_EQ(table->find(numbered_station(1), 0), 3);
    EXPECT_EQ(table->find(numbered_station(2), 0), no_port);
    EXPECT_EQ(table->find(numbered_station(1, 7), 0), no_port) << "it is somebody else in another VLAN";
    EXPECT_EQ(table->learn(numbered_station(1, 7), 4, 0), Learned::added);
    EXPECT_EQ(table->find(numbered_station(1), 0), 3);
    EXPECT_EQ(table->find(numbered_station(1, 7), 0), 4);
}

TEST(MacTable, AStationReadsAsItWasWritten) {
    const Station one = numbered_station(0x01020304, 4095);
    EXPECT_EQ(one.vlan(), 4095);
    EXPECT_EQ(one.mac(), (Mac{2, 0, 1, 2, 3, 4}));
    EXPECT_EQ(Station(one.number()), one);
}

TEST(MacTable, AnEntryAgesUnlessItsStationIsSeen) {
    const auto table = must(MacTable::create({.age_s = 10}));
    table->learn(numbered_station(1), 0, 100);
    table->learn(numbered_station(2), 0, 100);
    EXPECT_EQ(table->find(numbered_station(1), 110), 0);
    EXPECT_EQ(table->learn(numbered_station(1), 0, 109), Learned::known);
    EXPECT_EQ(table->find(numbered_station(1), 119), 0);
    EXPECT_EQ(table->find(numbered_station(2), 111), no_port);
    EXPECT_EQ(table->find(numbered_station(2), 99), 0) << "by a clock that was read a moment before";
    const std::vector<MacTable::Row> rows = table->list(115);
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].station, numbered_station(1));
    EXPECT_EQ(rows[0].age_s, 6U);
}

TEST(MacTable, AStationMoves) {
    const auto table = must(MacTable::create({}));
    table->learn(numbered_station(1), 0, 0);
    EXPECT_EQ(table->learn(numbered_station(1), 5, 0), Learned::moved);
    EXPECT_EQ(table->find(numbered_station(1), 0), 5);
    EXPECT_EQ(table->list(0).size(), 1U);
}

TEST(MacTable, APortTakesItsEntriesAlong) {
    const auto table = must(MacTable::create({}));
    for (std::uint32_t i = 0; i < 100; ++i) {
        table->learn(numbered_station(i), static_cast<PortNumber>(i % 2), 0);
    }
    table->forget(1);
    EXPECT_EQ(held_by(*table, 1, 0), 0U);
    EXPECT_EQ(held_by(*table, 0, 0), 50U);
    EXPECT_EQ(table->find(numbered_station(1), 0), no_port);
}

TEST(MacTable, APortHasNoMoreThanItsShare) {
    const auto table = must(MacTable::create({.entries = 256, .share = 64}));
    std::size_t refused = 0;
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        refused += table->learn(numbered_station(i), 1, 0) == Learned::refused ? 1 : 0;
        ASSERT_LE(held_by(*table, 1, 0), 4U);
    }
    EXPECT_EQ(held_by(*table, 1, 0), 4U);
    EXPECT_GT(refused, 0U);
}

TEST(MacTable, AFloodOfAddressesDoesNotPushOutTheOthers) {
    const auto table = must(MacTable::create({.entries = 256, .share = 4}));
    for (PortNumber port = 10; port < 30; ++port) {
        ASSERT_EQ(table->learn(numbered_station(port), port, 0), Learned::added);
    }
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        table->learn(numbered_station(1000 + i), static_cast<PortNumber>(i % 6), 0);
    }
    for (PortNumber port = 10; port < 30; ++port) {
        EXPECT_EQ(table->find(numbered_station(port), 0), port);
    }
    // Who comes late finds all places taken, and gets those of who has many.
    for (PortNumber port = 30; port < 50; ++port) {
        ASSERT_EQ(table->learn(numbered_station(port), port, 0), Learned::added) << port;
    }
}

TEST(MacTable, AStationThatMovesToAPortWithItsShareIsNowhere) {
    const auto table = must(MacTable::create({.entries = 64, .share = 64}));
    ASSERT_EQ(table->learn(numbered_station(1), 0, 0), Learned::added);
    ASSERT_EQ(table->learn(numbered_station(2), 1, 0), Learned::added);
    EXPECT_EQ(table->learn(numbered_station(1), 1, 0), Learned::refused);
    EXPECT_EQ(table->find(numbered_station(1), 0), no_port);
    EXPECT_EQ(held_by(*table, 0, 0), 0U);
    EXPECT_EQ(held_by(*table, 1, 0), 1U);
    EXPECT_EQ(table->learn(numbered_station(3), 0, 0), Learned::added) << "what it left is counted as left";
}

TEST(MacTable, WhatHasAgedDoesNotCountForLong) {
    const auto table = must(MacTable::create({.entries = 64, .age_s = 10, .share = 4}));
    for (std::uint32_t i = 0; i < 1000; ++i) {
        table->learn(numbered_station(i), 0, 0);
    }
    ASSERT_EQ(held_by(*table, 0, 0), 16U);
    std::uint32_t number = 1000;
    for (; number < 1100 && held_by(*table, 0, 11) < 16; ++number) {
        table->learn(numbered_station(number), 0, 11);
    }
    EXPECT_EQ(held_by(*table, 0, 11), 16U);
}

TEST(MacTable, OptionsOutOfRangeAreRefused) {
    const MacTableOptions wrong[] = {
        {.entries = 63}, {.entries = (1U << 20U) + 1}, {.age_s = 0}, {.share = 0}, {.share = 65}};
    for (const MacTableOptions& options : wrong) {
        const auto table = MacTable::create(options);
        ASSERT_FALSE(table.has_value());
        EXPECT_EQ(table.error().kind, ErrorKind::out_of_range);
    }
}

/// While some threads learn and forget, others look up: a station is at its own port or nowhere, never at another's.
TEST(MacTable, NobodyFindsAStationWhereItHasNeverBeen) {
    const auto table = must(MacTable::create({.entries = 64, .share = 1}));
    constexpr std::uint32_t stations = 512;
    const auto port_of = [](std::uint32_t number) { return static_cast<PortNumber>(number % 4); };
    std::atomic<bool> wrong{false};
    std::atomic<std::uint64_t> found{0};
    std::vector<std::thread> threads;
    for (std::uint32_t thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&, thread] {
            Random random(thread);
            for (int i = 0; i < 20'000; ++i) {
                const auto number = static_cast<std::uint32_t>(random() % stations);
                if (i % 1000 == 0 && thread == 0) {
                    table->forget(port_of(number));
                }
                table->learn(numbered_station(number), port_of(number), 0);
                const auto other = static_cast<std::uint32_t>(random() % stations);
                const PortNumber port = table->find(numbered_station(other), 0);
                found += port != no_port ? 1 : 0;
                wrong = wrong || (port != no_port && port != port_of(other));
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_FALSE(wrong);
    EXPECT_GT(found, 0U);
    EXPECT_LE(table->list(0).size(), table->entries());
}

}  // namespace
}  // namespace sidecore::network::test
