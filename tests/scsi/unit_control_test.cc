// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scsi/initiator.hh"

namespace sidecore::scsi::test {
namespace {

using storage::BlockOperation;

Bytes log_sense(unsigned page, unsigned subpage = 0, unsigned control = 1, unsigned from = 0) {
    return bytes({0x4d, 0, control << 6U | page, subpage, 0, from >> 8U, from & 0xffU, 0xff, 0xff, 0});
}

Bytes log_select(unsigned page, unsigned control = 1, bool reset = true, unsigned length = 0) {
    return bytes({0x4c, reset ? 2U : 0U, control << 6U | page, 0, 0, 0, 0, 0, length, 0});
}

class UnitControl : public testing::Test {
protected:
    UnitControl() { initiator.add(fake.unit); }

    Reply start_stop(unsigned flags) { return initiator.run(bytes({0x1b, 0, 0, 0, flags, 0})); }
    Reply self_test(unsigned flags, unsigned length = 0) {
        return initiator.run(bytes({0x1d, flags, 0, 0, length, 0}));
    }
    void fail_once(BlockOperation operation) {
        storage::Fault fault;
        fault.operation = operation;
        fault.times = 1;
        fake.disk->add_fault(fault);
    }
    std::uint64_t errors(unsigned page, unsigned control = 1) {
        return number(initiator.run(log_sense(page, 0, control, 6), 255).data_in, 8, 8);
    }
    void expect_refused_while_sanitizing(const Bytes& cdb) {
        fake.unit->sanitizing = true;
        EXPECT_TRUE(failed_with(initiator.run(cdb, 255), SenseKey::not_ready, AdditionalSense::sanitize_in_progress));
        fake.unit->sanitizing = false;
    }

    FakeUnit fake;
    Initiator initiator;
};

// ---- START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL

TEST_F(UnitControl, a_stopped_unit_has_been_flushed_and_is_not_ready_until_it_is_started) {
    EXPECT_TRUE(start_stop(0).good());
    ASSERT_EQ(fake.disk->seen().size(), 1U);
    EXPECT_EQ(fake.disk->seen()[0].operation, BlockOperation::flush);
    for (const Bytes& cdb : {test_unit_ready(), read_10(0, 1)}) {
        EXPECT_TRUE(
            failed_with(initiator.run(cdb, 512), SenseKey::not_ready, AdditionalSense::initializing_command_required));
    }
    EXPECT_TRUE(start_stop(0).good()) << "once more";
    EXPECT_TRUE(start_stop(1).good());
    EXPECT_EQ(fake.disk->seen().size(), 1U);
    EXPECT_TRUE(initiator.run(test_unit_ready()).good());
}

TEST_F(UnitControl, a_unit_may_be_stopped_without_a_flush) {
    EXPECT_TRUE(start_stop(4).good());
    EXPECT_TRUE(fake.disk->seen().empty());
    EXPECT_TRUE(fake.unit->stopped);
}

TEST_F(UnitControl, a_unit_that_cannot_be_flushed_goes_on) {
    fail_once(BlockOperation::flush);
    EXPECT_TRUE(failed_with(start_stop(0), SenseKey::medium_error, AdditionalSense::write_error));
    EXPECT_TRUE(initiator.run(test_unit_ready()).good());
}

TEST_F(UnitControl, nothing_can_be_ejected_and_there_are_no_power_conditions) {
    EXPECT_TRUE(field_refused(start_stop(2), 4, 1));
    EXPECT_TRUE(field_refused(start_stop(0x30), 4, 5));
}

TEST_F(UnitControl, a_reset_starts_the_unit) {
    EXPECT_TRUE(start_stop(0).good());
    fake.unit->reset();
    EXPECT_EQ(initiator.attention(), AdditionalSense::bus_device_reset_occurred);
    EXPECT_TRUE(initiator.run(test_unit_ready()).good());
}

TEST_F(UnitControl, each_nexus_prevents_removal_for_itself) {
    const auto nexus = initiator.domain().find(0, Lun(0));
    EXPECT_TRUE(initiator.run(bytes({0x1e, 0, 0, 0, 1, 0})).good());
    EXPECT_TRUE(nexus->removal_prevented());
    EXPECT_TRUE(initiator.run(bytes({0x1e, 0, 0, 0, 0, 0})).good());
    EXPECT_FALSE(nexus->removal_prevented());
    EXPECT_TRUE(field_refused(initiator.run(bytes({0x1e, 0, 0, 0, 2, 0})), 4, 1));
}

// ---- SEND DIAGNOSTIC, RECEIVE DIAGNOSTIC RESULTS

TEST_F(UnitControl, a_self_test_reads_from_the_medium) {
    for (const unsigned flags : {0x04U, 0xa0U, 0xc0U}) {
        EXPECT_TRUE(self_test(flags).good()) << flags;
    }
    ASSERT_EQ(fake.disk->seen().size(), 3U);
    EXPECT_EQ(fake.disk->seen()[0].operation, BlockOperation::read);
    fail_once(BlockOperation::read);
    EXPECT_TRUE(failed_with(self_test(0x04), SenseKey::hardware_error, AdditionalSense::logical_unit_failed_self_test));
    fake.unit->stopped = true;
    EXPECT_TRUE(failed_with(self_test(0x04), SenseKey::not_ready, AdditionalSense::initializing_command_required));
}

TEST_F(UnitControl, a_diagnostic_without_a_test_does_nothing) {
    EXPECT_TRUE(self_test(0x00).good());
    EXPECT_TRUE(self_test(0x10).good());
    EXPECT_TRUE(fake.disk->seen().empty());
}

TEST_F(UnitControl, other_tests_and_pages_are_refused) {
    EXPECT_TRUE(field_refused(self_test(0x20), 1, 7)) << "in the background";
    EXPECT_TRUE(field_refused(self_test(0x80), 1, 7)) << "the end of it";
    EXPECT_TRUE(field_refused(self_test(0xa4), 1, 7)) << "two tests at once";
    EXPECT_TRUE(field_refused(self_test(0x10, 4), 3, 7));
}

TEST_F(UnitControl, the_diagnostic_pages_can_be_asked_for) {
    const auto receive = [&](unsigned valid, unsigned page) {
        return initiator.run(bytes({0x1c, valid, page, 0, 255, 0}), 255);
    };
    EXPECT_EQ(receive(1, 0).data_in, bytes({0, 0, 0, 1, 0}));
    EXPECT_TRUE(field_refused(receive(1, 1), 2, 7));
    EXPECT_TRUE(field_refused(receive(0, 0), 1, 0));
}

// ---- LOG SENSE, LOG SELECT

TEST_F(UnitControl, log_pages_are_listed) {
    EXPECT_EQ(initiator.run(log_sense(0), 255).data_in, bytes({0x80, 0, 0, 5, 0, 2, 3, 5, 0x2f}));
    EXPECT_EQ(initiator.run(log_sense(0, 0xff), 255).data_in,
              bytes({0xc0, 0xff, 0, 12, 0, 0, 0, 0xff, 2, 0, 3, 0, 5, 0, 0x2f, 0}));
    EXPECT_EQ(initiator.run(log_sense(0x2f), 255).data_in, bytes({0xaf, 0, 0, 8, 0, 0, 3, 4, 0, 0, 0xff, 0}));
    EXPECT_TRUE(field_refused(initiator.run(log_sense(0x0d), 255), 2, 5));
    EXPECT_TRUE(field_refused(initiator.run(log_sense(2, 0xff), 255), 3, 7));
    EXPECT_EQ(initiator.run(log_sense(0), 8).outcome, Outcome::overrun);
}

TEST_F(UnitControl, errors_of_the_storage_are_counted_where_they_belong) {
    fail_once(BlockOperation::read);
    EXPECT_FALSE(initiator.run(read_10(0, 1), 512).good());
    for (int i = 0; i < 2; ++i) {
        fail_once(BlockOperation::write);
        EXPECT_FALSE(initiator.run(write_10(0, 1), Bytes(512)).good());
    }
    EXPECT_EQ(errors(2), 2U);
    EXPECT_EQ(errors(3), 1U);
    EXPECT_EQ(errors(5), 0U);
    EXPECT_EQ(errors(2, 3), 0U) << "default";
    EXPECT_EQ(errors(2, 0), UINT64_MAX) << "threshold";
    EXPECT_EQ(errors(2, 2), UINT64_MAX);
    EXPECT_EQ(initiator.run(log_sense(3), 255).data_in,
              bytes({0x83, 0, 0, 24, 0, 3, 0x20, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0x20, 8, 0, 0, 0, 0, 0, 0, 0, 1}));
}

TEST_F(UnitControl, parameters_are_told_from_the_pointer_on) {
    EXPECT_EQ(initiator.run(log_sense(3, 0, 1, 4), 255).data_in.size(), 16U);
    EXPECT_TRUE(field_refused(initiator.run(log_sense(3, 0, 1, 7), 255), 5, 7));
    EXPECT_TRUE(field_refused(initiator.run(log_sense(0, 0, 1, 1), 255), 5, 7));
    EXPECT_TRUE(field_refused(initiator.run(log_sense(0x2f, 0, 1, 1), 255), 5, 7));
}

TEST_F(UnitControl, counters_can_be_reset_and_the_others_hear_of_it) {
    Initiator second("second");
    second.add(fake.unit);
    const auto set = [&] {
        auto& counters = fake.unit->error_counters();
        counters.read = counters.write = counters.verify = 7;
    };
    set();
    EXPECT_TRUE(initiator.run(log_select(3)).good());
    EXPECT_EQ(errors(3), 0U);
    EXPECT_EQ(errors(2), 7U);
    EXPECT_EQ(second.attention(), AdditionalSense::log_parameters_changed);
    EXPECT_EQ(initiator.attention(), std::nullopt);
    EXPECT_TRUE(initiator.run(log_select(0)).good());
    EXPECT_EQ(errors(2), 0U);
    EXPECT_EQ(errors(5), 0U);
    set();
    EXPECT_TRUE(initiator.run(log_select(5, 3, false)).good()) << "default cumulative values";
    EXPECT_EQ(errors(5), 0U);
    second.attention();
    EXPECT_TRUE(initiator.run(log_select(2, 1, false)).good());
    EXPECT_TRUE(initiator.run(log_select(0x2f)).good());
    EXPECT_EQ(errors(2), 7U);
    EXPECT_EQ(second.attention(), std::nullopt);
}

TEST_F(UnitControl, what_cannot_be_set_in_a_log_is_refused) {
    EXPECT_TRUE(field_refused(initiator.run(log_select(0x0d)), 2, 5));
    EXPECT_TRUE(field_refused(initiator.run(log_select(2, 1, true, 4)), 7, 7));
    Bytes subpage = log_select(2);
    subpage[3] = std::byte{1};
    EXPECT_TRUE(field_refused(initiator.run(subpage), 3, 7));
}

TEST_F(UnitControl, a_unit_that_is_being_sanitized_is_left_alone) {
    expect_refused_while_sanitizing(bytes({0x1b, 0, 0, 0, 1, 0}));
    expect_refused_while_sanitizing(bytes({0x1e, 0, 0, 0, 0, 0}));
    expect_refused_while_sanitizing(bytes({0x1d, 4, 0, 0, 0, 0}));
    expect_refused_while_sanitizing(bytes({0x1c, 1, 0, 0, 255, 0}));
    expect_refused_while_sanitizing(log_sense(2));
    expect_refused_while_sanitizing(log_select(2));
}

}  // namespace
}  // namespace sidecore::scsi::test
