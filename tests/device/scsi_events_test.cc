// SPDX-License-Identifier: Apache-2.0
// What a SCSI device tells of itself (VIRTIO 1.3, 5.6.6.3).
#include <array>
#include <poll.h>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_scsi.hh"

namespace sidecore::device {
namespace {

using frontend::ScsiEvent;
using frontend::ScsiEventKind;
using frontend::ScsiLun;

constexpr std::uint32_t capacity_changed = 0x092a;  // ASC in the low byte, ASCQ in the next
constexpr std::size_t event_queue = 1;

bool is(const ScsiEvent& event, ScsiEventKind kind, const ScsiLun& lun, std::uint32_t reason) {
    return !event.missed() && event.kind() == kind && event.lun == lun && event.reason == reason;
}

TEST(ScsiEvents, units_that_come_and_go_are_told) {
    DrivenScsi scsi;
    scsi.add_event_buffers(8);
    scsi.add(3, 5);
    scsi.add(255, 300);
    scsi.work();
    auto events = scsi.events();
    ASSERT_EQ(events.size(), 2U);
    EXPECT_TRUE(is(events[0], ScsiEventKind::transport_reset, {1, 3, 0, 5, 0, 0, 0, 0}, frontend::scsi_reset_rescan));
    EXPECT_TRUE(
        is(events[1], ScsiEventKind::transport_reset, {1, 255, 0x41, 0x2c, 0, 0, 0, 0}, frontend::scsi_reset_rescan));
    must(scsi.domain().remove(3, scsi::Lun(5)));
    EXPECT_FALSE(scsi.domain().remove(3, scsi::Lun(5)));
    scsi.work();
    events = scsi.events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_TRUE(is(events[0], ScsiEventKind::transport_reset, {1, 3, 0, 5, 0, 0, 0, 0}, frontend::scsi_reset_removed));
}

TEST(ScsiEvents, another_capacity_is_told) {
    DrivenScsi scsi;
    scsi.add_event_buffers(8);
    must(scsi.unit().resize(mebibyte));
    must(scsi.unit().resize(mebibyte));
    scsi.work();
    const auto events = scsi.events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_TRUE(is(events[0], ScsiEventKind::parameters_changed, {1, 0, 0, 0, 0, 0, 0, 0}, capacity_changed));
    EXPECT_TRUE(failed_with(scsi.run({.cdb = frontend::scsi_test_unit_ready()}), scsi::SenseKey::unit_attention,
                            scsi::AdditionalSense::capacity_data_has_changed));
}

TEST(ScsiEvents, without_a_buffer_they_are_kept_in_their_order) {
    DrivenScsi scsi;
    for (std::uint16_t lun = 1; lun <= 20; ++lun) {
        scsi.add(0, lun);
    }
    scsi.work();
    EXPECT_TRUE(scsi.events().empty());
    std::uint8_t lun = 0;
    for (const std::uint32_t buffers : {1U, 4U, 20U}) {
        scsi.add_event_buffers(buffers);
        scsi.work();
        for (const ScsiEvent& event : scsi.events()) {
            EXPECT_FALSE(event.missed());
            EXPECT_EQ(event.lun[3], ++lun);
        }
    }
    EXPECT_EQ(lun, 20);
}

TEST(ScsiEvents, too_many_are_lost_and_the_driver_hears_of_that) {
    DrivenScsi scsi({.ring_size = 256, .event_buffers = 64});
    for (std::uint64_t i = 0; i < ScsiEvents::count_max + 7; ++i) {
        must(scsi.unit().resize(mebibyte + (i % 2) * 4096));
    }
    std::size_t told = 0;
    std::size_t missed = 0;
    for (int round = 0; round < 20; ++round) {
        scsi.add_event_buffers(64 - static_cast<std::uint32_t>(scsi.event_buffers().queue().in_flight()));
        scsi.work();
        for (const ScsiEvent& event : scsi.events()) {
            EXPECT_EQ(event.missed(), told == 0) << "the first says it, and it alone";
            EXPECT_EQ(event.kind(), ScsiEventKind::parameters_changed);
            missed += event.missed() ? 1 : 0;
            ++told;
        }
    }
    EXPECT_EQ(told, ScsiEvents::count_max);
    EXPECT_EQ(missed, 1U);
    scsi.add(0, 1);
    scsi.work();
    const auto events = scsi.events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_FALSE(events[0].missed());
}

TEST(ScsiEvents, who_does_not_want_them_gets_none) {
    for (const std::uint64_t refused :
         {std::uint64_t{scsi_host::feature_hotplug}, std::uint64_t{scsi_host::feature_change}}) {
        DrivenScsi scsi({.refused_features = refused});
        scsi.add_event_buffers(8);
        scsi.add(0, 1);
        must(scsi.domain().remove(0, scsi::Lun(1)));
        must(scsi.unit().resize(mebibyte));
        scsi.work();
        const auto events = scsi.events();
        const bool hotplug = refused == scsi_host::feature_change;
        ASSERT_EQ(events.size(), hotplug ? 2U : 1U);
        EXPECT_EQ(events[0].kind(), hotplug ? ScsiEventKind::transport_reset : ScsiEventKind::parameters_changed);
    }
}

TEST(ScsiEvents, a_reset_forgets_them) {
    DrivenScsi scsi;
    scsi.add(0, 1);
    scsi.device().reset();
    scsi.device().accept_features(scsi.device().features());
    scsi.add_event_buffers(8);
    scsi.work();
    EXPECT_TRUE(scsi.events().empty());
    scsi.add(0, 2);
    scsi.work();
    EXPECT_EQ(scsi.events().size(), 1U);
}

/// SET_FEATURES comes again when a migration begins and ends: only VHOST_F_LOG_ALL changes.
TEST(ScsiEvents, features_that_are_said_again_lose_none) {
    DrivenScsi scsi;
    scsi.add(0, 1);
    scsi.device().accept_features(scsi.device().features() | std::uint64_t{1} << 26U);
    scsi.device().accept_features(scsi.device().features());
    scsi.add_event_buffers(8);
    scsi.work();
    EXPECT_EQ(scsi.events().size(), 1U);
    must(scsi.unit().resize(mebibyte));
    must(scsi.unit().resize(2 * mebibyte));
    scsi.device().accept_features(scsi.device().features() & ~std::uint64_t{scsi_host::feature_change});
    scsi.work();
    EXPECT_TRUE(scsi.events().empty()) << "who no longer wants them gets none of before";
}

TEST(ScsiEvents, a_buffer_too_short_breaks_the_queue_only) {
    DrivenScsi scsi;
    const auto place = must(scsi.memory().allocate(64));
    scsi.offer_raw(event_queue, std::array{frontend::Piece{place.address, 15, true}});
    scsi.work();
    EXPECT_FALSE(scsi.vring(event_queue).broken()) << "nobody looks before there is something to tell";
    scsi.add(0, 1);
    scsi.work();
    EXPECT_TRUE(scsi.vring(event_queue).broken());
    EXPECT_TRUE(scsi.run({.cdb = frontend::scsi_test_unit_ready(), .lun = frontend::scsi_lun(0, 1)}).good());
    scsi.add(0, 2);  // and nothing happens
    scsi.work();
}

/// Its work is up to two parties: neither's half alone is any.
TEST(ScsiEvents, there_is_work_when_there_are_buffers_and_events) {
    DrivenScsi scsi;
    DeviceQueue& queue = *scsi.vring(event_queue).device;
    const auto rung = [&] {
        pollfd bell{queue.second_kick_fd(), POLLIN, 0};
        return ::poll(&bell, 1, 0) == 1;
    };
    EXPECT_FALSE(queue.has_work());
    EXPECT_TRUE(queue.arm());
    scsi.add_event_buffers(1);
    EXPECT_FALSE(queue.has_work()) << "buffers alone";
    EXPECT_TRUE(queue.arm());
    EXPECT_FALSE(rung());
    scsi.add(0, 1);
    EXPECT_TRUE(rung());
    EXPECT_TRUE(queue.has_work());
    EXPECT_FALSE(queue.arm());
    scsi.work();
    EXPECT_EQ(scsi.events().size(), 1U);
    scsi.add(0, 2);
    EXPECT_FALSE(queue.has_work()) << "an event alone";
    EXPECT_TRUE(queue.arm());
    scsi.add_event_buffers(1);
    EXPECT_TRUE(scsi.event_buffers().queue().kick_wanted()) << "armed for a buffer";
    EXPECT_TRUE(queue.has_work());
    EXPECT_FALSE(queue.arm());
    EXPECT_EQ(queue.serve(1).end, engine::TurnEnd::budget);
    EXPECT_EQ(scsi.events().size(), 1U);
}

}  // namespace
}  // namespace sidecore::device
