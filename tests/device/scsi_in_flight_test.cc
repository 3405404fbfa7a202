// SPDX-License-Identifier: Apache-2.0
// Requests under way, and task management that ends them (VIRTIO 1.3, 5.6.6.2): "Such effects MUST take place before the TMF itself is successfully
// completed". Buffers that have been given back are looked at by RequestSlots.
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_scsi.hh"

namespace sidecore::device {
namespace {

using frontend::scsi_lun;
using frontend::scsi_read_10;
using frontend::scsi_write_10;
using frontend::ScsiFinished;
using frontend::ScsiFunction;
using frontend::ScsiResponse;
using storage::FaultAction;

constexpr std::size_t control = 0;

class ScsiInFlight : public testing::Test {
protected:
    void hold(FaultAction action, std::uint64_t times = UINT64_MAX) {
        scsi.disk().add_fault({.action = action, .times = times});
    }
    std::uint64_t read(std::uint64_t id, std::span<std::byte> into, std::size_t queue = 0) {
        const std::uint64_t ticket = scsi.offer({.cdb = scsi_read_10(0, 1), .in = into, .id = id}, queue);
        scsi.work();
        return ticket;
    }
    std::uint64_t write(std::uint64_t id, std::size_t queue = 0, std::uint16_t lun = 0) {
        const std::uint64_t ticket =
            scsi.offer({.cdb = scsi_write_10(0, 1), .lun = scsi_lun(0, lun), .out = pattern(512, id), .id = id}, queue);
        scsi.work();
        return ticket;
    }
    std::vector<ScsiResponse> responses(std::size_t queue = 0) {
        std::vector<ScsiResponse> all;
        for (const ScsiFinished& one : scsi.finished(queue)) {
            all.push_back(one.response);
        }
        return all;
    }
    void nothing_is_left() {
        scsi.disk().release_all();
        scsi.work();
        for (std::size_t queue = 0; queue < 2; ++queue) {
            EXPECT_TRUE(scsi.finished(queue).empty()) << "nothing is completed twice";
            must(scsi.requests(queue).check_finished());
            EXPECT_EQ(scsi.queue(queue).in_flight(), 0U);
        }
        EXPECT_TRUE(scsi.answers().empty());
    }

    DrivenScsi scsi{{.device = {.queues = 2}}};
    std::vector<std::byte> room = std::vector<std::byte>(512);
};

using Responses = std::vector<ScsiResponse>;

TEST_F(ScsiInFlight, requests_that_are_done_at_once_go_to_the_storage_by_halves) {
    std::vector<std::vector<std::byte>> rooms(8, room);
    for (int round = 0; round < 2; ++round) {
        for (std::uint64_t i = 0; i < rooms.size(); ++i) {
            scsi.offer({.cdb = scsi_read_10(0, 1), .in = rooms[i], .id = i});
        }
        scsi.work();
        EXPECT_EQ(responses(), Responses(8, ScsiResponse::ok));
    }
    std::vector<std::size_t> batch_sizes(scsi.disk().batch_count());
    for (const auto& one : scsi.disk().seen()) {
        ++batch_sizes[one.batch];
    }
    EXPECT_EQ(batch_sizes, (std::vector<std::size_t>{8, 4, 4}));
    nothing_is_left();
}

TEST_F(ScsiInFlight, a_task_that_waits_for_storage_is_aborted) {
    hold(FaultAction::hold);
    read(7, room);
    write(8);
    EXPECT_EQ(scsi.run(ScsiFunction::abort_task, scsi_lun(0, 0), 7), ScsiResponse::ok);
    const auto finished = scsi.finished();
    ASSERT_EQ(finished.size(), 1U);
    EXPECT_EQ(finished[0].response, ScsiResponse::aborted);
    EXPECT_EQ(finished[0].residual, 512U);
    EXPECT_EQ(finished[0].used_length, 12U);
    scsi.disk().release_all();
    scsi.work();
    EXPECT_EQ(responses(), Responses{ScsiResponse::ok}) << "the other one goes on";
    nothing_is_left();
}

TEST_F(ScsiInFlight, storage_that_cannot_be_hurried_holds_the_answer_up) {
    hold(FaultAction::hold_fast);
    read(7, room);
    scsi.offer(ScsiFunction::abort_task, scsi_lun(0, 0), 7);
    scsi.work();
    EXPECT_TRUE(scsi.finished().empty()) << "the storage still has the buffer";
    EXPECT_TRUE(scsi.answers().empty());
    EXPECT_EQ(scsi.vring(control).device->in_flight(), 1U);
    scsi.disk().release_all();
    scsi.work();
    EXPECT_EQ(responses(), Responses{ScsiResponse::aborted});
    EXPECT_EQ(scsi.answers().size(), 1U);
    nothing_is_left();
}

TEST_F(ScsiInFlight, the_answer_comes_after_the_request_is_visible) {
    hold(FaultAction::hold_fast);
    read(7, room);
    scsi.offer(ScsiFunction::abort_task, scsi_lun(0, 0), 7);
    scsi.work();
    scsi.disk().release_all();
    for (int i = 0; i < 3; ++i) {
        scsi.work(control);
        EXPECT_TRUE(scsi.answers().empty()) << "the request's queue has not been looked at";
    }
    scsi.queue().reap();
    EXPECT_EQ(responses(), Responses{ScsiResponse::aborted});
    scsi.work(control);
    EXPECT_EQ(scsi.answers().size(), 1U);
    nothing_is_left();
}

/// A driver that has sent a request may abort it before the device has looked.
TEST_F(ScsiInFlight, a_task_that_lies_in_the_ring_is_found) {
    hold(FaultAction::hold);
    scsi.offer({.cdb = scsi_read_10(0, 1), .in = room, .id = 7});
    scsi.offer(ScsiFunction::abort_task, scsi_lun(0, 0), 7);
    scsi.work(control);
    EXPECT_TRUE(scsi.answers().empty());
    scsi.queue(0).reap();
    scsi.queue(1).reap();
    EXPECT_EQ(responses(), Responses{ScsiResponse::aborted});
    scsi.work(control);
    ASSERT_EQ(scsi.answers().size(), 1U);
    EXPECT_EQ(scsi.queue().serve(64).requests, 0U) << "there is nothing left that could begin now";
    const engine::Turn elsewhere = scsi.queue().done_elsewhere();
    EXPECT_EQ(elsewhere.requests, 1U);
    EXPECT_EQ(scsi.queue().done_elsewhere().requests, 0U);
    nothing_is_left();
}

TEST_F(ScsiInFlight, a_task_that_ended_before_is_no_error) {
    write(7);
    EXPECT_EQ(scsi.run(ScsiFunction::abort_task, scsi_lun(0, 0), 7), ScsiResponse::ok);
    EXPECT_EQ(responses(), Responses{ScsiResponse::ok});
    nothing_is_left();
}

TEST_F(ScsiInFlight, tags_are_looked_for_on_their_unit_only) {
    hold(FaultAction::hold);
    scsi.add(0, 1);
    write(7);
    EXPECT_EQ(scsi.run(ScsiFunction::abort_task, scsi_lun(0, 1), 7), ScsiResponse::ok);
    EXPECT_TRUE(scsi.finished().empty());
    scsi.disk().release_all();
    scsi.work();
    EXPECT_EQ(responses(), Responses{ScsiResponse::ok});
}

TEST_F(ScsiInFlight, tasks_are_counted) {
    EXPECT_EQ(scsi.run(ScsiFunction::query_task, scsi_lun(0, 0), 7), ScsiResponse::ok);
    EXPECT_EQ(scsi.run(ScsiFunction::query_task_set, scsi_lun(0, 0)), ScsiResponse::ok);
    hold(FaultAction::hold_fast);
    write(7, 1);
    EXPECT_EQ(scsi.run(ScsiFunction::query_task, scsi_lun(0, 0), 7), ScsiResponse::function_succeeded);
    EXPECT_EQ(scsi.run(ScsiFunction::query_task, scsi_lun(0, 0), 8), ScsiResponse::ok);
    EXPECT_EQ(scsi.run(ScsiFunction::query_task_set, scsi_lun(0, 0)), ScsiResponse::function_succeeded);
    scsi.disk().release_all();
    scsi.work();
    EXPECT_EQ(responses(1), Responses{ScsiResponse::ok});
    EXPECT_EQ(scsi.run(ScsiFunction::query_task, scsi_lun(0, 0), 7), ScsiResponse::ok);
}

TEST_F(ScsiInFlight, task_sets_are_aborted_on_all_queues) {
    for (const ScsiFunction function : {ScsiFunction::abort_task_set, ScsiFunction::clear_task_set}) {
        scsi.disk().clear_faults();
        hold(FaultAction::hold);
        write(1, 0);
        write(2, 0);
        write(3, 1);
        EXPECT_EQ(scsi.run(function, scsi_lun(0, 0)), ScsiResponse::ok);
        EXPECT_EQ(responses(0), (Responses{ScsiResponse::aborted, ScsiResponse::aborted}));
        EXPECT_EQ(responses(1), Responses{ScsiResponse::aborted});
        nothing_is_left();
    }
}

TEST_F(ScsiInFlight, resets_end_the_tasks_of_their_unit_or_target) {
    for (const ScsiFunction function : {ScsiFunction::logical_unit_reset, ScsiFunction::i_t_nexus_reset}) {
        DrivenScsi fresh({.device = {.queues = 2}});
        const auto second = fresh.add(0, 1);
        const auto third = fresh.add(1, 0);
        for (const auto& disk : {second, third, fresh.disk().shared_from_this()}) {
            disk->add_fault({.action = FaultAction::hold});
        }
        const auto data = pattern(512, 1);
        fresh.offer({.cdb = scsi_write_10(0, 1), .out = data, .id = 1}, 0);
        fresh.offer({.cdb = scsi_write_10(0, 1), .lun = scsi_lun(0, 1), .out = data, .id = 2}, 1);
        fresh.offer({.cdb = scsi_write_10(0, 1), .lun = scsi_lun(1, 0), .out = data, .id = 3}, 1);
        fresh.work();
        EXPECT_EQ(fresh.run(function, scsi_lun(0, 0)), ScsiResponse::ok);
        ASSERT_EQ(fresh.finished(0).size(), 1U);
        const bool whole_target = function == ScsiFunction::i_t_nexus_reset;
        const auto others = fresh.finished(1);
        ASSERT_EQ(others.size(), whole_target ? 1U : 0U);
        EXPECT_TRUE(others.empty() || others.front().response == ScsiResponse::reset);
        for (const auto& disk : {second, third}) {
            disk->release_all();
        }
        fresh.work();
        EXPECT_EQ(fresh.finished(1).size(), whole_target ? 1U : 2U);
    }
}

TEST_F(ScsiInFlight, held_up_tasks_are_aborted_too) {
    hold(FaultAction::hold_fast, 1);
    write(1);
    scsi.offer({.cdb = scsi_write_10(1, 1), .out = pattern(512, 2), .id = 2, .task_attribute = frontend::scsi_ordered});
    scsi.work();
    EXPECT_EQ(scsi.run(ScsiFunction::abort_task, scsi_lun(0, 0), 2), ScsiResponse::ok);
    EXPECT_EQ(responses(), Responses{ScsiResponse::aborted});
    scsi.disk().release_all();
    scsi.work();
    EXPECT_EQ(responses(), Responses{ScsiResponse::ok});
    EXPECT_EQ(scsi.disk().seen().size(), 1U) << "the ordered one did not begin";
    nothing_is_left();
}

TEST_F(ScsiInFlight, two_aborts_of_one_task_are_both_answered) {
    hold(FaultAction::hold_fast);
    write(1);
    scsi.offer(ScsiFunction::abort_task, scsi_lun(0, 0), 1);
    scsi.offer(ScsiFunction::logical_unit_reset, scsi_lun(0, 0));
    scsi.work();
    EXPECT_TRUE(scsi.answers().empty());
    scsi.disk().release_all();
    scsi.work();
    EXPECT_EQ(responses(), Responses{ScsiResponse::aborted}) << "by the first";
    EXPECT_EQ(scsi.answers().size(), 2U);
    nothing_is_left();
}

TEST_F(ScsiInFlight, a_unit_that_is_removed_lets_its_tasks_end) {
    hold(FaultAction::hold_fast);
    write(1);
    must(scsi.domain().remove(0, scsi::Lun(0)));
    EXPECT_EQ(scsi.run({.cdb = frontend::scsi_test_unit_ready()}, 1).response, ScsiResponse::bad_target);
    scsi.disk().release_all();
    scsi.work();
    EXPECT_EQ(responses(), Responses{ScsiResponse::ok});
    EXPECT_EQ(scsi.disk().contents(0, 512), pattern(512, 1));
    nothing_is_left();
}

/// A queue that no worker has (a disabled vring): nobody would ever answer for it.
TEST_F(ScsiInFlight, a_queue_without_a_worker_holds_nobody_up) {
    scsi.offer(ScsiFunction::abort_task_set, scsi_lun(0, 0));
    scsi.work(control);
    EXPECT_TRUE(scsi.answers().empty());
    scsi.queue(0).left();
    scsi.queue(1).left();
    scsi.work(control);
    EXPECT_EQ(scsi.answers().size(), 1U);
    scsi.offer(ScsiFunction::query_task_set, scsi_lun(0, 0));
    scsi.offer(ScsiFunction::abort_task, scsi_lun(0, 0), 1);
    scsi.work(control);
    EXPECT_EQ(scsi.answers().size(), 2U);
    // The driver may have the buffer back of what it aborted in the meantime.
    hold(FaultAction::hold);
    scsi.offer({.cdb = scsi_write_10(0, 1), .out = pattern(512, 1), .id = 1});
    scsi.queue(0).entered();
    scsi.queue(1).entered();
    scsi.work();
    EXPECT_EQ(responses(), Responses{ScsiResponse::aborted});
    const engine::Turn elsewhere = scsi.queue(0).done_elsewhere();
    EXPECT_EQ(elsewhere.requests, 1U);
    scsi.disk().clear_faults();
    write(2);
    scsi.finished();
    EXPECT_EQ(scsi.run(ScsiFunction::query_task_set, scsi_lun(0, 0)), ScsiResponse::ok);
    nothing_is_left();
}

/// With requests in flight it only changes its worker.
TEST_F(ScsiInFlight, a_queue_that_moves_keeps_its_orders) {
    hold(FaultAction::hold_fast);
    write(1);
    scsi.queue(0).left();
    scsi.offer(ScsiFunction::abort_task, scsi_lun(0, 0), 1);
    scsi.work(control);
    scsi.work(3);
    EXPECT_TRUE(scsi.answers().empty());
    scsi.queue(0).entered();
    scsi.disk().release_all();
    scsi.work();
    EXPECT_EQ(responses(), Responses{ScsiResponse::aborted});
    EXPECT_EQ(scsi.answers().size(), 1U);
    nothing_is_left();
}

/// A queue that is being stopped gets no turn any more, and everything else that is in flight must come to an end.
TEST_F(ScsiInFlight, who_does_not_stop_to_manage_tasks_cannot_keep_a_queue_busy) {
    std::size_t taken = 0;
    for (int round = 0; round < 600; ++round) {
        for (int i = 0; i < 8; ++i) {
            if (scsi.requests().in_flight() < 16) {
                scsi.offer({.cdb = frontend::scsi_test_unit_ready()});
            }
        }
        scsi.offer(ScsiFunction::abort_task, scsi_lun(0, 0), 1);
        scsi.work(control);
        scsi.queue(0).reap();
        scsi.queue(1).reap();
        scsi.work(control);
        ASSERT_EQ(scsi.answers().size(), 1U);
        taken += scsi.finished().size();
    }
    EXPECT_LE(taken, 64U * 64U + 64U);
    EXPECT_GE(taken, 64U * 63U);
    scsi.work();
    EXPECT_FALSE(scsi.finished().empty()) << "a turn takes them";
}

}  // namespace
}  // namespace sidecore::device
