// SPDX-License-Identifier: Apache-2.0
// The control queue of a SCSI device (VIRTIO 1.3, 5.6.6.2), while nothing else is under way.
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_scsi.hh"

namespace sidecore::device {
namespace {

using frontend::scsi_lun;
using frontend::ScsiFunction;
using frontend::ScsiLun;
using frontend::ScsiNotifications;
using frontend::ScsiResponse;
using frontend::ScsiTaskManagement;
using scsi::AdditionalSense;
using scsi::SenseKey;

constexpr std::array every_function{
    ScsiFunction::abort_task,     ScsiFunction::abort_task_set,  ScsiFunction::clear_aca,
    ScsiFunction::clear_task_set, ScsiFunction::i_t_nexus_reset, ScsiFunction::logical_unit_reset,
    ScsiFunction::query_task,     ScsiFunction::query_task_set,
};

TEST(ScsiControl, every_function_on_an_idle_unit_is_complete) {
    DrivenScsi scsi;
    for (const ScsiFunction function : every_function) {
        EXPECT_EQ(scsi.run(function, scsi_lun(0, 0)), ScsiResponse::ok) << static_cast<unsigned>(function);
    }
}

TEST(ScsiControl, functions_that_nobody_knows_are_rejected) {
    DrivenScsi scsi;
    for (const std::uint32_t function : {8U, 9U, 255U, 256U, 0x80000000U, UINT32_MAX}) {
        EXPECT_EQ(scsi.run(static_cast<ScsiFunction>(function), scsi_lun(0, 0)), ScsiResponse::function_rejected);
    }
}

TEST(ScsiControl, functions_for_nobody_say_what_is_missing) {
    DrivenScsi scsi;
    for (const ScsiFunction function : every_function) {
        EXPECT_EQ(scsi.run(function, scsi_lun(1, 0)), ScsiResponse::bad_target);
        EXPECT_EQ(scsi.run(function, ScsiLun{0, 0, 0, 0, 0, 0, 0, 0}), ScsiResponse::bad_target);
        EXPECT_EQ(scsi.run(function, ScsiLun{2, 0, 0, 0, 0, 0, 0, 0}), ScsiResponse::bad_target);
        // "the single level LUN is ignored when the task management function addresses a whole I_T nexus"
        const auto expected =
            function == ScsiFunction::i_t_nexus_reset ? ScsiResponse::ok : ScsiResponse::incorrect_lun;
        EXPECT_EQ(scsi.run(function, scsi_lun(0, 1)), expected);
        EXPECT_EQ(scsi.run(function, ScsiLun{1, 0, 0xc1, 0x01, 0, 0, 0, 0}), expected);
        EXPECT_EQ(scsi.run(function, ScsiLun{1, 0, 0, 0, 0, 0, 0, 9}), expected);
    }
}

TEST(ScsiControl, a_reset_is_seen_by_the_next_command) {
    DrivenScsi scsi;
    scsi.add(0, 1);
    EXPECT_EQ(scsi.run(ScsiFunction::logical_unit_reset, scsi_lun(0, 0)), ScsiResponse::ok);
    const auto ready = [&](std::uint16_t lun) {
        return scsi.run({.cdb = frontend::scsi_test_unit_ready(), .lun = scsi_lun(0, lun)});
    };
    EXPECT_TRUE(failed_with(ready(0), SenseKey::unit_attention, AdditionalSense::bus_device_reset_occurred));
    EXPECT_TRUE(ready(0).good());
    EXPECT_TRUE(ready(1).good());
    EXPECT_EQ(scsi.run(ScsiFunction::i_t_nexus_reset, scsi_lun(0, 0)), ScsiResponse::ok);
    EXPECT_TRUE(failed_with(ready(0), SenseKey::unit_attention, AdditionalSense::i_t_nexus_loss_occurred));
    EXPECT_TRUE(failed_with(ready(1), SenseKey::unit_attention, AdditionalSense::i_t_nexus_loss_occurred));
}

TEST(ScsiControl, a_disk_has_no_notifications) {
    DrivenScsi scsi;
    const auto ask = [&](std::uint32_t type, const ScsiLun& lun) {
        must(scsi.control().submit_notifications(type, lun, UINT32_MAX));
        scsi.control().queue().publish();
        scsi.work();
        return scsi.answers().at(0);
    };
    for (const std::uint32_t type :
         {frontend::scsi_type_query_notifications, frontend::scsi_type_subscribe_notifications}) {
        const auto answer = ask(type, scsi_lun(0, 0));
        EXPECT_EQ(answer.response, ScsiResponse::ok);
        EXPECT_EQ(answer.events, 0U);
        EXPECT_EQ(answer.used_length, 5U);
        EXPECT_EQ(ask(type, scsi_lun(1, 0)).response, ScsiResponse::bad_target);
        EXPECT_EQ(ask(type, ScsiLun{}).response, ScsiResponse::bad_target);
        EXPECT_EQ(ask(type, scsi_lun(0, 1)).response, ScsiResponse::incorrect_lun);
    }
}

TEST(ScsiControl, types_that_nobody_knows_fail) {
    DrivenScsi scsi;
    for (const std::uint32_t type : {3U, 4U, 0x100U, UINT32_MAX}) {
        const ScsiTaskManagement request{
            .type = type, .function = std::uint32_t{0}, .lun = scsi_lun(0, 0), .id = std::uint64_t{0}};
        EXPECT_EQ(scsi.run_control(std::as_bytes(std::span(&request, 1)), 1), ScsiResponse::failure);
        const std::array alone{static_cast<std::byte>(type), static_cast<std::byte>(type >> 8U),
                               static_cast<std::byte>(type >> 16U), static_cast<std::byte>(type >> 24U)};
        EXPECT_EQ(scsi.run_control(alone, 1), ScsiResponse::failure);
    }
}

struct Short {
    std::uint32_t type;
    std::size_t request_bytes;
    std::size_t answer_bytes;
};

class ScsiBrokenControl : public testing::TestWithParam<Short> {};

INSTANTIATE_TEST_SUITE_P(Lengths, ScsiBrokenControl,
                         testing::Values(Short{0, 0, 1}, Short{0, 3, 1}, Short{0, 23, 1}, Short{0, 24, 0},
                                         Short{1, 15, 5}, Short{1, 16, 4}, Short{2, 16, 0}, Short{9, 4, 0}));

TEST_P(ScsiBrokenControl, without_room_for_request_or_response_it_breaks_its_queue_only) {
    DrivenScsi scsi;
    const Short lengths = GetParam();
    const ScsiTaskManagement request{
        .type = lengths.type, .function = std::uint32_t{5}, .lun = scsi_lun(0, 0), .id = std::uint64_t{0}};
    const auto bytes = std::as_bytes(std::span(&request, 1));
    must(scsi.control().submit_raw(bytes.first(lengths.request_bytes), lengths.answer_bytes));
    scsi.control().queue().publish();
    scsi.work();
    EXPECT_TRUE(scsi.vring(0).broken());
    EXPECT_TRUE(scsi.answers().empty());
    EXPECT_TRUE(scsi.run({.cdb = frontend::scsi_test_unit_ready()}).good()) << "nothing has been reset";
    EXPECT_EQ(scsi.vring(0).device->in_flight(), 0U);
}

TEST(ScsiControl, more_room_than_needed_stays_as_it_is) {
    DrivenScsi scsi;
    const ScsiTaskManagement request{
        .type = std::uint32_t{0}, .function = std::uint32_t{2}, .lun = scsi_lun(0, 0), .id = std::uint64_t{0}};
    const auto place = must(scsi.memory().allocate(256));
    std::memcpy(place.host, &request, sizeof request);
    std::memset(place.host + 128, 0xa5, 64);
    scsi.offer_raw(
        0, std::array{frontend::Piece{place.address, 100, false}, frontend::Piece{place.address + 128, 64, true}});
    scsi.work();
    std::array<frontend::Used, 4> used{};
    ASSERT_EQ(scsi.control().queue().reap(used), 1U);
    EXPECT_EQ(used[0].length, 1U);
    EXPECT_EQ(place.host[128], std::byte{0});
    EXPECT_EQ(place.host[129], std::byte{0xa5});
}

TEST(ScsiControl, a_ring_full_of_functions_is_answered) {
    DrivenScsi scsi({.ring_size = 128, .requests = {.slots = 64, .bytes_per_slot = 8192}});
    for (std::size_t i = 0; i < 64; ++i) {
        must(scsi.control().submit(every_function.at(i % every_function.size()), scsi_lun(0, 0), i));
    }
    scsi.control().queue().publish();
    scsi.work();
    EXPECT_EQ(scsi.answers().size(), 64U);
}

}  // namespace
}  // namespace sidecore::device
