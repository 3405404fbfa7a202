// SPDX-License-Identifier: Apache-2.0
#include "frontend/disk_load.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "frontend/allocation_counter.hh"
#include "frontend/device_side.hh"

namespace sidecore::frontend {
namespace {

using test::DeviceSide;
using Access = DiskLoad::Access;

struct Bench {
    explicit Bench(const DiskLoad::Options& options, bool event_index = true)
        : memory(*GuestMemoryFile::create(8U << 20U)),
          queue(*DriverQueue::create(memory, {.size = 64, .event_index = event_index})),
          load(*DiskLoad::create(memory, queue, options)),
          device(memory, queue) {}

    /// Ends everything that is available, latest first, each with its status.
    void serve(std::uint8_t status) {
        const std::uint16_t available = device.available_index();
        for (std::uint16_t i = available; i != served; --i) {
            const std::uint16_t head = device.available_entry(static_cast<std::uint16_t>(i - 1));
            std::uint16_t index = head;
            const DeviceSide::Buffer first = device.descriptor(head);
            const std::byte* table = queue.ring().descriptor_area().host;
            if ((first.flags & 4U) != 0) {
                table = device.host(first);
                index = 0;
            }
            DeviceSide::Buffer last{};
            do {
                std::memcpy(&last, table + 16 * index, 16);
                index = last.next;
            } while ((last.flags & 1U) != 0);
            *device.host(last) = std::byte{status};
            device.use(head, 1);
        }
        served = available;
    }

    GuestMemoryFile memory;
    DriverQueue queue;
    DiskLoad load;
    DeviceSide device;
    std::uint16_t served = 0;
};

class Chains : public testing::TestWithParam<bool> {};

TEST_P(Chains, CarryTheRequest) {
    Bench bench({.depth = 4, .block_bytes = 4096, .indirect = GetParam()});
    EXPECT_EQ(bench.queue.free_descriptors(), GetParam() ? 60 : 52);
    const std::uint16_t slot = bench.load.start(Access::read, 0x1234567890);
    bench.queue.publish();
    const auto chain = bench.device.chain(bench.device.available_entry(0));
    ASSERT_EQ(chain.size(), 3U);
    EXPECT_EQ(chain[0].length, 16U);
    EXPECT_FALSE(chain[0].writable());
    EXPECT_EQ(chain[1].length, 4096U);
    EXPECT_TRUE(chain[1].writable());
    EXPECT_EQ(bench.device.host(chain[1]), bench.load.data(slot).data());
    EXPECT_EQ(chain[2].length, 1U);
    EXPECT_TRUE(chain[2].writable());
    EXPECT_EQ(chain[0].address / 64, chain[2].address / 64) << "header and status in one cache line";
    constexpr std::array<std::uint8_t, 16> header{0, 0, 0, 0, 0, 0, 0, 0, 0x90, 0x78, 0x56, 0x34, 0x12, 0, 0, 0};
    EXPECT_EQ(std::memcmp(bench.device.host(chain[0]), header.data(), header.size()), 0);
    EXPECT_EQ(*bench.device.host(chain[2]), std::byte{0xff}) << "not written yet";
}

TEST_P(Chains, TurnFromReadToWriteAndBack) {
    Bench bench({.depth = 1, .block_bytes = 512, .indirect = GetParam()});
    std::array<DiskLoad::Finished, 4> finished{};
    std::uint16_t index = 0;
    for (const Access access : {Access::write, Access::write, Access::read, Access::write, Access::read}) {
        bench.load.start(access, 1);
        bench.queue.publish();
        const auto chain = bench.device.chain(bench.device.available_entry(index++));
        ASSERT_EQ(chain.size(), 3U);
        std::uint32_t type_seen = 99;
        std::memcpy(&type_seen, bench.device.host(chain[0]), 4);
        EXPECT_EQ(type_seen, access == Access::read ? 0U : 1U);
        EXPECT_EQ(chain[1].writable(), access == Access::read);
        EXPECT_TRUE(chain[2].writable());
        bench.serve(0);
        ASSERT_EQ(bench.load.finish(finished), 1U);
    }
}

TEST_P(Chains, AreWrittenAgainIfWanted) {
    for (const bool rewrite : {false, true}) {
        Bench bench({.depth = 1, .block_bytes = 512, .indirect = GetParam(), .rewrite_descriptors = rewrite});
        std::array<DiskLoad::Finished, 1> finished{};
        bench.load.start(Access::write, 1);
        bench.queue.publish();
        const auto before = bench.device.chain(bench.device.available_entry(0));
        bench.serve(0);
        ASSERT_EQ(bench.load.finish(finished), 1U);
        // Something that does not belong there, in the address of the data's descriptor.
        std::byte* const table =
            GetParam() ? bench.device.host(bench.device.descriptor(0)) : bench.queue.ring().descriptor_area().host;
        const std::uint64_t spoilt = 0x777;
        std::memcpy(table + 16, &spoilt, sizeof spoilt);
        bench.load.start(Access::write, 2);
        bench.queue.publish();
        const auto after = bench.device.chain(bench.device.available_entry(1));
        ASSERT_EQ(after.size(), 3U);
        EXPECT_EQ(after[1].address, rewrite ? before[1].address : spoilt);
        EXPECT_EQ(after[1].flags, before[1].flags);
        EXPECT_EQ(after[2].address, before[2].address);
    }
}

TEST_P(Chains, OfScsiHaveTheAnswerBeforeTheDataThatTheDeviceWrites) {
    Bench bench({.protocol = DiskProtocol::scsi,
                 .lun = scsi_lun(3, 5),
                 .depth = 2,
                 .block_bytes = 4096,
                 .indirect = GetParam()});
    std::array<DiskLoad::Finished, 1> finished{};
    std::uint16_t index = 0;
    for (const Access access : {Access::read, Access::write, Access::write, Access::read}) {
        const std::uint16_t slot = bench.load.start(access, 0x12345678);
        bench.queue.publish();
        const auto chain = bench.device.chain(bench.device.available_entry(index++));
        ASSERT_EQ(chain.size(), 3U);
        const bool read = access == Access::read;
        EXPECT_EQ(chain[0].length, 51U);
        EXPECT_FALSE(chain[0].writable());
        const auto& data = chain[read ? 2 : 1];
        const auto& answer = chain[read ? 1 : 2];
        EXPECT_EQ(data.length, 4096U);
        EXPECT_EQ(data.writable(), read);
        EXPECT_EQ(bench.device.host(data), bench.load.data(slot).data());
        EXPECT_EQ(answer.length, 12U + 96U);
        EXPECT_TRUE(answer.writable());
        EXPECT_EQ(answer.address % 64, 0U) << "of what the device writes one line has all that the driver looks at";
        EXPECT_NE(answer.address / 64, chain[0].address / 64);
        EXPECT_EQ(bench.device.host(answer)[11], std::byte{0xff}) << "not written yet";
        const auto* const header = reinterpret_cast<const std::uint8_t*>(bench.device.host(chain[0]));
        EXPECT_EQ(std::vector(header, header + 8), (std::vector<std::uint8_t>{1, 3, 0x40, 5, 0, 0, 0, 0}));
        EXPECT_EQ(std::vector(header + 16, header + 29),
                  (std::vector<std::uint8_t>{0, 0, 0, static_cast<std::uint8_t>(read ? 0x28 : 0x2a), 0, 0x12, 0x34,
                                             0x56, 0x78, 0, 0, 8, 0}));
        std::memset(bench.device.host(answer), 0, 12);
        bench.device.use(bench.device.available_entry(static_cast<std::uint16_t>(index - 1)), 12);
        ASSERT_EQ(bench.load.finish(finished), 1U);
        EXPECT_EQ(finished[0].status, 0);
        EXPECT_EQ(finished[0].slot, slot);
    }
}

TEST_P(Chains, OfScsiTellResponseOrStatus) {
    struct Case {
        std::uint8_t response;
        std::uint8_t status;
        std::uint8_t told;
    };
    Bench bench({.protocol = DiskProtocol::scsi, .depth = 1, .block_bytes = 512, .indirect = GetParam()});
    std::array<DiskLoad::Finished, 1> finished{};
    std::uint16_t index = 0;
    for (const Case& each : {Case{0, 0, 0}, Case{3, 0, 3}, Case{0, 2, 2}, Case{9, 2, 9}}) {
        bench.load.start(Access::read, 1);
        bench.queue.publish();
        const std::uint16_t head = bench.device.available_entry(index++);
        std::byte* const answer = bench.device.host(bench.device.chain(head).at(1));
        answer[10] = std::byte{each.status};
        answer[11] = std::byte{each.response};
        bench.device.use(head, 12);
        ASSERT_EQ(bench.load.finish(finished), 1U);
        EXPECT_EQ(finished[0].status, each.told);
    }
}

INSTANTIATE_TEST_SUITE_P(Forms, Chains, testing::Bool(),
                         [](const auto& test) { return test.param ? "Indirect" : "Direct"; });

TEST(DiskLoad, KeepsItsDepthAndTellsEachStatus) {
    Bench bench({.depth = 16, .block_bytes = 512});
    EXPECT_EQ(bench.load.idle(), 16U);
    std::array<DiskLoad::Finished, 10> finished{};
    for (unsigned round = 0; round < 50; ++round) {
        std::vector<bool> busy(16);
        for (unsigned i = 0; i < 16; ++i) {
            const std::uint16_t slot = bench.load.start(Access::read, i);
            EXPECT_FALSE(busy.at(slot)) << "a slot twice";
            busy.at(slot) = true;
        }
        EXPECT_EQ(bench.load.idle(), 0U);
        bench.queue.publish();
        EXPECT_EQ(bench.load.finish(finished), 0U);
        const auto status = static_cast<std::uint8_t>(round % 3);
        bench.serve(status);
        for (const std::size_t expected : {10U, 6U}) {
            ASSERT_EQ(bench.load.finish(finished), expected);
            for (std::size_t i = 0; i < expected; ++i) {
                EXPECT_EQ(finished[i].status, status);
                busy.at(finished[i].slot) = false;
            }
        }
        EXPECT_EQ(std::count(busy.begin(), busy.end(), true), 0);
        EXPECT_EQ(bench.load.idle(), 16U);
    }
}

TEST(DiskLoad, AllocatesNothingPerRequest) {
    Bench bench({.depth = 16, .block_bytes = 512});
    std::array<DiskLoad::Finished, 16> finished{};
    bench.queue.suppress_calls();
    const std::size_t before = test::allocations_in_this_thread();
    for (unsigned round = 0; round < 5000; ++round) {
        while (bench.load.idle() != 0) {
            bench.load.start(Access::read, round);
        }
        bench.queue.publish();
        bench.serve(0);
        bench.load.finish(finished);
    }
    EXPECT_EQ(test::allocations_in_this_thread(), before);
    EXPECT_EQ(bench.queue.statistics().used, 5000U * 16U);
}

TEST(DiskLoad, WhatTheQueueCannotHoldIsRefused) {
    auto memory = *GuestMemoryFile::create(8U << 20U);
    auto queue = *DriverQueue::create(memory, {.size = 64});
    const auto load = DiskLoad::create(memory, queue, {.depth = 22});
    ASSERT_FALSE(load) << "22 times 3 descriptors";
    EXPECT_EQ(load.error().kind, ErrorKind::out_of_range);
    auto second = *DriverQueue::create(memory, {.size = 64});
    EXPECT_TRUE(DiskLoad::create(memory, second, {.depth = 22, .indirect = true}));
    const auto odd = DiskLoad::create(memory, second, {.depth = 1, .block_bytes = 100});
    ASSERT_FALSE(odd);
    EXPECT_EQ(odd.error().kind, ErrorKind::invalid_argument);
    const auto large =
        DiskLoad::create(memory, second, {.protocol = DiskProtocol::scsi, .depth = 1, .block_bytes = 512 * 65536});
    ASSERT_FALSE(large) << "for READ (10)";
    EXPECT_EQ(large.error().kind, ErrorKind::invalid_argument);
}

}  // namespace
}  // namespace sidecore::frontend
