// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scsi/identity.hh"
#include "scsi/initiator.hh"
#include "scsi/limits.hh"

namespace sidecore::scsi::test {
namespace {

std::string text(const Bytes& data, std::size_t at, std::size_t count) {
    std::string out;
    for (const std::byte byte : part(data, at, count)) {
        out.push_back(static_cast<char>(byte));
    }
    return out;
}

Bytes inquiry(unsigned length = 4096, unsigned flags = 0, unsigned page = 0) {
    return bytes({0x12, flags, page, length >> 8U, length & 0xffU, 0});
}

LogicalUnit::Options options() {
    LogicalUnit::Options chosen;
    chosen.serial = "0123456789";
    chosen.vendor = "VENDOR";
    chosen.product = "a product";
    chosen.revision = "1.2";
    return chosen;
}

storage::BlockGeometry geometry() {
    storage::BlockGeometry chosen;
    chosen.capacity_bytes = 8U << 20U;
    chosen.physical_block_bytes = 4096;
    chosen.optimal_io_bytes = 65536;
    chosen.discard_granularity_bytes = 4096;
    chosen.can_discard = true;
    chosen.can_write_zeroes = true;
    chosen.write_zeroes_may_unmap = true;
    return chosen;
}

class Inquiries : public testing::Test {
protected:
    Inquiries() { initiator.add(fake.unit); }

    Bytes page(unsigned code, std::optional<Lun> lun = Lun(0)) {
        Request request{inquiry(4096, 1, code), {}, 4096};
        request.lun = lun;
        const Reply reply = initiator.run(request);
        EXPECT_TRUE(reply.good()) << reply;
        if (reply.data_in.size() < 4) {
            return Bytes(256);
        }
        EXPECT_EQ(number(reply.data_in, 1, 1), code);
        EXPECT_EQ(number(reply.data_in, 2, 2), reply.data_in.size() - 4);
        return reply.data_in;
    }

    FakeUnit fake{geometry(), options()};
    Initiator initiator;
};

TEST_F(Inquiries, standard_data_say_what_the_unit_is) {
    const Bytes data = initiator.run(inquiry(), 4096).data_in;
    ASSERT_EQ(data.size(), 96U);
    EXPECT_EQ(part(data, 0, 8), bytes({0x00, 0x00, 0x06, 0x32, 91, 0x18, 0x10, 0x02}));
    EXPECT_EQ(text(data, 8, 28), "VENDOR  a product       1.2 ");
    EXPECT_EQ(number(data, 58, 2), 0x00a0U);
    EXPECT_EQ(number(data, 60, 2), 0x0460U);
    EXPECT_EQ(number(data, 62, 2), 0x04c0U);
}

TEST_F(Inquiries, data_are_cut_at_the_allocation_length_and_not_at_the_buffer) {
    EXPECT_EQ(initiator.run(inquiry(36), 4096).transferred_bytes, 36U);
    EXPECT_EQ(initiator.run(inquiry(0), 4096).transferred_bytes, 0U);
    EXPECT_TRUE(initiator.run(inquiry(0), 0).good());
    EXPECT_EQ(initiator.run(inquiry(96), 95).outcome, Outcome::overrun);
    EXPECT_TRUE(initiator.run(inquiry(4096), 96).good());
}

TEST_F(Inquiries, a_lun_where_scsi_2_had_it_is_overlooked) {
    EXPECT_EQ(initiator.run(inquiry(255, 0xa0), 255).data_in, initiator.run(inquiry(255), 255).data_in);
    EXPECT_EQ(initiator.run(inquiry(255, 0xe1, 0x80), 255).data_in, initiator.run(inquiry(255, 1, 0x80), 255).data_in);
    EXPECT_TRUE(field_refused(initiator.run(inquiry(255, 0x10), 255), 1, 4));
}

TEST_F(Inquiries, a_page_code_without_evpd_is_refused) {
    EXPECT_TRUE(field_refused(initiator.run(inquiry(255, 0, 0x80), 255), 2, 7));
}

TEST_F(Inquiries, an_unknown_page_is_refused) {
    EXPECT_TRUE(field_refused(initiator.run(inquiry(255, 1, 0xcc), 255), 2, 7));
}

TEST_F(Inquiries, a_unit_that_is_not_there_is_told_so) {
    for (const auto& lun : {std::optional(Lun(7)), std::optional<Lun>()}) {
        Request request{inquiry(), {}, 4096};
        request.lun = lun;
        const Reply reply = initiator.run(request);
        ASSERT_TRUE(reply.good());
        EXPECT_EQ(reply.data_in[0], std::byte{0x7f});
        EXPECT_EQ(reply.data_in[5], std::byte{0});
        EXPECT_EQ(page(0x00, lun), bytes({0x7f, 0, 0, 1, 0x00}));
        request.cdb = inquiry(4096, 1, 0x83);
        EXPECT_TRUE(field_refused(initiator.run(request), 2, 7));
    }
}

TEST_F(Inquiries, the_report_luns_unit_is_of_a_type_of_its_own) {
    Request request{inquiry(), {}, 4096};
    request.lun = Lun::report_luns();
    const Reply reply = initiator.run(request);
    EXPECT_EQ(reply.data_in[0], std::byte{0x1e});
    EXPECT_EQ(text(reply.data_in, 16, 16), "REPORT LUNS     ");
    EXPECT_EQ(page(0x00, Lun::report_luns()), bytes({0x1e, 0, 0, 2, 0x00, 0x83}));
    const Bytes identification = page(0x83, Lun::report_luns());
    EXPECT_EQ(number(identification, 5, 1), 0x94U) << "it begins with the port, for there is no disk";
    request.cdb = inquiry(4096, 1, 0x80);
    EXPECT_TRUE(field_refused(initiator.run(request), 2, 7));
}

TEST_F(Inquiries, each_supported_page_can_be_read) {
    const Bytes supported = page(0x00);
    EXPECT_EQ(part(supported, 4, supported.size() - 4), bytes({0x00, 0x80, 0x83, 0x86, 0x87, 0xb0, 0xb1, 0xb2}));
    for (std::size_t i = 4; i < supported.size(); ++i) {
        EXPECT_EQ(page(std::to_integer<unsigned>(supported[i]))[0], std::byte{0});
    }
}

TEST_F(Inquiries, the_serial_number_is_the_option) {
    EXPECT_EQ(text(page(0x80), 4, 10), "0123456789");
}

TEST_F(Inquiries, identification_names_unit_port_and_target) {
    const Bytes data = page(0x83);
    std::vector<std::string> kinds;
    for (std::size_t at = 4; at < data.size(); at += 4 + number(data, at + 3, 1)) {
        const Bytes value = part(data, at + 4, number(data, at + 3, 1));
        switch (number(data, at, 2)) {
            case 0x0103:
                kinds.emplace_back("unit's NAA");
                EXPECT_EQ(number(value, 0, 8), fake.unit->identity());
                break;
            case 0x0201:
                kinds.emplace_back("unit's T10 identifier");
                EXPECT_EQ(text(value, 0, value.size()), "VENDOR  a product       0123456789");
                break;
            case 0x0308:
                kinds.emplace_back("unit's name");
                EXPECT_EQ(text(value, 0, 5), "naa.3");
                EXPECT_EQ(value.size(), 24U);
                EXPECT_EQ(value[20], std::byte{0});
                break;
            case 0x6194:
                kinds.emplace_back("relative port");
                EXPECT_EQ(number(value, 0, 4), 1U);
                break;
            case 0x6195:
                kinds.emplace_back("port group");
                EXPECT_EQ(number(value, 0, 4), 1U);
                break;
            case 0x6193:
                kinds.emplace_back("port's NAA");
                EXPECT_EQ(number(value, 0, 8), target_port_naa("initiator", 0));
                break;
            case 0x63a8:
                kinds.emplace_back("target's name");
                break;
            default:
                ADD_FAILURE() << std::hex << number(data, at, 2);
        }
    }
    EXPECT_THAT(kinds, testing::UnorderedElementsAre("unit's NAA", "unit's T10 identifier", "unit's name",
                                                     "relative port", "port group", "port's NAA", "target's name"));
}

TEST(Identities, targets_and_ports_differ) {
    EXPECT_NE(target_port_naa("a", 0), target_port_naa("a", 1));
    EXPECT_NE(target_port_naa("a", 0), target_port_naa("b", 0));
    EXPECT_NE(target_port_naa("a", 0), target_device_naa("a", 0));
    EXPECT_EQ(target_port_naa("a", 9) >> 60U, 3U);
    EXPECT_EQ(locally_assigned_naa(""), 0x3bf29ce44fd0bfc1U) << "disks must be found again";
}

TEST_F(Inquiries, block_limits_are_those_that_commands_obey) {
    const Bytes data = page(0xb0);
    ASSERT_EQ(data.size(), 64U);
    EXPECT_EQ(number(data, 4, 1), 1U);
    EXPECT_EQ(number(data, 5, 1), compare_and_write_blocks_max(512));
    EXPECT_EQ(number(data, 6, 2), 8U);
    EXPECT_EQ(number(data, 8, 4), transfer_blocks_max(512));
    EXPECT_EQ(number(data, 12, 4), 128U);
    EXPECT_EQ(number(data, 16, 4), prefetch_blocks_max(512));
    EXPECT_EQ(number(data, 20, 4), unmap_blocks_max(512));
    EXPECT_EQ(number(data, 24, 4), unmap_descriptors_max);
    EXPECT_EQ(number(data, 28, 4), 8U);
    EXPECT_EQ(number(data, 32, 4), 0x80000000U);
    EXPECT_EQ(number(data, 36, 8), write_same_blocks_max(512));
}

TEST_F(Inquiries, characteristics_and_provisioning_are_the_storages) {
    EXPECT_EQ(part(page(0xb1), 4, 5), bytes({0, 1, 0, 0, 3}));
    EXPECT_EQ(page(0xb2), bytes({0, 0xb2, 0, 4, 0, 0xe4, 2, 0}));
    EXPECT_EQ(part(page(0x86), 4, 10), bytes({0, 7, 1, 0, 0, 0, 0, 0, 0, SenseData::bytes_max}));
    EXPECT_EQ(page(0x87), bytes({0, 0x87, 0, 4, 0x3f, 0xff, 0, 0}));

    LogicalUnit::Options rotating;
    rotating.rotational = true;
    FakeUnit plain(8U << 20U, rotating);
    initiator.add(plain.unit, 0, Lun(1));
    EXPECT_EQ(part(page(0xb1, Lun(1)), 4, 2), bytes({7200 >> 8, 7200 & 0xff}));
    auto thick = geometry();
    thick.can_discard = false;
    thick.volatile_write_cache = false;
    FakeUnit fixed(thick);
    initiator.add(fixed.unit, 0, Lun(2));
    EXPECT_EQ(page(0xb2, Lun(2)), bytes({0, 0xb2, 0, 4, 0, 0, 0, 0}));
    EXPECT_EQ(part(page(0xb0, Lun(2)), 20, 16), Bytes(16));
    EXPECT_EQ(page(0x86, Lun(2))[6], std::byte{0});
}

}  // namespace
}  // namespace sidecore::scsi::test
