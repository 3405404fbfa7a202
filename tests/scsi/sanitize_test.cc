// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "scsi/block_cdbs.hh"

namespace sidecore::scsi::test {
namespace {

using storage::BlockOperation;

constexpr unsigned overwrite = 0x01;
constexpr unsigned block_erase = 0x02;
constexpr unsigned cryptographic_erase = 0x03;
constexpr unsigned exit_failure_mode = 0x1f;
constexpr unsigned immediately = 0x80;
constexpr unsigned unrestricted = 0x20;

Bytes overwrite_list(unsigned flags, const Bytes& pattern) {
    Bytes list =
        bytes({flags, 0, static_cast<unsigned>(pattern.size() >> 8U), static_cast<unsigned>(pattern.size() & 0xffU)});
    list.insert(list.end(), pattern.begin(), pattern.end());
    return list;
}

class Sanitize : public testing::Test {
protected:
    Sanitize() {
        fake.disk->set_contents(0, pattern(3U << 20U, 1));
        initiator.add(fake.unit);
    }

    static Bytes cdb(unsigned action, std::size_t length = 0) { return block_cdb(10, 0x48, 0, length, action); }
    Reply overwriting(const Bytes& list, unsigned flags = 0) {
        return initiator.run(cdb(overwrite | flags, list.size()), list);
    }
    void wait_until_done() {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (fake.unit->sanitizing && std::chrono::steady_clock::now() < end) {
            std::this_thread::yield();
        }
        EXPECT_FALSE(fake.unit->sanitizing);
    }

    FakeUnit fake{3U << 20U};
    Initiator initiator;
};

TEST_F(Sanitize, a_pattern_overwrites_everything) {
    const Reply reply = overwriting(overwrite_list(1, bytes({1, 2, 3})));
    EXPECT_TRUE(reply.good()) << reply;
    EXPECT_EQ(reply.transferred_bytes, 7U);
    for (const std::size_t block : {0U, 1U, 2047U, 2048U, 6143U}) {
        const Bytes found = fake.disk->contents(block * 512, 512);
        EXPECT_EQ(part(found, 0, 4), bytes({1, 2, 3, 1})) << block;
        EXPECT_EQ(found[511], std::byte{2}) << "each block begins with the pattern";
    }
    EXPECT_EQ(fake.disk->seen().back().operation, BlockOperation::flush);
    EXPECT_TRUE(initiator.run(read_10(0, 1), 512).good());
}

TEST_F(Sanitize, passes_may_turn_the_pattern_round) {
    storage::Fault fault;
    fault.operation = BlockOperation::write;
    fault.skip = 3;  // the first pass, in steps of 1 MiB
    fault.action = storage::FaultAction::hold_fast;
    fake.disk->add_fault(fault);
    const Bytes list = overwrite_list(0x82, bytes({0x0f}));
    EXPECT_TRUE(overwriting(list, immediately).good());
    ASSERT_TRUE(fake.disk->wait_until_held(1));
    EXPECT_EQ(fake.disk->contents(2U << 20U, 1), bytes({0xf0}));
    const Reply reply = initiator.run(test_unit_ready());
    EXPECT_TRUE(failed_with(reply, SenseKey::not_ready, AdditionalSense::sanitize_in_progress)) << reply;
    EXPECT_GE(reply.sense->progress, 20000U) << "a third of 65536 and more";
    EXPECT_LE(reply.sense->progress, 33000U);
    EXPECT_EQ(overwriting(list).code(), AdditionalSense::sanitize_in_progress);
    EXPECT_EQ(initiator.run(cdb(exit_failure_mode)).code(), AdditionalSense::sanitize_in_progress);
    fake.disk->clear_faults();
    fake.disk->release_all();
    wait_until_done();
    EXPECT_EQ(fake.disk->contents(2U << 20U, 1), bytes({0x0f}));
    EXPECT_TRUE(initiator.run(test_unit_ready()).good());
}

TEST_F(Sanitize, an_erased_medium_is_zero) {
    EXPECT_TRUE(initiator.run(cdb(block_erase)).good());
    EXPECT_EQ(fake.disk->contents(0, 3U << 20U), Bytes(3U << 20U));
    EXPECT_EQ(fake.disk->seen()[0].operation, BlockOperation::write_zeroes_unmap);
}

TEST_F(Sanitize, wrong_fields_are_refused) {
    EXPECT_TRUE(field_refused(initiator.run(cdb(cryptographic_erase)), 1, 4));
    EXPECT_TRUE(field_refused(initiator.run(cdb(block_erase, 4), Bytes(4)), 7));
    EXPECT_TRUE(field_refused(initiator.run(cdb(exit_failure_mode, 4), Bytes(4)), 7));
    EXPECT_TRUE(field_refused(initiator.run(cdb(overwrite, 4), Bytes(4)), 7));
    EXPECT_TRUE(field_refused(initiator.run(cdb(overwrite, 517), Bytes(517)), 7));
    EXPECT_TRUE(field_refused(initiator.run(cdb(overwrite | 0x40U, 5), Bytes(5)), 1, 6)) << "ZNR";
    EXPECT_EQ(initiator.run(cdb(overwrite, 8), Bytes(7)).outcome, Outcome::overrun);
    EXPECT_TRUE(parameter_refused(overwriting(overwrite_list(0, bytes({1}))), 0, 4)) << "no pass";
    EXPECT_TRUE(parameter_refused(overwriting(overwrite_list(0x21, bytes({1}))), 0, 6)) << "TEST";
    Bytes list = overwrite_list(1, bytes({1, 2}));
    list[3] = std::byte{1};
    EXPECT_TRUE(parameter_refused(overwriting(list), 2));
    list[3] = std::byte{2};
    list[1] = std::byte{1};
    EXPECT_TRUE(parameter_refused(overwriting(list), 1));
    EXPECT_TRUE(fake.disk->seen().empty());
    fake.unit->stopped = true;
    EXPECT_EQ(initiator.run(cdb(block_erase)).code(), AdditionalSense::initializing_command_required);
    fake.unit->stopped = false;
    fake.unit->software_write_protected = true;
    EXPECT_EQ(initiator.run(cdb(block_erase)).code(), AdditionalSense::write_protected);
}

TEST_F(Sanitize, after_a_failure_nothing_else_is_done_until_it_is_left) {
    fail_once(*fake.disk, BlockOperation::write_zeroes_unmap);
    EXPECT_TRUE(failed_with(initiator.run(cdb(block_erase | unrestricted)), SenseKey::medium_error,
                            AdditionalSense::sanitize_command_failed));
    EXPECT_EQ(initiator.run(read_10(0, 1), 512).code(), AdditionalSense::sanitize_command_failed);
    EXPECT_EQ(initiator.run(test_unit_ready()).code(), AdditionalSense::sanitize_command_failed);
    EXPECT_EQ(read_sense(initiator.run({.cdb = bytes({3, 0, 0, 0, 252, 0}), .data_in_bytes = 252}).data_in),
              (Sense{SenseKey::medium_error, AdditionalSense::sanitize_command_failed}));
    EXPECT_TRUE(initiator.run(cdb(exit_failure_mode)).good());
    EXPECT_TRUE(initiator.run(read_10(0, 1), 512).good());
    EXPECT_TRUE(initiator.run(cdb(exit_failure_mode)).good()) << "there is nothing to leave";
}

TEST_F(Sanitize, a_restricted_failure_is_only_left_by_success) {
    fail_once(*fake.disk, BlockOperation::flush);
    EXPECT_TRUE(initiator.run(cdb(block_erase | immediately)).good());
    wait_until_done();
    EXPECT_EQ(initiator.run(test_unit_ready()).code(), AdditionalSense::sanitize_command_failed);
    EXPECT_TRUE(field_refused(initiator.run(cdb(exit_failure_mode)), 1, 4));
    EXPECT_TRUE(initiator.run(cdb(block_erase)).good());
    EXPECT_TRUE(initiator.run(test_unit_ready()).good());
}

TEST_F(Sanitize, one_that_cannot_begin_is_busy) {
    fake.disk->fail_next_open_queue(EMFILE);
    EXPECT_EQ(initiator.run(cdb(block_erase)).status, Status::busy);
    EXPECT_FALSE(fake.unit->exclusions().any());
    EXPECT_TRUE(initiator.run(test_unit_ready()).good());
}

TEST_F(Sanitize, writes_under_way_come_before_it_and_the_rest_of_a_long_one_fails) {
    hold_back(*fake.disk, BlockOperation::write);
    const auto write = initiator.send({write_10(0, 1), Bytes(512, std::byte{9})});
    const auto same = initiator.send({block_cdb(10, 0x41, 0, 1100), Bytes(512, std::byte{9})});
    const auto erase = initiator.send({cdb(block_erase)});
    initiator.work();
    initiator.work();
    EXPECT_FALSE(fake.unit->sanitizing);
    fake.disk->clear_faults();
    hold_back(*fake.disk, BlockOperation::write_zeroes_unmap);
    fake.disk->release_all();
    EXPECT_TRUE(initiator.take(write).good());
    EXPECT_EQ(initiator.take(same).code(), AdditionalSense::sanitize_in_progress);
    EXPECT_TRUE(fake.disk->wait_until_held(1));
    fake.disk->release_all();
    EXPECT_TRUE(initiator.take(erase).good());
    EXPECT_EQ(fake.disk->contents(0, 2048), Bytes(2048));
}

TEST_F(Sanitize, an_abort_ends_the_command_and_not_the_work) {
    hold_back(*fake.disk, BlockOperation::write_zeroes_unmap);
    const auto erase = initiator.send({cdb(block_erase)});
    initiator.work();
    initiator.work();
    ASSERT_TRUE(fake.disk->wait_until_held(1));
    bool answered = false;
    initiator.domain().manage(TaskManagement::logical_unit_reset, 0, Lun(0), 0,
                              [&](TaskManagementResponse) { answered = true; });
    EXPECT_EQ(initiator.take(erase).outcome, Outcome::reset);
    EXPECT_TRUE(answered);
    EXPECT_TRUE(fake.unit->sanitizing);
    fake.disk->release_all();
    wait_until_done();
    EXPECT_EQ(fake.disk->contents(0, 3U << 20U), Bytes(3U << 20U));
}

TEST(SanitizedUnit, may_go_in_the_middle) {
    auto disk = storage::FakeDisk::create(8U << 20U);
    {
        auto unit = *LogicalUnit::create(disk->open(), {});
        Initiator initiator;
        initiator.add(unit);
        hold_back(*disk, BlockOperation::write);
        const Bytes list = overwrite_list(1, bytes({1}));
        EXPECT_TRUE(initiator.run(block_cdb(10, 0x48, 0, list.size(), overwrite | immediately), list).good());
        ASSERT_TRUE(disk->wait_until_held(1));
    }
    EXPECT_EQ(disk->open_queue_count(), 0U);
    EXPECT_EQ(disk->contents(0, 512), Bytes(512));
}

}  // namespace
}  // namespace sidecore::scsi::test
