// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.hh"
#include "daemon/scratch_folder.hh"
#include "scsi/identity.hh"
#include "scsi/initiator.hh"
#include "scsi/mode_pages.hh"
#include "scsi/unit_state.hh"

namespace sidecore::scsi::test {
namespace {

constexpr unsigned save = 0x11;  // PF and SP
constexpr unsigned page_format = 0x10;

Bytes sense_6(unsigned page, unsigned subpage = 0, unsigned flags = 0x08, unsigned length = 255) {
    return bytes({0x1a, flags, page, subpage, length, 0});
}

Bytes sense_10(unsigned page, unsigned subpage = 0, unsigned flags = 0x08, unsigned length = 4096) {
    return bytes({0x5a, flags, page, subpage, 0, 0, 0, length >> 8U, length & 0xffU, 0});
}

Bytes select_6(std::size_t length, unsigned flags = page_format) {
    return bytes({0x15, flags, 0, 0, static_cast<unsigned>(length), 0});
}

Bytes select_10(std::size_t length, unsigned flags = page_format) {
    return bytes(
        {0x55, flags, 0, 0, 0, 0, 0, static_cast<unsigned>(length >> 8U), static_cast<unsigned>(length & 0xffU), 0});
}

Bytes operator+(Bytes left, const Bytes& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

Bytes caching(bool write_cache) {
    Bytes page(20);
    page[0] = std::byte{0x08};
    page[1] = std::byte{0x12};
    page[2] = std::byte{write_cache ? std::uint8_t{0x04} : std::uint8_t{0}};
    return page;
}

Bytes control(bool descriptor_sense, bool protect) {
    Bytes page = bytes({0x0a, 0x0a, 0x22, 0x10, 0, 0, 0, 0, 0, 0, 0, 0});
    page[2] |= std::byte{descriptor_sense ? std::uint8_t{0x04} : std::uint8_t{0}};
    page[4] |= std::byte{protect ? std::uint8_t{0x08} : std::uint8_t{0}};
    return page;
}

const Bytes header_6(4);
const Bytes header_10(8);

class Modes : public testing::Test {
protected:
    Modes() { initiator.add(fake.unit); }

    Bytes sensed(const Bytes& cdb) {
        const Reply reply = initiator.run(cdb, 4096);
        EXPECT_TRUE(reply.good()) << reply;
        return reply.data_in;
    }
    Reply selected(const Bytes& list, unsigned flags = page_format) {
        return initiator.run(select_10(list.size(), flags), list);
    }

    FakeUnit fake;
    Initiator initiator;
};

TEST_F(Modes, one_page_has_a_header_and_a_block_descriptor) {
    const Bytes short_form = sensed(sense_6(0x08, 0, 0));
    EXPECT_EQ(part(short_form, 0, 12), bytes({31, 0, 0x10, 8, 0, 0, 0x40, 0, 0, 0, 2, 0}));
    EXPECT_EQ(part(short_form, 12, 20), caching(true));
    const Bytes long_form = sensed(sense_10(0x08, 0, 0));
    EXPECT_EQ(part(long_form, 0, 16), bytes({0, 34, 0, 0x10, 0, 0, 0, 8, 0, 0, 0x40, 0, 0, 0, 2, 0}));
    const Bytes long_lba = sensed(sense_10(0x08, 0, 0x10));
    EXPECT_EQ(part(long_lba, 0, 24),
              bytes({0, 42, 0, 0x10, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 2, 0}));
    EXPECT_EQ(sensed(sense_6(0x08)), bytes({23, 0, 0x10, 0}) + caching(true));
    EXPECT_EQ(sensed(sense_10(0x08, 0, 0x18)), bytes({0, 26, 0, 0x10, 0, 0, 0, 0}) + caching(true));
}

TEST_F(Modes, all_pages_and_subpages_come_in_order) {
    const auto codes = [&](const Bytes& data) {
        std::vector<unsigned> found;
        for (std::size_t at = 4; at < data.size();) {
            const auto first = std::to_integer<unsigned>(data[at]);
            const bool long_header = (first & 0x40U) != 0;
            found.push_back((first & 0x3fU) << 8U | (long_header ? std::to_integer<unsigned>(data[at + 1]) : 0));
            at += long_header ? 4 + std::to_integer<std::size_t>(data[at + 3])
                              : 2 + std::to_integer<std::size_t>(data[at + 1]);
        }
        return found;
    };
    EXPECT_THAT(codes(sensed(sense_6(0x3f))), testing::ElementsAre(0x100, 0x200, 0x800, 0xa00, 0x1c00));
    EXPECT_THAT(codes(sensed(sense_6(0x3f, 0xff))), testing::ElementsAre(0x100, 0x200, 0x800, 0xa00, 0xa01, 0x1c00));
    EXPECT_THAT(codes(sensed(sense_6(0x0a, 0xff))), testing::ElementsAre(0xa00, 0xa01));
    EXPECT_THAT(codes(sensed(sense_6(0x0a, 0x01))), testing::ElementsAre(0xa01));
    EXPECT_THAT(codes(sensed(sense_6(0x08, 0xff))), testing::ElementsAre(0x800));
}

TEST_F(Modes, unknown_pages_are_refused) {
    EXPECT_TRUE(field_refused(initiator.run(sense_6(0x19), 255), 2, 5));
    EXPECT_TRUE(field_refused(initiator.run(sense_6(0x19, 0xff), 255), 2, 5));
    EXPECT_TRUE(field_refused(initiator.run(sense_6(0x0a, 0x02), 255), 3, 7));
    EXPECT_TRUE(field_refused(initiator.run(sense_10(0x3f, 0x01), 255), 3, 7));
}

TEST_F(Modes, changeable_bits_are_told) {
    Bytes expected = caching(true);
    EXPECT_EQ(part(sensed(sense_6(0x48)), 4, 20), expected);
    EXPECT_EQ(part(sensed(sense_6(0x4a)), 4, 12), bytes({0x0a, 0x0a, 4, 0, 8, 0, 0, 0, 0, 0, 0, 0}));
    EXPECT_EQ(part(sensed(sense_6(0x4a, 1)), 4, 4), bytes({0x4a, 0x01, 0, 0x1c}));
    EXPECT_EQ(part(sensed(sense_6(0x41)), 4, 12), bytes({0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST_F(Modes, data_are_cut_at_the_allocation_length) {
    EXPECT_EQ(initiator.run(sense_6(0x3f, 0, 8, 4), 255).transferred_bytes, 4U);
    EXPECT_EQ(initiator.run(sense_10(0x3f, 0, 8, 8), 255).transferred_bytes, 8U);
    EXPECT_EQ(initiator.run(sense_6(0x3f), 8).outcome, Outcome::overrun);
}

TEST_F(Modes, a_large_disk_has_as_many_blocks_as_the_field_can_tell) {
    storage::BlockGeometry geometry;
    geometry.capacity_bytes = 8U << 20U;
    geometry.logical_block_bytes = 4096;
    geometry.physical_block_bytes = 4096;
    FakeUnit other(geometry);
    initiator.add(other.unit, 0, Lun(1));
    Request request{sense_6(0x08, 0, 0), {}, 255};
    request.lun = Lun(1);
    EXPECT_EQ(part(initiator.run(request).data_in, 4, 8), bytes({0, 0, 8, 0, 0, 0, 16, 0}));
}

TEST_F(Modes, write_protection_is_told) {
    LogicalUnit::Options options;
    options.read_only = true;
    FakeUnit other(8U << 20U, options);
    initiator.add(other.unit, 0, Lun(1));
    Request request{sense_6(0x3f), {}, 255};
    request.lun = Lun(1);
    EXPECT_EQ(initiator.run(request).data_in[2], std::byte{0x90});
}

TEST_F(Modes, the_write_cache_can_be_switched_and_is_flushed_when_it_goes) {
    EXPECT_TRUE(initiator.run(select_6(24), header_6 + caching(false)).good());
    EXPECT_FALSE(fake.unit->write_cache);
    ASSERT_EQ(fake.disk->seen().size(), 1U);
    EXPECT_EQ(fake.disk->seen()[0].operation, storage::BlockOperation::flush);
    EXPECT_EQ(part(sensed(sense_6(0x08)), 4, 20), caching(false));
    EXPECT_EQ(part(sensed(sense_6(0x88)), 4, 20), caching(true)) << "defaults stay";
    EXPECT_TRUE(initiator.run(write_10(0, 1), Bytes(512)).good());
    EXPECT_TRUE(fake.disk->seen()[1].durable);
    EXPECT_TRUE(selected(header_10 + caching(true)).good());
    EXPECT_EQ(fake.disk->seen().size(), 2U) << "nothing to flush";
    EXPECT_TRUE(fake.unit->write_cache);
}

TEST_F(Modes, a_flush_that_fails_is_told) {
    fake.disk->add_fault({});
    EXPECT_TRUE(
        failed_with(selected(header_10 + caching(false)), SenseKey::medium_error, AdditionalSense::write_error));
    EXPECT_FALSE(fake.unit->write_cache) << "what comes is stable all the same";
}

TEST_F(Modes, write_protection_and_the_format_of_sense_data_can_be_switched) {
    EXPECT_TRUE(selected(header_10 + control(true, true)).good());
    EXPECT_EQ(fake.disk->seen().size(), 1U) << "flushed before it is protected";
    const Reply refused = initiator.run(write_10(0, 1), Bytes(512));
    EXPECT_TRUE(failed_with(refused, SenseKey::data_protect, AdditionalSense::write_protected));
    EXPECT_EQ(refused.sense_bytes[0], std::byte{0x72});
    EXPECT_EQ(sensed(sense_6(0x0a))[2], std::byte{0x90});
    EXPECT_TRUE(selected(header_10 + control(false, false)).good());
    EXPECT_TRUE(initiator.run(write_10(0, 1), Bytes(512)).good());
}

TEST_F(Modes, the_other_nexuses_hear_of_a_change_and_of_nothing_else) {
    Initiator second("second");
    second.add(fake.unit);
    EXPECT_TRUE(selected(header_10 + caching(true)).good());
    EXPECT_EQ(second.attention(), std::nullopt);
    EXPECT_TRUE(selected(header_10 + control(true, false) + caching(false)).good());
    EXPECT_EQ(initiator.attention(), std::nullopt);
    EXPECT_EQ(second.attention(), AdditionalSense::mode_parameters_changed);
}

TEST_F(Modes, block_descriptors_that_change_nothing_are_taken) {
    EXPECT_TRUE(selected(bytes({0, 0, 0, 0x90, 0, 0, 0, 8, 0, 0, 0x40, 0, 0, 0, 2, 0}) + caching(false)).good());
    EXPECT_FALSE(fake.unit->write_cache);
    EXPECT_TRUE(selected(bytes({0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0})).good());
    EXPECT_TRUE(selected(bytes({0, 0, 0, 0, 0, 0, 0, 8, 255, 255, 255, 255, 0, 0, 2, 0})).good());
    EXPECT_TRUE(
        selected(bytes({0, 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 2, 0}) + caching(true))
            .good());
    EXPECT_TRUE(fake.unit->write_cache);
    EXPECT_TRUE(initiator.run(select_6(12), bytes({0, 0, 0, 8, 0, 0, 0x40, 0, 0, 0, 2, 0})).good());
}

TEST_F(Modes, block_descriptors_that_would_change_the_medium_are_refused) {
    EXPECT_TRUE(parameter_refused(selected(bytes({0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0x40, 1, 0, 0, 2, 0})), 8, 7));
    EXPECT_TRUE(parameter_refused(selected(bytes({0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0x40, 0, 1, 0, 2, 0})), 12, 7));
    EXPECT_TRUE(parameter_refused(selected(bytes({0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0x40, 0, 0, 0, 16, 0})), 13, 7));
    EXPECT_TRUE(parameter_refused(
        selected(bytes({0, 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 4, 0})), 20, 7));
    EXPECT_TRUE(parameter_refused(selected(bytes({0, 0, 0, 0, 1, 0, 0, 8, 0, 0, 0x40, 0, 0, 0, 2, 0})), 6, 7));
    EXPECT_TRUE(parameter_refused(selected(bytes({0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0})), 6, 7));
    EXPECT_TRUE(parameter_refused(initiator.run(select_6(8), bytes({0, 0, 0, 4, 0, 0, 0, 0})), 3, 7));
}

TEST_F(Modes, wrong_headers_are_refused) {
    EXPECT_TRUE(parameter_refused(selected(bytes({0, 1, 0, 0, 0, 0, 0, 0})), 0, 7));
    EXPECT_TRUE(parameter_refused(selected(bytes({0, 0, 1, 0, 0, 0, 0, 0})), 2, 7));
    EXPECT_TRUE(parameter_refused(selected(bytes({0, 0, 0, 1, 0, 0, 0, 0})), 3));
    EXPECT_TRUE(parameter_refused(selected(bytes({0, 0, 0, 0, 2, 0, 0, 0})), 4));
    EXPECT_TRUE(parameter_refused(selected(bytes({0, 0, 0, 0, 0, 1, 0, 0})), 5, 7));
    EXPECT_TRUE(parameter_refused(initiator.run(select_6(4), bytes({9, 0, 0, 0})), 0, 7));
    EXPECT_TRUE(parameter_refused(initiator.run(select_6(4), bytes({0, 9, 0, 0})), 1, 7));
    EXPECT_TRUE(parameter_refused(initiator.run(select_6(4), bytes({0, 0, 9, 0})), 2));
}

TEST_F(Modes, wrong_pages_are_refused_and_nothing_changes) {
    const auto with = [&](std::size_t at, unsigned value) {
        Bytes list = header_10 + caching(false) + control(true, true);
        list[at] = static_cast<std::byte>(value);
        return selected(list);
    };
    EXPECT_TRUE(parameter_refused(with(28, 0x8a), 28, 7)) << "PS";
    EXPECT_TRUE(parameter_refused(with(28, 0x19), 28, 5)) << "no such page";
    EXPECT_TRUE(parameter_refused(with(28, 0x4a), 29, 7)) << "no such subpage";
    EXPECT_TRUE(parameter_refused(with(29, 0x0b), 29, 7)) << "length";
    EXPECT_TRUE(parameter_refused(with(30, 0x42), 30, 6)) << "TST";
    EXPECT_TRUE(parameter_refused(with(39, 0x01), 39, 0)) << "the last byte";
    EXPECT_TRUE(parameter_refused(with(10, 0x05), 10, 0)) << "RCD";
    EXPECT_TRUE(fake.unit->write_cache);
    EXPECT_FALSE(fake.unit->descriptor_sense);
    Bytes extension(32);
    std::ranges::copy(bytes({0x4a, 0x01, 0, 0x1c}), extension.begin());
    EXPECT_TRUE(selected(header_10 + extension).good());
    extension[3] = std::byte{0x1b};
    EXPECT_TRUE(parameter_refused(selected(header_10 + extension), 10, 7));
    extension[3] = std::byte{0x1c};
    extension[5] = std::byte{0x01};
    EXPECT_TRUE(parameter_refused(selected(header_10 + extension), 13, 0));
}

TEST_F(Modes, a_list_that_ends_too_early_has_a_wrong_length) {
    const Bytes whole = bytes({0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0x40, 0, 0, 0, 2, 0}) + caching(false);
    for (std::size_t length = 1; length < whole.size(); ++length) {
        const Reply reply = initiator.run(select_10(length), whole);
        if (length == 16) {
            EXPECT_TRUE(reply.good());
            continue;
        }
        EXPECT_TRUE(failed_with(reply, SenseKey::illegal_request, AdditionalSense::parameter_list_length_error))
            << length << ": " << reply;
    }
    EXPECT_TRUE(failed_with(initiator.run(select_6(3), header_6), SenseKey::illegal_request,
                            AdditionalSense::parameter_list_length_error));
    EXPECT_TRUE(fake.unit->write_cache);
    EXPECT_EQ(initiator.run(select_10(36), part(whole, 0, 35)).outcome, Outcome::overrun);
}

TEST_F(Modes, no_list_at_all_is_no_error) {
    EXPECT_TRUE(initiator.run(select_6(0), Bytes{}).good());
    EXPECT_TRUE(initiator.run(select_10(0, 0), Bytes{}).good());
}

TEST_F(Modes, pages_of_another_format_are_refused) {
    EXPECT_TRUE(field_refused(selected(header_10 + caching(false), 0), 1, 4));
}

TEST_F(Modes, without_a_state_file_nothing_is_saved) {
    EXPECT_TRUE(failed_with(initiator.run(sense_6(0xc8), 255), SenseKey::illegal_request,
                            AdditionalSense::saving_parameters_not_supported));
    EXPECT_TRUE(field_refused(selected(header_10 + caching(false), save), 1, 0));
    EXPECT_EQ(sensed(sense_6(0x08))[4], std::byte{0x08}) << "PS";
}

TEST_F(Modes, while_the_medium_is_sanitized_nothing_changes) {
    fake.unit->sanitizing = true;
    EXPECT_TRUE(
        failed_with(selected(header_10 + caching(false)), SenseKey::not_ready, AdditionalSense::sanitize_in_progress));
    EXPECT_EQ(sensed(sense_6(0x08)).size(), 24U);
    fake.unit->sanitizing = false;
}

class SavedModes : public testing::Test {
protected:
    LogicalUnit::Options options() const {
        LogicalUnit::Options chosen;
        chosen.serial = "saved";
        chosen.state_file = path;
        return chosen;
    }

    sidecore::test::ScratchFolder folder;
    const std::string path = folder / "state";
};

TEST_F(SavedModes, they_come_back_with_the_unit) {
    {
        FakeUnit fake(8U << 20U, options());
        Initiator initiator;
        initiator.add(fake.unit);
        const Bytes list = header_10 + control(true, false);
        EXPECT_TRUE(initiator.run(select_10(list.size(), save), list).good());
        const Bytes later = header_10 + caching(false);
        EXPECT_TRUE(initiator.run(select_10(later.size()), later).good());
        EXPECT_EQ(part(initiator.run(sense_6(0xc8), 255).data_in, 5, 19), part(caching(true), 1, 19));
        EXPECT_EQ(initiator.run(sense_6(0x08), 255).data_in[4], std::byte{0x88}) << "PS";
    }
    FakeUnit fake(8U << 20U, options());
    EXPECT_TRUE(fake.unit->descriptor_sense);
    EXPECT_TRUE(fake.unit->write_cache) << "it was not saved";
}

TEST_F(SavedModes, a_reset_brings_them_back) {
    FakeUnit fake(8U << 20U, options());
    Initiator initiator;
    initiator.add(fake.unit);
    const Bytes list = header_10 + caching(false);
    EXPECT_TRUE(initiator.run(select_10(list.size(), save), list).good());
    fake.unit->write_cache = true;
    fake.unit->software_write_protected = true;
    fake.unit->stopped = true;
    fake.unit->reset();
    EXPECT_FALSE(fake.unit->write_cache);
    EXPECT_FALSE(fake.unit->software_write_protected);
    EXPECT_FALSE(fake.unit->stopped);
}

TEST_F(SavedModes, one_that_cannot_be_saved_changes_nothing) {
    FakeUnit fake(8U << 20U, options());
    Initiator initiator;
    initiator.add(fake.unit);
    std::filesystem::create_directory(path);
    const Bytes list = header_10 + caching(false);
    EXPECT_TRUE(failed_with(initiator.run(select_10(list.size(), save), list), SenseKey::hardware_error,
                            AdditionalSense::internal_target_failure));
    EXPECT_TRUE(fake.unit->write_cache);
}

TEST_F(SavedModes, a_file_that_is_broken_or_not_ours_is_an_error) {
    const auto problem = [&](const std::string& text) {
        std::ofstream(path) << text;
        const auto disk = storage::FakeDisk::create(8U << 20U);
        const auto unit = LogicalUnit::create(disk->open(), options());
        return unit ? std::string() : unit.error().message;
    };
    using testing::HasSubstr;
    EXPECT_THAT(problem("{"), HasSubstr("not JSON"));
    EXPECT_THAT(problem("{"), HasSubstr(path));
    EXPECT_THAT(problem("[]"), HasSubstr("\"format\""));
    EXPECT_THAT(problem(R"({"format": "sidecore SCSI unit", "version": 2})"), HasSubstr("\"version\""));
    ASSERT_TRUE(save_unit_state(path, 17, {}));
    EXPECT_THAT(LogicalUnit::create(storage::FakeDisk::create(512)->open(), options()).error().message,
                HasSubstr("another disk"));
    const auto identity = locally_assigned_naa("saved");
    const std::string start =
        fmt::format(R"({{"format": "sidecore SCSI unit", "version": 1, "naa": "{:016x}")", identity);
    EXPECT_THAT(problem(start + "}"), HasSubstr("\"mode\""));
    EXPECT_THAT(problem(start + R"(, "mode": {"write_cache": 1}})"), HasSubstr("mode.write_cache"));
    ASSERT_TRUE(save_unit_state(path, identity, {false, true, true}));
    EXPECT_EQ(load_unit_state(path, identity).value(), (ModeSettings{false, true, true}));
}

}  // namespace
}  // namespace sidecore::scsi::test
