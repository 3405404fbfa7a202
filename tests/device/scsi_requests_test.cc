// SPDX-License-Identifier: Apache-2.0
// What requests come to (VIRTIO 1.3, 5.6.6.1), whatever a driver asks for.
#include <algorithm>
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_scsi.hh"

namespace sidecore::device {
namespace {

using frontend::scsi_lun;
using frontend::scsi_read_10;
using frontend::scsi_write_10;
using frontend::ScsiFinished;
using frontend::ScsiResponse;
using scsi::AdditionalSense;
using scsi::SenseKey;
using storage::FaultAction;

constexpr std::uint32_t answer_header_bytes = 12;
constexpr std::uint32_t usual_answer_bytes = 12 + 96;
constexpr std::byte guard_byte{0xa5};

bool untouched(std::span<const std::byte> bytes) {
    return std::ranges::all_of(bytes, [](std::byte one) { return one == guard_byte; });
}

TEST(ScsiRequest, what_is_written_is_read) {
    DrivenScsi scsi;
    const auto data = pattern(8192, 1);
    EXPECT_TRUE(scsi.run({.cdb = scsi_write_10(100, 16), .out = data}).good());
    std::vector<std::byte> room(8192);
    EXPECT_TRUE(scsi.run({.cdb = scsi_read_10(100, 16), .in = room}).good());
    EXPECT_EQ(room, data);
}

TEST(ScsiRequest, a_command_without_data_writes_the_answer_only) {
    DrivenScsi scsi;
    const ScsiFinished finished = scsi.run({.cdb = frontend::scsi_test_unit_ready()});
    EXPECT_TRUE(finished.good());
    EXPECT_EQ(finished.used_length, answer_header_bytes);
    EXPECT_EQ(finished.sense_bytes, 0U);
    EXPECT_EQ(finished.status_qualifier, 0U);
    EXPECT_TRUE(untouched(finished.sense));
}

TEST(ScsiRequest, a_buffer_longer_than_the_command_needs_has_a_residual) {
    DrivenScsi scsi;
    const auto stored = pattern(1024, 2);
    scsi.disk().set_contents(0, stored);
    std::vector<std::byte> room(1024 + 300);
    const ScsiFinished read = scsi.run({.cdb = scsi_read_10(0, 2), .in = room});
    EXPECT_TRUE(read.good());
    EXPECT_EQ(read.residual, 300U);
    EXPECT_EQ(read.used_length, usual_answer_bytes + 1024);
    EXPECT_TRUE(std::ranges::equal(std::span(room).first(1024), stored));
    EXPECT_TRUE(untouched(std::span(room).subspan(1024)));

    const ScsiFinished write = scsi.run({.cdb = scsi_write_10(8, 1), .out = pattern(700, 3)});
    EXPECT_TRUE(write.good());
    EXPECT_EQ(write.residual, 700U - 512U);
    EXPECT_EQ(scsi.disk().contents(9 * 512, 512), std::vector<std::byte>(512));

    const ScsiFinished nothing = scsi.run({.cdb = scsi_read_10(0, 0), .in = room});
    EXPECT_TRUE(nothing.good());
    EXPECT_EQ(nothing.residual, room.size());
    EXPECT_EQ(nothing.used_length, answer_header_bytes);
    EXPECT_TRUE(untouched(room));
}

TEST(ScsiRequest, a_buffer_too_short_is_an_overrun_and_nothing_is_done) {
    DrivenScsi scsi;
    for (const std::size_t bytes : {0U, 1U, 511U, 1023U}) {
        std::vector<std::byte> room(bytes);
        const ScsiFinished read = scsi.run({.cdb = scsi_read_10(0, 2), .in = room});
        EXPECT_EQ(read.response, ScsiResponse::overrun);
        EXPECT_EQ(read.residual, bytes);
        EXPECT_EQ(read.used_length, answer_header_bytes);
        EXPECT_TRUE(untouched(room));
        EXPECT_EQ(scsi.run({.cdb = scsi_write_10(0, 2), .out = pattern(bytes, 4)}).response, ScsiResponse::overrun);
    }
    EXPECT_TRUE(scsi.disk().seen().empty());
}

TEST(ScsiRequest, data_in_both_directions_needs_inout) {
    for (const bool inout : {true, false}) {
        DrivenScsi scsi({.refused_features = inout ? 0 : std::uint64_t{scsi_host::feature_inout}});
        const auto data = pattern(512, 5);
        std::vector<std::byte> room(512);
        const ScsiFinished write = scsi.run({.cdb = scsi_write_10(4, 1), .out = data, .in = room});
        EXPECT_EQ(write.residual, inout ? 512U : 1024U);
        EXPECT_EQ(write.used_length, answer_header_bytes) << "nothing was written to the data-in buffer";
        EXPECT_TRUE(untouched(room));
        const ScsiFinished read = scsi.run({.cdb = scsi_read_10(4, 1), .out = data, .in = room});
        EXPECT_EQ(read.residual, inout ? 512U : 1024U);
        EXPECT_EQ(read.used_length, inout ? usual_answer_bytes + 512 : answer_header_bytes);
        if (inout) {
            EXPECT_TRUE(write.good());
            EXPECT_TRUE(read.good());
            EXPECT_EQ(room, data);
        } else {
            EXPECT_EQ(write.response, ScsiResponse::failure);
            EXPECT_EQ(read.response, ScsiResponse::failure);
            EXPECT_TRUE(scsi.disk().seen().empty());
            // One direction alone is as ever.
            EXPECT_TRUE(scsi.run({.cdb = scsi_write_10(4, 1), .out = data}).good());
            EXPECT_TRUE(scsi.run({.cdb = scsi_read_10(4, 1), .in = room}).good());
        }
    }
}

/// A data-in buffer shorter than what was written from the data-out buffer: the used length must not count the one for the other.
TEST(ScsiRequest, what_was_read_from_the_driver_is_not_counted_as_written) {
    DrivenScsi scsi;
    std::vector<std::byte> room(16);
    const ScsiFinished finished = scsi.run({.cdb = scsi_write_10(0, 8), .out = pattern(4096, 6), .in = room});
    EXPECT_TRUE(finished.good());
    EXPECT_EQ(finished.residual, 16U);
    EXPECT_EQ(finished.used_length, answer_header_bytes);
}

TEST(ScsiRequest, storage_that_fails_is_told_in_sense_data_and_no_data_is_counted) {
    DrivenScsi scsi;
    scsi.disk().add_fault({.action = FaultAction::fail, .error = EIO, .times = 1});
    std::vector<std::byte> room(1024);
    const ScsiFinished read = scsi.run({.cdb = scsi_read_10(0, 2), .in = room});
    EXPECT_TRUE(failed_with(read, SenseKey::medium_error, AdditionalSense::unrecovered_read_error));
    EXPECT_EQ(read.residual, 1024U);
    EXPECT_EQ(read.used_length, answer_header_bytes + read.sense_bytes);

    scsi.disk().add_fault({.action = FaultAction::fail, .error = EIO, .times = 1});
    const ScsiFinished write = scsi.run({.cdb = scsi_write_10(0, 2), .out = pattern(1024, 7)});
    EXPECT_TRUE(failed_with(write, SenseKey::medium_error, AdditionalSense::write_error));

    scsi.disk().add_fault({.action = FaultAction::fail, .error = EAGAIN, .times = 1});
    const ScsiFinished busy = scsi.run({.cdb = scsi_read_10(0, 2), .in = room});
    EXPECT_EQ(busy.response, ScsiResponse::ok);
    EXPECT_EQ(busy.status, 0x08);
    EXPECT_EQ(busy.used_length, answer_header_bytes);
}

TEST(ScsiRequest, a_lun_that_nobody_has_is_not_supported_and_a_target_that_nobody_has_is_bad) {
    DrivenScsi scsi;
    using Field = frontend::ScsiLun;
    const auto run = [&](const Field& lun) { return scsi.run({.cdb = frontend::scsi_test_unit_ready(), .lun = lun}); };
    // The same unit by both ways to address it (SAM-5 4.7.3).
    EXPECT_TRUE(run({1, 0, 0, 0, 0, 0, 0, 0}).good());
    EXPECT_TRUE(run({1, 0, 0x40, 0, 0, 0, 0, 0}).good());
    for (const Field& field : {Field{1, 0, 0, 1, 0, 0, 0, 0}, Field{1, 0, 0x41, 0, 0, 0, 0, 0},
                               Field{1, 0, 0x7f, 0xff, 0, 0, 0, 0}, Field{1, 0, 0x01, 0, 0, 0, 0, 0},  // another bus
                               Field{1, 0, 0x80, 0, 0, 0, 0, 0},     // logical unit addressing
                               Field{1, 0, 0xc1, 0x02, 0, 0, 0, 0},  // another well-known one
                               Field{1, 0, 0, 0, 1, 0, 0, 0}, Field{1, 0, 0, 0, 0, 0, 0, 1}}) {
        const ScsiFinished finished = run(field);
        EXPECT_TRUE(failed_with(finished, SenseKey::illegal_request, AdditionalSense::logical_unit_not_supported))
            << testing::PrintToString(field);
    }
    for (const Field& field :
         {Field{1, 1, 0, 0, 0, 0, 0, 0}, Field{1, 255, 0x40, 0, 0, 0, 0, 0}, Field{0, 0, 0, 0, 0, 0, 0, 0},
          Field{2, 0, 0, 0, 0, 0, 0, 0}, Field{0xc1, 0x01, 0, 0, 0, 0, 0, 1}, Field{0xc1, 0x02, 0, 0, 0, 0, 0, 0}}) {
        const ScsiFinished finished = run(field);
        EXPECT_EQ(finished.response, ScsiResponse::bad_target) << testing::PrintToString(field);
        EXPECT_EQ(finished.used_length, answer_header_bytes);
    }
}

TEST(ScsiRequest, the_report_luns_logical_unit_is_reached_by_both_its_addresses) {
    DrivenScsi scsi;
    for (const frontend::ScsiLun& field :
         {frontend::ScsiLun{0xc1, 0x01, 0, 0, 0, 0, 0, 0}, frontend::ScsiLun{1, 0, 0xc1, 0x01, 0, 0, 0, 0}}) {
        // A command that this unit does not have: it answers as itself.
        const ScsiFinished finished = scsi.run({.cdb = scsi_write_10(0, 0), .lun = field});
        EXPECT_EQ(finished.response, ScsiResponse::ok);
        EXPECT_EQ(finished.status, 2);
    }
}

TEST(ScsiRequest, task_attributes_are_taken_and_unknown_ones_refused) {
    DrivenScsi scsi;
    for (const std::uint8_t attribute : {frontend::scsi_simple, frontend::scsi_ordered, frontend::scsi_head_of_queue}) {
        EXPECT_TRUE(scsi.run({.cdb = frontend::scsi_test_unit_ready(), .task_attribute = attribute}).good());
    }
    // No ACA condition is there to be treated (SAM-5 5.9).
    EXPECT_TRUE(failed_with(scsi.run({.cdb = frontend::scsi_test_unit_ready(), .task_attribute = frontend::scsi_aca}),
                            SenseKey::aborted_command, AdditionalSense::invalid_message_error));
    for (unsigned attribute = 4; attribute < 256; ++attribute) {
        const ScsiFinished finished = scsi.run({.cdb = scsi_write_10(0, 1),
                                                .out = pattern(512, 8),
                                                .task_attribute = static_cast<std::uint8_t>(attribute)});
        EXPECT_EQ(finished.response, ScsiResponse::failure);
        EXPECT_EQ(finished.residual, 512U);
    }
    EXPECT_TRUE(scsi.disk().seen().empty());
    // Hints that nobody need follow.
    EXPECT_TRUE(scsi.run({.cdb = frontend::scsi_test_unit_ready(), .priority = 255, .command_reference = 255}).good());
}

TEST(ScsiRequest, an_ordered_request_waits_for_those_before_it) {
    DrivenScsi scsi;
    scsi.disk().add_fault({.action = FaultAction::hold, .times = 1});
    const auto first = scsi.offer({.cdb = scsi_write_10(0, 1), .out = pattern(512, 9)});
    const auto second = scsi.offer({.cdb = frontend::scsi_test_unit_ready(), .task_attribute = frontend::scsi_ordered});
    const auto third =
        scsi.offer({.cdb = frontend::scsi_test_unit_ready(), .task_attribute = frontend::scsi_head_of_queue});
    scsi.work();
    auto finished = scsi.finished();
    ASSERT_EQ(finished.size(), 1U);
    EXPECT_EQ(finished.front().ticket, third);
    scsi.disk().release_all();
    scsi.work();
    finished = scsi.finished();
    ASSERT_EQ(finished.size(), 2U);
    EXPECT_EQ(finished[0].ticket, first);
    EXPECT_EQ(finished[1].ticket, second);
}

TEST(ScsiRequest, sense_data_is_cut_to_what_the_driver_wants) {
    DrivenScsi scsi;
    for (const std::uint32_t size : {0U, 1U, 10U, 18U, 252U}) {
        const LittleEndian<std::uint32_t> field(size);
        must(scsi.device().write_config(20, std::as_bytes(std::span(&field, 1)), false));
        scsi.requests().set_sizes(size, 32);
        std::vector<std::byte> room(512);
        const ScsiFinished failed = scsi.run({.cdb = scsi_read_10(0xffffff, 1), .in = room});
        EXPECT_EQ(failed.status, 2);
        EXPECT_LE(failed.sense_bytes, size);
        EXPECT_EQ(failed.sense_bytes, std::min(size, std::max(18U, failed.sense_bytes)));
        EXPECT_EQ(failed.used_length, answer_header_bytes + failed.sense_bytes);
        EXPECT_TRUE(untouched(std::span(failed.sense).subspan(failed.sense_bytes)));
        const ScsiFinished read = scsi.run({.cdb = scsi_read_10(1, 1), .in = room});
        EXPECT_TRUE(read.good());
        EXPECT_EQ(read.used_length, answer_header_bytes + size + 512);
        EXPECT_EQ(room, scsi.disk().contents(512, 512));
    }
}

TEST(ScsiRequest, a_cdb_has_the_length_that_the_driver_has_chosen) {
    DrivenScsi scsi;
    for (const std::uint32_t size : {10U, 16U, 33U, 260U}) {
        const LittleEndian<std::uint32_t> field(size);
        must(scsi.device().write_config(24, std::as_bytes(std::span(&field, 1)), false));
        scsi.requests().set_sizes(96, size);
        const auto data = pattern(512, size);
        EXPECT_TRUE(scsi.run({.cdb = scsi_write_10(size, 1), .out = data}).good());
        EXPECT_EQ(scsi.disk().contents(std::uint64_t{size} * 512, 512), data);
    }
}

class ScsiBrokenRequest : public testing::TestWithParam<std::pair<std::uint32_t, std::uint32_t>> {};

INSTANTIATE_TEST_SUITE_P(Lengths, ScsiBrokenRequest,
                         testing::Values(std::pair(19U + 32U, 0U), std::pair(19U + 32U, 12U),
                                         std::pair(19U + 32U, 12U + 95U), std::pair(0U, 12U + 96U),
                                         std::pair(19U, 12U + 96U), std::pair(19U + 31U, 12U + 96U)));

TEST_P(ScsiBrokenRequest, without_room_for_header_or_response_it_breaks_its_queue_only) {
    DrivenScsi scsi({.device = {.queues = 2}});
    const auto [readable, writable] = GetParam();
    const auto place = must(scsi.memory().allocate(4096));
    std::vector<frontend::Piece> pieces;
    if (readable != 0) {
        pieces.push_back({place.address, readable, false});
    }
    if (writable != 0) {
        pieces.push_back({place.address + 2048, writable, true});
    }
    // Behind one that is as it should be, in one batch: that is not lost.
    scsi.disk().add_fault({.action = FaultAction::hold});
    scsi.offer({.cdb = scsi_write_10(0, 1), .out = pattern(512, 1)});
    scsi.work();
    scsi.offer_raw(2, pieces);
    scsi.work();
    EXPECT_TRUE(scsi.vring(2).broken());
    scsi.disk().release_all();
    scsi.work();
    EXPECT_EQ(scsi.queue(0).in_flight(), 0U);
    EXPECT_FALSE(scsi.vring(0).broken());
    EXPECT_FALSE(scsi.vring(3).broken());
    scsi.disk().clear_faults();
    EXPECT_TRUE(scsi.run({.cdb = scsi_write_10(0, 1), .out = pattern(512, 1)}, 1).good());
    // And nobody waits for it in vain.
    EXPECT_EQ(scsi.run(frontend::ScsiFunction::logical_unit_reset, scsi_lun(0, 0)), ScsiResponse::ok);
}

TEST(ScsiRequest, a_ring_full_of_requests_is_served) {
    DrivenScsi scsi({.ring_size = 256, .requests = {.slots = 64, .bytes_per_slot = 16384}});
    for (std::uint32_t i = 0; i < 64; ++i) {
        scsi.offer({.cdb = scsi_write_10(i, 1), .out = pattern(512, i)});
    }
    scsi.work();
    const auto finished = scsi.finished();
    EXPECT_EQ(finished.size(), 64U);
    EXPECT_TRUE(std::ranges::all_of(finished, [](const ScsiFinished& one) { return one.good(); }));
    EXPECT_EQ(scsi.disk().contents(63 * 512, 512), pattern(512, 63));
    EXPECT_EQ(scsi.queue().serve(64).requests, 0U);
}

}  // namespace
}  // namespace sidecore::device
