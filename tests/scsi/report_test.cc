// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/big_endian.hh"
#include "scsi/command.hh"
#include "scsi/initiator.hh"

namespace sidecore::scsi::test {
namespace {

Bytes report_luns(unsigned select = 0, std::uint32_t length = 1U << 20U) {
    Bytes cdb = bytes({0xa0, 0, select, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    store_big_endian(std::span(cdb).subspan(6, 4), length);
    return cdb;
}

Bytes request_sense(bool descriptors = false, unsigned length = 252) {
    return bytes({0x03, descriptors ? 1U : 0U, 0, 0, length, 0});
}

Bytes report_operations(unsigned option, unsigned opcode = 0, unsigned service_action = 0, bool timeouts = false) {
    return bytes({0xa3, 0x0c, option | (timeouts ? 0x80U : 0U), opcode, service_action >> 8U, service_action & 0xffU, 0,
                  0, 0xff, 0xff, 0, 0});
}

class Reports : public testing::Test {
protected:
    Reports() { initiator.add(fake.unit); }

    FakeUnit fake;
    Initiator initiator;
};

// ---- REPORT LUNS

TEST_F(Reports, the_luns_of_the_target_are_told_in_order) {
    FakeUnit other;
    initiator.add(other.unit, 0, Lun(300));
    initiator.add(other.unit, 0, Lun(2));
    initiator.add(other.unit, 1, Lun(9));
    const auto list = [&](unsigned select) { return initiator.run(report_luns(select), 4096).data_in; };
    EXPECT_EQ(list(0), bytes({0, 0, 0, 24, 0, 0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0,
                              0, 2, 0, 0,  0, 0, 0, 0, 0x41, 0x2c, 0, 0, 0, 0, 0, 0}));
    EXPECT_EQ(list(1), bytes({0, 0, 0, 8, 0, 0, 0, 0, 0xc1, 0x01, 0, 0, 0, 0, 0, 0}));
    EXPECT_EQ(number(list(2), 0, 4), 32U);
    EXPECT_EQ(number(list(2), 8, 2), 0xc101U);
    EXPECT_TRUE(field_refused(initiator.run(report_luns(3), 4096), 2, 7));
    EXPECT_TRUE(field_refused(initiator.run(report_luns(0x10), 4096), 2, 7));
}

TEST_F(Reports, the_list_is_cut_and_its_length_is_not) {
    const Reply reply = initiator.run(report_luns(2, 8), 4096);
    EXPECT_EQ(reply.data_in, bytes({0, 0, 0, 16, 0, 0, 0, 0}));
    EXPECT_EQ(initiator.run(report_luns(2, 24), 23).outcome, Outcome::overrun);
    EXPECT_TRUE(initiator.run(report_luns(2, 0), 0).good());
}

TEST_F(Reports, a_list_may_be_as_long_as_it_likes) {
    // Not all 16384 that there may be: each that is added tells all others.
    constexpr std::uint16_t step = 16;
    for (std::uint16_t lun = step - 1; lun < Lun::count_max; lun = static_cast<std::uint16_t>(lun + step)) {
        ASSERT_TRUE(initiator.domain().add(0, Lun(lun), fake.unit));
    }
    const Reply reply = initiator.run(report_luns(2), 1U << 20U);
    ASSERT_EQ(reply.data_in.size(), 8U + 8U * (1 + 1 + Lun::count_max / step));
    EXPECT_EQ(number(reply.data_in, reply.data_in.size() - 8, 2), 0x7fffU);
}

TEST_F(Reports, a_list_that_was_read_is_no_news_any_more) {
    FakeUnit other;
    ASSERT_TRUE(initiator.domain().add(0, Lun(1), other.unit));
    EXPECT_EQ(initiator.run(report_luns(0, 24), 8).outcome, Outcome::overrun);
    EXPECT_TRUE(initiator.domain().find(0, Lun(0))->attention_pending()) << "nobody has read it";
    EXPECT_TRUE(initiator.run(report_luns(), 4096).good());
    EXPECT_EQ(initiator.attention(), std::nullopt);
    EXPECT_EQ(initiator.attention(0, Lun(1)), AdditionalSense::power_on_occurred) << "others stay";
}

TEST_F(Reports, units_that_came_since_are_still_news) {
    const std::uint64_t before = initiator.domain().generation();
    FakeUnit other;
    ASSERT_TRUE(initiator.domain().add(0, Lun(1), other.unit));
    initiator.domain().luns_reported(0, before);
    EXPECT_EQ(initiator.attention(), AdditionalSense::reported_luns_data_has_changed);
}

TEST_F(Reports, luns_are_told_by_the_well_known_unit_and_by_none) {
    for (const Lun lun : {Lun::report_luns(), Lun(77)}) {
        Request request{report_luns(), {}, 4096};
        request.lun = lun;
        EXPECT_EQ(number(initiator.run(request).data_in, 0, 4), 8U);
    }
}

// ---- REQUEST SENSE

TEST_F(Reports, sense_data_are_empty_when_all_is_well) {
    const Reply fixed = initiator.run(request_sense(), 252);
    ASSERT_EQ(fixed.data_in.size(), 18U);
    EXPECT_EQ(fixed.data_in[0], std::byte{0x70});
    EXPECT_EQ(read_sense(fixed.data_in), Sense{});
    EXPECT_EQ(initiator.run(request_sense(true), 252).data_in, bytes({0x72, 0, 0, 0, 0, 0, 0, 0}));
    EXPECT_EQ(initiator.run(request_sense(false, 8), 252).transferred_bytes, 8U);
    EXPECT_EQ(initiator.run(request_sense(), 17).outcome, Outcome::overrun);
}

TEST_F(Reports, a_unit_attention_is_told_once) {
    const auto nexus = initiator.domain().find(0, Lun(0));
    nexus->raise(AdditionalSense::capacity_data_has_changed);
    EXPECT_TRUE(initiator.run(request_sense(false, 0), 0).good());
    EXPECT_EQ(initiator.run(request_sense(), 3).outcome, Outcome::overrun);
    const Sense expected{SenseKey::unit_attention, AdditionalSense::capacity_data_has_changed};
    EXPECT_EQ(read_sense(initiator.run(request_sense(true), 252).data_in), expected);
    EXPECT_EQ(read_sense(initiator.run(request_sense(true), 252).data_in), Sense{});
    EXPECT_EQ(initiator.attention(), std::nullopt);
}

TEST_F(Reports, the_state_of_the_unit_is_told) {
    fake.unit->stopped = true;
    EXPECT_EQ(read_sense(initiator.run(request_sense(), 252).data_in)->code,
              AdditionalSense::initializing_command_required);
    fake.unit->sanitizing = true;
    const auto sense = read_sense(initiator.run(request_sense(), 252).data_in);
    EXPECT_EQ(sense->key, SenseKey::not_ready);
    EXPECT_EQ(sense->code, AdditionalSense::sanitize_in_progress);
    fake.unit->sanitizing = false;
}

TEST_F(Reports, sense_data_of_what_is_not_there_say_so) {
    Request request{request_sense(), {}, 252};
    request.lun = Lun(5);
    EXPECT_EQ(read_sense(initiator.run(request).data_in),
              (Sense{SenseKey::illegal_request, AdditionalSense::logical_unit_not_supported}));
    request.lun = Lun::report_luns();
    EXPECT_EQ(read_sense(initiator.run(request).data_in), Sense{});
}

// ---- REPORT SUPPORTED OPERATION CODES

TEST_F(Reports, all_commands_are_told) {
    for (const bool timeouts : {false, true}) {
        const std::size_t each = timeouts ? 20 : 8;
        const Bytes data = initiator.run(report_operations(0, 0, 0, timeouts), 65535).data_in;
        ASSERT_EQ(data.size(), 4 + all_commands().size() * each);
        EXPECT_EQ(number(data, 0, 4), data.size() - 4);
        std::size_t at = 4;
        for (const Command* command : all_commands()) {
            EXPECT_EQ(number(data, at, 1), command->opcode);
            EXPECT_EQ(number(data, at + 2, 2), command->service_action.value_or(0));
            EXPECT_EQ(number(data, at + 5, 1), (timeouts ? 2U : 0U) | (command->service_action ? 1U : 0U));
            EXPECT_EQ(number(data, at + 6, 2), command->cdb_bytes);
            if (timeouts) {
                EXPECT_EQ(part(data, at + 8, 12), bytes({0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
            }
            at += each;
        }
    }
}

TEST_F(Reports, one_command_is_told_with_its_usage) {
    const auto told = [&](unsigned option, unsigned opcode, unsigned action = 0, bool timeouts = false) {
        return initiator.run(report_operations(option, opcode, action, timeouts), 65535).data_in;
    };
    EXPECT_EQ(told(1, 0x12), bytes({0, 3, 0, 6, 0x12, 0xe1, 0xff, 0xff, 0xff, 4}));
    EXPECT_EQ(told(3, 0x12), bytes({0, 3, 0, 6, 0x12, 0xe1, 0xff, 0xff, 0xff, 4}));
    EXPECT_EQ(told(3, 0x12, 1), bytes({0, 1, 0, 0}));
    EXPECT_EQ(told(2, 0xa3, 0x0d), bytes({0, 3, 0, 12, 0xa3, 0x0d, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 4}));
    EXPECT_EQ(told(3, 0xa3, 0x0d), told(2, 0xa3, 0x0d));
    EXPECT_EQ(told(2, 0xa3, 0x1f), bytes({0, 1, 0, 0}));
    EXPECT_EQ(told(3, 0xa3, 0x1f), bytes({0, 1, 0, 0}));
    EXPECT_EQ(told(1, 0xff), bytes({0, 1, 0, 0}));
    EXPECT_EQ(told(2, 0xff), bytes({0, 1, 0, 0}));
    EXPECT_EQ(told(1, 0xff, 0, true), bytes({0, 1, 0, 0}));
    const Bytes timed = told(1, 0x12, 0, true);
    EXPECT_EQ(timed[1], std::byte{0x83});
    EXPECT_EQ(part(timed, 10, 12), bytes({0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST_F(Reports, options_that_do_not_fit_the_command_are_refused) {
    EXPECT_TRUE(field_refused(initiator.run(report_operations(1, 0xa3), 65535), 2, 2));
    EXPECT_TRUE(field_refused(initiator.run(report_operations(2, 0x12), 65535), 2, 2));
    EXPECT_TRUE(field_refused(initiator.run(report_operations(4, 0x12), 65535), 2, 2));
}

// ---- And of task management and ports

TEST_F(Reports, task_management_functions_are_told) {
    const auto cdb = [](unsigned flags, unsigned length) {
        return bytes({0xa3, 0x0d, flags, 0, 0, 0, 0, 0, 0, length, 0, 0});
    };
    EXPECT_EQ(initiator.run(cdb(0, 255), 255).data_in, bytes({0xfc, 0x03, 0, 0}));
    EXPECT_EQ(initiator.run(cdb(0x80, 255), 255).data_in,
              bytes({0xfc, 0x03, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
    EXPECT_TRUE(field_refused(initiator.run(cdb(0, 3), 255), 6, 7));
}

TEST_F(Reports, ports_that_lead_to_the_unit_are_one_group) {
    initiator.add(fake.unit, 4, Lun(1));
    initiator.add(fake.unit, 4, Lun(2));
    FakeUnit other;
    initiator.add(other.unit, 7);
    const auto cdb = [](unsigned format) {
        return bytes({0xa3, format << 5U | 0x0aU, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0});
    };
    EXPECT_EQ(initiator.run(cdb(0), 255).data_in, bytes({0, 0, 0, 16, 0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5}));
    EXPECT_EQ(initiator.run(cdb(1), 255).data_in,
              bytes({0, 0, 0, 20, 0x10, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5}));
    EXPECT_TRUE(field_refused(initiator.run(cdb(2), 255), 1, 7));
}

}  // namespace
}  // namespace sidecore::scsi::test
