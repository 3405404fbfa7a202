// SPDX-License-Identifier: Apache-2.0
// READ and WRITE of all lengths.
#include <gtest/gtest.h>

#include "scsi/block_cdbs.hh"
#include "scsi/limits.hh"

namespace sidecore::scsi::test {
namespace {

using storage::BlockOperation;

struct TransferKind {
    std::size_t bytes;
    unsigned read;
    unsigned write;
    std::uint16_t length_at;
    std::uint16_t group_at;
};
constexpr TransferKind transfer_kinds[] = {
    {6, 0x08, 0x0a, 4, 0}, {10, 0x28, 0x2a, 7, 6}, {12, 0xa8, 0xaa, 6, 10}, {16, 0x88, 0x8a, 10, 14}};

class Transfers : public testing::TestWithParam<TransferKind> {
protected:
    Transfers() { initiator.add(fake.unit); }
    Bytes reading(std::uint64_t lba, std::uint64_t blocks, unsigned flags = 0) const {
        return block_cdb(GetParam().bytes, GetParam().read, lba, blocks, flags);
    }
    Bytes writing(std::uint64_t lba, std::uint64_t blocks, unsigned flags = 0) const {
        return block_cdb(GetParam().bytes, GetParam().write, lba, blocks, flags);
    }
    bool has_flags() const { return GetParam().bytes != 6; }

    FakeUnit fake{16U << 20U};
    Initiator initiator;
};

TEST_P(Transfers, what_is_written_is_read) {
    const Bytes data = pattern(5 * 512, 3);
    const Reply written = initiator.run(writing(1000, 5), data);
    EXPECT_TRUE(written.good()) << written;
    EXPECT_EQ(written.transferred_bytes, data.size());
    EXPECT_EQ(fake.disk->contents(1000 * 512, data.size()), data);
    const Reply read = initiator.run(reading(1000, 5), data.size());
    EXPECT_TRUE(read.good()) << read;
    EXPECT_EQ(read.data_in, data);
}

TEST_P(Transfers, no_blocks_are_none_but_256_in_the_shortest) {
    const std::size_t bytes = has_flags() ? 0 : 256 * 512;
    const Reply read = initiator.run(reading(0, 0), 256 * 512);
    EXPECT_TRUE(read.good());
    EXPECT_EQ(read.transferred_bytes, bytes);
    EXPECT_TRUE(initiator.run(writing(0, 0), Bytes(256 * 512)).good());
    EXPECT_EQ(fake.disk->seen().size(), has_flags() ? 0U : 2U);
    if (has_flags()) {
        EXPECT_TRUE(initiator.run(reading(fake.unit->capacity_blocks(), 0)).good()) << "the end is no block beyond it";
        EXPECT_EQ(initiator.run(reading(fake.unit->capacity_blocks() + 1, 0)).code(),
                  AdditionalSense::lba_out_of_range);
    }
}

TEST_P(Transfers, what_leaves_the_medium_is_refused) {
    const std::uint64_t last = fake.unit->capacity_blocks() - 1;
    for (const auto& cdb : {reading(last, 2), writing(last, 2)}) {
        const Reply reply = initiator.run({cdb, Bytes(1024), 1024});
        EXPECT_TRUE(failed_with(reply, SenseKey::illegal_request, AdditionalSense::lba_out_of_range)) << reply;
        EXPECT_EQ(reply.sense->information, last);
    }
    EXPECT_TRUE(initiator.run(reading(last, 1), 512).good());
    if (GetParam().bytes == 16) {
        EXPECT_EQ(initiator.run(reading(UINT64_MAX, 2), 1024).code(), AdditionalSense::lba_out_of_range);
    }
}

TEST_P(Transfers, what_is_too_long_is_refused) {
    const std::uint64_t longest = transfer_blocks_max(512);
    if (GetParam().bytes == 6) {
        return;
    }
    EXPECT_TRUE(initiator.run(reading(0, longest), longest * 512).good());
    EXPECT_TRUE(field_refused(initiator.run(reading(0, longest + 1), (longest + 1) * 512), GetParam().length_at));
    EXPECT_TRUE(
        field_refused(initiator.run(writing(0, longest + 1), Bytes((longest + 1) * 512)), GetParam().length_at));
}

TEST_P(Transfers, buffers_that_are_too_short_are_overruns_and_longer_ones_have_a_rest) {
    EXPECT_EQ(initiator.run(reading(0, 2), 1023).outcome, Outcome::overrun);
    EXPECT_EQ(initiator.run(writing(0, 2), Bytes(1023)).outcome, Outcome::overrun);
    EXPECT_TRUE(fake.disk->seen().empty());
    EXPECT_EQ(initiator.run(reading(0, 2), 5000).transferred_bytes, 1024U);
    EXPECT_EQ(initiator.run(writing(0, 2), Bytes(5000, std::byte{1})).transferred_bytes, 1024U);
    EXPECT_EQ(fake.disk->contents(1024, 512), Bytes(512));
}

TEST_P(Transfers, protection_that_we_have_not_is_refused) {
    if (!has_flags()) {
        return;
    }
    EXPECT_TRUE(field_refused(initiator.run(reading(0, 1, 0x20), 512), 1, 5));
    EXPECT_TRUE(field_refused(initiator.run(writing(0, 1, 0xe0), Bytes(512)), 1, 7));
}

TEST_P(Transfers, a_write_is_stable_with_fua_or_without_a_write_cache) {
    const auto last_is_durable = [&] { return fake.disk->seen().back().durable; };
    initiator.run(writing(0, 1, 0x10), Bytes(512));
    EXPECT_FALSE(last_is_durable());
    if (has_flags()) {
        initiator.run(writing(0, 1, 0x08), Bytes(512));
        EXPECT_TRUE(last_is_durable());
    }
    fake.unit->write_cache = false;
    initiator.run(writing(0, 1), Bytes(512));
    EXPECT_TRUE(last_is_durable());
}

TEST_P(Transfers, a_read_with_fua_comes_from_the_medium) {
    if (!has_flags()) {
        return;
    }
    EXPECT_TRUE(initiator.run(reading(0, 1, 0x08), 512).good());
    ASSERT_EQ(fake.disk->seen().size(), 2U);
    EXPECT_EQ(fake.disk->seen()[0].operation, BlockOperation::flush);
    EXPECT_EQ(fake.disk->seen()[1].operation, BlockOperation::read);
    fail_once(*fake.disk, BlockOperation::flush);
    EXPECT_EQ(initiator.run(reading(0, 1, 0x08), 512).key(), SenseKey::medium_error);
    fake.unit->write_cache = false;
    EXPECT_TRUE(initiator.run(reading(0, 1, 0x18), 512).good());
    EXPECT_EQ(fake.disk->seen().size(), 4U) << "nothing is in a cache that there is not";
}

TEST_P(Transfers, a_group_changes_nothing) {
    if (has_flags()) {
        EXPECT_TRUE(initiator.run(with_field(reading(0, 1), GetParam().group_at, 1, 0x1f), 512).good());
        EXPECT_TRUE(field_refused(initiator.run(with_field(reading(0, 1), GetParam().group_at, 1, 0x80), 512),
                                  GetParam().group_at, 7));
    }
}

TEST_P(Transfers, a_protected_medium_is_read_only) {
    fake.unit->software_write_protected = true;
    EXPECT_TRUE(failed_with(initiator.run(writing(0, 1), Bytes(512)), SenseKey::data_protect,
                            AdditionalSense::write_protected));
    EXPECT_TRUE(initiator.run(reading(0, 1), 512).good());
}

TEST_P(Transfers, errors_of_the_storage_are_reported) {
    fail_once(*fake.disk, BlockOperation::read);
    EXPECT_EQ(initiator.run(reading(3, 1), 512).code(), AdditionalSense::unrecovered_read_error);
    fail_once(*fake.disk, BlockOperation::write);
    EXPECT_EQ(initiator.run(writing(3, 1), Bytes(512)).code(), AdditionalSense::write_error);
}

INSTANTIATE_TEST_SUITE_P(All, Transfers, testing::ValuesIn(transfer_kinds),
                         [](const auto& kind) { return "of_" + std::to_string(kind.param.bytes); });

}  // namespace
}  // namespace sidecore::scsi::test
