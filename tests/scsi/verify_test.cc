// SPDX-License-Identifier: Apache-2.0
// VERIFY and WRITE AND VERIFY of all lengths.
#include <gtest/gtest.h>

#include "scsi/block_cdbs.hh"
#include "scsi/limits.hh"

namespace sidecore::scsi::test {
namespace {

using storage::BlockOperation;

struct VerifyKind {
    std::size_t bytes;
    unsigned verify;
    unsigned write;
    std::uint16_t length_at;
};
constexpr VerifyKind verify_kinds[] = {{10, 0x2f, 0x2e, 7}, {12, 0xaf, 0xae, 6}, {16, 0x8f, 0x8e, 10}};
constexpr unsigned all_bytes = 1U << 1U;
constexpr unsigned reserved = 2U << 1U;
constexpr unsigned one_block = 3U << 1U;
constexpr std::size_t blocks = 1100;  // three chunks

class Verifies : public testing::TestWithParam<VerifyKind> {
protected:
    Verifies() {
        initiator.add(fake.unit);
        fake.disk->set_contents(10 * 512, data);
    }
    Bytes verifying(std::uint64_t lba, std::uint64_t count, unsigned flags = 0) const {
        return block_cdb(GetParam().bytes, GetParam().verify, lba, count, flags);
    }
    Bytes writing(std::uint64_t lba, std::uint64_t count, unsigned flags = 0) const {
        return block_cdb(GetParam().bytes, GetParam().write, lba, count, flags);
    }

    const Bytes data = pattern(blocks * 512, 4);
    FakeUnit fake{16U << 20U};
    Initiator initiator;
};

TEST_P(Verifies, blocks_are_read_from_the_medium) {
    EXPECT_TRUE(initiator.run(verifying(10, blocks, 0x10)).good());
    EXPECT_EQ(fake.disk->seen().front().operation, BlockOperation::flush);
    std::uint64_t bytes = 0;
    for (const auto& seen : fake.disk->seen()) {
        bytes += seen.length_bytes;
    }
    EXPECT_EQ(bytes, data.size());
    fail_once(*fake.disk, BlockOperation::read);
    EXPECT_EQ(initiator.run(verifying(10, 1)).code(), AdditionalSense::unrecovered_read_error);
    fail_once(*fake.disk, BlockOperation::flush);
    EXPECT_EQ(initiator.run(verifying(10, 1)).code(), AdditionalSense::write_error);
    fake.unit->software_write_protected = true;
    EXPECT_TRUE(initiator.run(verifying(10, 1)).good()) << "it changes nothing";
}

TEST_P(Verifies, every_byte_is_compared) {
    const Reply same = initiator.run(verifying(10, blocks, all_bytes), data);
    EXPECT_TRUE(same.good()) << same;
    EXPECT_EQ(same.transferred_bytes, data.size());
    for (const std::size_t at : {std::size_t{0}, std::size_t{600 * 512 + 7}, data.size() - 1}) {
        Bytes other = data;
        other[at] ^= std::byte{1};
        const Reply reply = initiator.run(verifying(10, blocks, all_bytes), other);
        EXPECT_TRUE(failed_with(reply, SenseKey::miscompare, AdditionalSense::miscompare_during_verify)) << reply;
        EXPECT_EQ(reply.sense->information, 10 + at / 512);
    }
}

TEST_P(Verifies, one_block_is_compared_with_all) {
    const Bytes block = pattern(512, 9);
    for (std::size_t i = 0; i < blocks; ++i) {
        fake.disk->set_contents(i * 512, block);
    }
    const Reply same = initiator.run(verifying(0, blocks, one_block), block);
    EXPECT_TRUE(same.good()) << same;
    EXPECT_EQ(same.transferred_bytes, 512U);
    fake.disk->set_contents(1000 * 512 + 511, bytes({1}));
    const Reply reply = initiator.run(verifying(0, blocks, one_block), block);
    EXPECT_EQ(reply.key(), SenseKey::miscompare);
    EXPECT_EQ(reply.sense->information, 1000U);
}

TEST_P(Verifies, wrong_fields_are_refused) {
    EXPECT_TRUE(field_refused(initiator.run(verifying(0, 1, reserved), Bytes(512)), 1, 2));
    EXPECT_TRUE(field_refused(initiator.run(verifying(0, 1, 0x20), Bytes(512)), 1, 5));
    EXPECT_TRUE(field_refused(initiator.run(writing(0, 1, reserved), Bytes(512)), 1, 2));
    EXPECT_TRUE(field_refused(initiator.run(writing(0, 1, one_block), Bytes(512)), 1, 2));
    EXPECT_TRUE(field_refused(initiator.run(writing(0, 1, 0x08), Bytes(512)), 1, 3)) << "it has no FUA";
    for (const Bytes& cdb : {verifying(1U << 15U, 1, all_bytes), writing(1U << 15U, 1)}) {
        EXPECT_EQ(initiator.run(cdb, Bytes(512)).code(), AdditionalSense::lba_out_of_range);
    }
    const std::uint64_t longest = transfer_blocks_max(512);
    EXPECT_TRUE(field_refused(initiator.run(verifying(0, longest + 1)), GetParam().length_at));
    EXPECT_TRUE(fake.disk->seen().empty());
}

TEST_P(Verifies, nothing_is_good_and_too_little_data_is_an_overrun) {
    EXPECT_TRUE(initiator.run(verifying(0, 0, all_bytes)).good());
    EXPECT_TRUE(initiator.run(writing(0, 0)).good());
    EXPECT_EQ(initiator.run(verifying(0, 2, all_bytes), Bytes(1023)).outcome, Outcome::overrun);
    EXPECT_EQ(initiator.run(verifying(0, 2, one_block), Bytes(511)).outcome, Outcome::overrun);
    EXPECT_EQ(initiator.run(writing(0, 2), Bytes(1023)).outcome, Outcome::overrun);
    EXPECT_TRUE(fake.disk->seen().empty());
}

TEST_P(Verifies, what_is_written_is_stable_and_read_back) {
    const Bytes fresh = pattern(blocks * 512, 6);
    const Reply reply = initiator.run(writing(20, blocks, 0x10 | all_bytes), fresh);
    EXPECT_TRUE(reply.good()) << reply;
    EXPECT_EQ(reply.transferred_bytes, fresh.size());
    EXPECT_EQ(fake.disk->contents(20 * 512, fresh.size()), fresh);
    EXPECT_TRUE(fake.disk->seen()[0].durable);
    EXPECT_EQ(fake.disk->seen()[1].operation, BlockOperation::read);
}

TEST_P(Verifies, a_write_that_went_wrong_is_noticed) {
    hold_back(*fake.disk, BlockOperation::read);
    const auto sent = initiator.send({writing(30, 2, all_bytes), Bytes(1024, std::byte{7})});
    initiator.work();
    ASSERT_EQ(fake.disk->held().size(), 1U);
    fake.disk->set_contents(31 * 512, bytes({6}));
    fake.disk->release_all();
    const Reply reply = initiator.take(sent);
    EXPECT_EQ(reply.key(), SenseKey::miscompare);
    EXPECT_EQ(reply.sense->information, 31U);
    fake.disk->clear_faults();
    fail_once(*fake.disk, BlockOperation::write);
    EXPECT_EQ(initiator.run(writing(30, 2), Bytes(1024)).code(), AdditionalSense::write_error);
    fail_once(*fake.disk, BlockOperation::read);
    EXPECT_EQ(initiator.run(writing(30, 2), Bytes(1024)).code(), AdditionalSense::unrecovered_read_error);
    fake.unit->software_write_protected = true;
    EXPECT_EQ(initiator.run(writing(30, 2), Bytes(1024)).code(), AdditionalSense::write_protected);
}

INSTANTIATE_TEST_SUITE_P(All, Verifies, testing::ValuesIn(verify_kinds),
                         [](const auto& kind) { return "of_" + std::to_string(kind.param.bytes); });

}  // namespace
}  // namespace sidecore::scsi::test
