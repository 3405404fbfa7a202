// SPDX-License-Identifier: Apache-2.0
// SYNCHRONIZE CACHE, PRE-FETCH, READ CAPACITY and READ DEFECT DATA.
#include <gtest/gtest.h>

#include "scsi/block_cdbs.hh"
#include "scsi/limits.hh"

namespace sidecore::scsi::test {
namespace {

using storage::BlockOperation;

class Medium : public testing::Test {
protected:
    Medium() { initiator.add(fake.unit); }

    FakeUnit fake{32U << 20U};
    Initiator initiator;
    const std::uint64_t capacity = fake.unit->capacity_blocks();
};

TEST_F(Medium, a_cache_is_flushed) {
    for (const Bytes& cdb : {block_cdb(10, 0x35, 0, 0), block_cdb(10, 0x35, 5, 6, 2), block_cdb(16, 0x91, 0, 0),
                             block_cdb(16, 0x91, capacity - 1, 1, 2)}) {
        EXPECT_TRUE(initiator.run(cdb).good());
        EXPECT_EQ(fake.disk->seen().back().operation, BlockOperation::flush);
    }
    EXPECT_EQ(fake.disk->seen().size(), 4U);
    fail_once(*fake.disk, BlockOperation::flush);
    EXPECT_TRUE(
        failed_with(initiator.run(block_cdb(10, 0x35, 0, 0)), SenseKey::medium_error, AdditionalSense::write_error));
    fake.unit->software_write_protected = true;
    EXPECT_TRUE(initiator.run(block_cdb(10, 0x35, 0, 0)).good());
}

TEST_F(Medium, a_cache_of_blocks_that_are_not_there_is_not) {
    EXPECT_EQ(initiator.run(block_cdb(10, 0x35, capacity - 1, 2)).code(), AdditionalSense::lba_out_of_range);
    EXPECT_EQ(initiator.run(block_cdb(16, 0x91, capacity + 1, 0)).code(), AdditionalSense::lba_out_of_range);
    EXPECT_TRUE(field_refused(initiator.run(block_cdb(16, 0x91, 0, 0, 4)), 1, 2));
}

TEST_F(Medium, blocks_are_fetched_before_they_are_read) {
    EXPECT_EQ(initiator.run(block_cdb(10, 0x34, 1, 1100)).status, Status::condition_met);
    EXPECT_EQ(fake.disk->seen().size(), 3U);
    EXPECT_EQ(initiator.run(block_cdb(16, 0x90, capacity - 2, 0, 2)).status, Status::condition_met);
    EXPECT_EQ(fake.disk->seen().back().length_bytes, 1024U);
    EXPECT_TRUE(initiator.run(block_cdb(16, 0x90, 0, 0)).good()) << "there is no room for all of it";
    EXPECT_TRUE(field_refused(initiator.run(block_cdb(16, 0x90, 0, prefetch_blocks_max(512) + 1)), 10));
    EXPECT_TRUE(field_refused(initiator.run(block_cdb(10, 0x34, 0, prefetch_blocks_max(512) + 1)), 7));
    EXPECT_EQ(initiator.run(block_cdb(10, 0x34, capacity, 1)).code(), AdditionalSense::lba_out_of_range);
    fail_once(*fake.disk, BlockOperation::read);
    EXPECT_EQ(initiator.run(block_cdb(10, 0x34, 0, 1)).code(), AdditionalSense::unrecovered_read_error);
}

TEST_F(Medium, its_capacity_is_told) {
    EXPECT_EQ(initiator.run(block_cdb(10, 0x25, 0, 0), 8).data_in, bytes({0, 0, 0xff, 0xff, 0, 0, 2, 0}));
    EXPECT_EQ(initiator.run(with_field(block_cdb(10, 0x25, 9, 0), 8, 1, 1), 8).data_in,
              bytes({0, 0, 0xff, 0xff, 0, 0, 2, 0}));
    EXPECT_TRUE(field_refused(initiator.run(block_cdb(10, 0x25, 9, 0), 8), 2));
    EXPECT_EQ(initiator.run(block_cdb(10, 0x25, 0, 0), 7).outcome, Outcome::overrun);

    Bytes expected(32);
    expected[6] = expected[7] = std::byte{0xff};
    expected[10] = std::byte{2};
    expected[14] = std::byte{0xc0};
    EXPECT_EQ(initiator.run(block_cdb(16, 0x9e, 0, 32, 0x10), 32).data_in, expected);
    EXPECT_EQ(initiator.run(block_cdb(16, 0x9e, 0, 12, 0x10), 32).data_in, part(expected, 0, 12));
    EXPECT_TRUE(field_refused(initiator.run(block_cdb(16, 0x9e, 9, 32, 0x10), 32), 2));
    EXPECT_TRUE(initiator.run(with_field(block_cdb(16, 0x9e, 9, 32, 0x10), 14, 1, 1), 32).good());
}

TEST_F(Medium, a_medium_of_other_blocks_says_so) {
    storage::BlockGeometry geometry;
    geometry.capacity_bytes = 1U << 20U;
    geometry.physical_block_bytes = 4096;
    FakeUnit other(geometry);
    initiator.add(other.unit, 0, Lun(1));
    Request request{block_cdb(16, 0x9e, 0, 32, 0x10), {}, 32};
    request.lun = Lun(1);
    const Bytes data = initiator.run(request).data_in;
    EXPECT_EQ(data[13], std::byte{3}) << "2^3 blocks in a physical one";
    EXPECT_EQ(data[14], std::byte{0}) << "and none can be unmapped";
}

TEST_F(Medium, no_block_is_bad) {
    EXPECT_EQ(initiator.run(with_field(block_cdb(10, 0x37, 0, 100), 2, 1, 0x1d), 100).data_in, bytes({0, 0x1d, 0, 0}));
    EXPECT_TRUE(field_refused(initiator.run(with_field(block_cdb(10, 0x37, 0, 100), 2, 1, 0x1e), 100), 2, 2));
    EXPECT_EQ(initiator.run(block_cdb(12, 0xb7, 0, 100, 0x08), 100).data_in, bytes({0, 0x08, 0, 0, 0, 0, 0, 0}));
    EXPECT_TRUE(field_refused(initiator.run(block_cdb(12, 0xb7, 0, 100, 0x07), 100), 1, 2));
}

}  // namespace
}  // namespace sidecore::scsi::test
