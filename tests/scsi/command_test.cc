// SPDX-License-Identifier: Apache-2.0
#include "scsi/command.hh"

#include <algorithm>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scsi/initiator.hh"

namespace sidecore::scsi::test {
namespace {

std::size_t bytes_of_group(std::uint8_t opcode) {
    switch (opcode >> 5U) {
        case 0:
            return 6;
        case 1:
        case 2:
            return 10;
        case 3:
            return 32;
        case 4:
            return 16;
        default:
            return 12;
    }
}

bool is_variable(const Command& command) {
    return command.cdb_bytes == 32;
}

/// A CDB of the command with nothing but what makes it that one.
Bytes plain(const Command& command) {
    Bytes cdb(command.cdb_bytes);
    cdb[0] = static_cast<std::byte>(command.opcode);
    if (is_variable(command)) {
        cdb[7] = static_cast<std::byte>(command.cdb_bytes - 8);
        cdb[8] = static_cast<std::byte>(*command.service_action >> 8U);
        cdb[9] = static_cast<std::byte>(*command.service_action & 0xffU);
    } else if (command.service_action) {
        cdb[1] = static_cast<std::byte>(*command.service_action);
    }
    return cdb;
}

/// The bits of a byte that say which command it is.
std::uint8_t identity_bits(const Command& command, std::size_t byte) {
    if (byte == 0 || (is_variable(command) && byte >= 7 && byte <= 9)) {
        return 0xff;
    }
    return byte == 1 && command.service_action && !is_variable(command) ? 0x1f : 0x00;
}

TEST(Commands, each_entry_is_consistent) {
    std::set<std::pair<unsigned, unsigned>> seen;
    for (const Command* command : all_commands()) {
        SCOPED_TRACE(std::string(command->name));
        EXPECT_NE(command->function, nullptr);
        EXPECT_FALSE(command->name.empty());
        EXPECT_EQ(command->cdb_bytes, bytes_of_group(command->opcode));
        const Bytes cdb = plain(*command);
        for (std::size_t i = 0; i < cdb.size(); ++i) {
            const std::uint8_t fixed = identity_bits(*command, i);
            EXPECT_EQ(command->usage[i] & fixed, std::to_integer<unsigned>(cdb[i]) & fixed) << "byte " << i;
        }
        EXPECT_EQ(command->usage[is_variable(*command) ? 1 : command->cdb_bytes - 1U], control_usage);
        EXPECT_TRUE(std::all_of(command->usage.begin() + command->cdb_bytes, command->usage.end(),
                                [](std::uint8_t byte) { return byte == 0; }));
        EXPECT_TRUE(seen.emplace(command->opcode, command->service_action.value_or(0)).second) << "it is there twice";
        EXPECT_EQ(command->service_action.has_value(), has_service_actions(command->opcode));
    }
    EXPECT_GE(seen.size(), 17U);
}

TEST(Commands, each_is_found_by_its_cdb) {
    for (const Command* command : all_commands()) {
        EXPECT_EQ(find_command(plain(*command)).command, command) << command->name;
    }
}

TEST(Commands, each_bit_that_no_command_knows_is_refused_and_pointed_at) {
    FakeUnit fake;
    Initiator initiator;
    initiator.add(fake.unit);
    for (const Command* command : all_commands()) {
        for (std::size_t i = 1; i < command->cdb_bytes; ++i) {
            for (unsigned bit = 0; bit < 8; ++bit) {
                if (((command->usage[i] | identity_bits(*command, i)) >> bit & 1U) != 0) {
                    continue;
                }
                Bytes cdb = plain(*command);
                cdb[i] |= static_cast<std::byte>(1U << bit);
                const Reply reply = initiator.run(cdb);
                EXPECT_TRUE(field_refused(reply, static_cast<std::uint16_t>(i), static_cast<std::uint8_t>(bit)))
                    << command->name << ", byte " << i << ", bit " << bit << ": " << reply;
            }
        }
    }
    EXPECT_TRUE(fake.disk->seen().empty());
}

TEST(Commands, an_unknown_service_action_is_an_invalid_field) {
    FakeUnit fake;
    Initiator initiator;
    initiator.add(fake.unit);
    Bytes cdb(12);
    cdb[0] = std::byte{0xa3};
    cdb[1] = std::byte{0x1f};
    EXPECT_TRUE(field_refused(initiator.run(cdb), 1, 4));
}

TEST(Commands, only_some_do_without_a_unit) {
    FakeUnit fake;
    Initiator initiator;
    initiator.add(fake.unit);
    std::set<std::string> without;
    for (const Command* command : all_commands()) {
        Request request{plain(*command), {}, 4096};
        for (const auto& lun : {std::optional(Lun(5)), std::optional<Lun>()}) {
            request.lun = lun;
            if (!failed_with(initiator.run(request), SenseKey::illegal_request,
                             AdditionalSense::logical_unit_not_supported)) {
                without.emplace(command->name);
            }
        }
    }
    EXPECT_THAT(without, testing::ElementsAre("INQUIRY", "REPORT LUNS", "REQUEST SENSE"));
}

TEST(Commands, only_some_are_of_the_report_luns_unit) {
    FakeUnit fake;
    Initiator initiator;
    initiator.add(fake.unit);
    std::set<std::string> of_it;
    for (const Command* command : all_commands()) {
        Request request{plain(*command), {}, 4096};
        request.lun = Lun::report_luns();
        if (initiator.run(request).good()) {
            of_it.emplace(command->name);
        }
    }
    EXPECT_THAT(of_it, testing::ElementsAre("INQUIRY", "REPORT LUNS", "REQUEST SENSE", "TEST UNIT READY"));
}

TEST(Commands, all_but_some_report_a_unit_attention) {
    FakeUnit fake;
    Initiator initiator;
    initiator.add(fake.unit);
    const auto nexus = initiator.domain().find(0, Lun(0));
    std::set<std::string> silent;
    for (const Command* command : all_commands()) {
        nexus->raise(AdditionalSense::capacity_data_has_changed);
        const Reply reply = initiator.run(Request{plain(*command), {}, 4096});
        if (!failed_with(reply, SenseKey::unit_attention, AdditionalSense::capacity_data_has_changed)) {
            EXPECT_TRUE(nexus->attention_pending()) << command->name;
            silent.emplace(command->name);
        }
        nexus->clear_attention(AdditionalSense::capacity_data_has_changed);
    }
    EXPECT_THAT(silent, testing::ElementsAre("INQUIRY", "REPORT LUNS", "REQUEST SENSE"));
}

}  // namespace
}  // namespace sidecore::scsi::test
