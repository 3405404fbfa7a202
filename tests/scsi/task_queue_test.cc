// SPDX-License-Identifier: Apache-2.0
#include "scsi/task_queue.hh"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scsi/initiator.hh"

namespace sidecore::scsi::test {
namespace {

using storage::FaultAction;

/// Sends a task management function and remembers its answer.
struct Management {
    Management(Initiator& initiator, TaskManagement function, std::uint64_t tag = 0, std::optional<Lun> lun = Lun(0),
               std::uint8_t target = 0) {
        initiator.domain().manage(function, target, lun, tag, [this](TaskManagementResponse response) {
            ++answers;
            answer = response;
        });
    }

    int answers = 0;
    std::optional<TaskManagementResponse> answer;
};

class TaskQueues : public testing::Test {
protected:
    TaskQueues() { initiator.add(fake.unit); }

    void hold(FaultAction how = FaultAction::hold) {
        storage::Fault fault;
        fault.action = how;
        fake.disk->add_fault(fault);
    }

    Request reading(std::uint32_t lba, std::uint64_t tag, TaskAttribute attribute = TaskAttribute::simple) const {
        Request request{read_10(lba, 1), {}, 512};
        request.tag = tag;
        request.attribute = attribute;
        return request;
    }

    FakeUnit fake;
    Initiator initiator;
};

TEST_F(TaskQueues, what_is_written_is_read) {
    const Bytes data = pattern(8 * 512, 1);
    EXPECT_TRUE(initiator.run(write_10(100, 8), data).good());
    EXPECT_EQ(fake.disk->contents(100 * 512, data.size()), data);
    const Reply reply = initiator.run(read_10(100, 8), data.size());
    EXPECT_TRUE(reply.good()) << reply;
    EXPECT_EQ(reply.data_in, data);
}

TEST_F(TaskQueues, a_target_without_any_unit_is_none) {
    Request request{test_unit_ready()};
    request.target = 3;
    EXPECT_EQ(initiator.run(request).outcome, Outcome::no_target);
}

TEST_F(TaskQueues, a_unit_that_is_not_there_is_not_supported) {
    Request request{test_unit_ready()};
    for (const auto& lun : {std::optional(Lun(7)), std::optional<Lun>()}) {
        request.lun = lun;
        EXPECT_TRUE(failed_with(initiator.run(request), SenseKey::illegal_request,
                                AdditionalSense::logical_unit_not_supported));
    }
}

TEST_F(TaskQueues, unknown_commands_are_refused) {
    EXPECT_TRUE(failed_with(initiator.run(bytes({0xff, 0, 0, 0, 0, 0})), SenseKey::illegal_request,
                            AdditionalSense::invalid_command_operation_code));
}

TEST_F(TaskQueues, a_bit_that_no_command_knows_is_refused_and_pointed_at) {
    Bytes cdb = read_10(0, 1);
    cdb[6] = std::byte{0x60};
    EXPECT_TRUE(field_refused(initiator.run(cdb, 512), 6, 6));
    EXPECT_TRUE(fake.disk->seen().empty());
}

TEST_F(TaskQueues, unit_attentions_come_once_and_in_order_with_resets_first) {
    auto nexus = initiator.domain().find(0, Lun(0));
    nexus->raise(AdditionalSense::mode_parameters_changed);
    nexus->raise(AdditionalSense::capacity_data_has_changed);
    nexus->raise(AdditionalSense::mode_parameters_changed);
    nexus->raise(AdditionalSense::bus_device_reset_occurred);
    EXPECT_EQ(initiator.attention(), AdditionalSense::bus_device_reset_occurred);
    EXPECT_EQ(initiator.attention(), AdditionalSense::mode_parameters_changed);
    EXPECT_EQ(initiator.attention(), AdditionalSense::capacity_data_has_changed);
    EXPECT_EQ(initiator.attention(), std::nullopt);
}

TEST_F(TaskQueues, an_ordered_task_waits_and_makes_wait) {
    hold();
    const auto first = initiator.send(reading(1, 1));
    const auto ordered = initiator.send(reading(2, 2, TaskAttribute::ordered));
    const auto last = initiator.send(reading(3, 3));
    const auto urgent = initiator.send(reading(4, 4, TaskAttribute::head_of_queue));
    initiator.work();
    ASSERT_EQ(fake.disk->held().size(), 2U);
    EXPECT_EQ(fake.disk->held()[0].offset_bytes, 512U);
    EXPECT_EQ(fake.disk->held()[1].offset_bytes, 4 * 512U);

    fake.disk->release(0);
    EXPECT_TRUE(initiator.finished(first));
    EXPECT_EQ(fake.disk->held().size(), 1U) << "the urgent one came first, too";
    fake.disk->release(0);
    EXPECT_TRUE(initiator.finished(urgent));
    ASSERT_EQ(fake.disk->held().size(), 1U);
    EXPECT_EQ(fake.disk->held()[0].offset_bytes, 2 * 512U);
    EXPECT_FALSE(initiator.finished(last));
    fake.disk->release(0);
    EXPECT_TRUE(initiator.finished(ordered));
    ASSERT_EQ(fake.disk->held().size(), 1U);
    fake.disk->release(0);
    EXPECT_TRUE(initiator.finished(last));
}

TEST_F(TaskQueues, an_abort_is_answered_when_its_task_is_back) {
    hold(FaultAction::hold_fast);
    const auto stuck = initiator.send(reading(1, 17));
    const auto other = initiator.send(reading(2, 18));
    Management abort(initiator, TaskManagement::abort_task, 17);
    initiator.work();
    EXPECT_EQ(abort.answers, 0) << "the storage still has the task's buffer";
    EXPECT_FALSE(initiator.finished(stuck));

    fake.disk->release(0);
    EXPECT_EQ(initiator.take(stuck).outcome, Outcome::aborted);
    EXPECT_EQ(abort.answers, 1);
    EXPECT_EQ(abort.answer, TaskManagementResponse::complete);
    fake.disk->release(0);
    EXPECT_TRUE(initiator.take(other).good());
}

TEST_F(TaskQueues, an_abort_is_answered_after_the_task_was_settled) {
    hold();
    initiator.send(reading(1, 17));
    Management abort(initiator, TaskManagement::abort_task, 17);
    initiator.queue().attend();
    std::array<Task*, 4> ended;
    EXPECT_EQ(initiator.queue().reap(ended), 1U);
    EXPECT_EQ(abort.answers, 0);
    initiator.queue().settle();
    EXPECT_EQ(abort.answers, 1);
}

TEST_F(TaskQueues, what_the_storage_can_give_back_is_back_at_once) {
    hold();
    const auto stuck = initiator.send(reading(1, 17));
    const auto held_back = initiator.send(reading(2, 18, TaskAttribute::ordered));
    Management abort(initiator, TaskManagement::abort_task_set);
    EXPECT_EQ(initiator.take(stuck).outcome, Outcome::aborted);
    EXPECT_EQ(initiator.take(held_back).outcome, Outcome::aborted);
    EXPECT_EQ(abort.answer, TaskManagementResponse::complete);
    EXPECT_EQ(fake.disk->seen().size(), 1U) << "one that was held back never began";
}

TEST_F(TaskQueues, an_abort_of_what_is_not_there_is_complete) {
    Management abort(initiator, TaskManagement::abort_task, 99);
    initiator.work();
    EXPECT_EQ(abort.answer, TaskManagementResponse::complete);
}

TEST_F(TaskQueues, queries_tell_what_is_there) {
    hold();
    Management none(initiator, TaskManagement::query_task_set);
    initiator.work();
    EXPECT_EQ(none.answer, TaskManagementResponse::complete);

    const auto held = initiator.send(reading(1, 17));
    Management task(initiator, TaskManagement::query_task, 17);
    Management other(initiator, TaskManagement::query_task, 18);
    Management set(initiator, TaskManagement::query_task_set);
    initiator.work();
    EXPECT_EQ(task.answer, TaskManagementResponse::succeeded);
    EXPECT_EQ(other.answer, TaskManagementResponse::complete);
    EXPECT_EQ(set.answer, TaskManagementResponse::succeeded);
    fake.disk->release_all();
    EXPECT_TRUE(initiator.take(held).good()) << "a query ends nothing";
}

TEST_F(TaskQueues, a_reset_ends_the_tasks_of_all_initiators_and_tells_them) {
    Initiator second("second");
    second.add(fake.unit);
    hold();
    const auto mine = initiator.send(reading(1, 1));
    const auto theirs = second.send(reading(2, 1));
    Management reset(initiator, TaskManagement::logical_unit_reset);
    EXPECT_EQ(initiator.take(mine).outcome, Outcome::reset);
    EXPECT_EQ(reset.answers, 0) << "the other initiator has not seen the end of its task";
    EXPECT_EQ(second.take(theirs).outcome, Outcome::reset);
    EXPECT_EQ(reset.answers, 1);
    EXPECT_EQ(initiator.attention(), AdditionalSense::bus_device_reset_occurred);
    EXPECT_EQ(second.attention(), AdditionalSense::bus_device_reset_occurred);
}

TEST_F(TaskQueues, a_nexus_reset_ends_the_tasks_of_its_initiator_on_the_target_alone) {
    FakeUnit other;
    initiator.add(other.unit, 0, Lun(1));
    Initiator second("second");
    second.add(fake.unit);
    hold();
    const auto mine = initiator.send(reading(1, 1));
    const auto theirs = second.send(reading(2, 1));
    Management reset(initiator, TaskManagement::i_t_nexus_reset, 0, std::nullopt);
    EXPECT_EQ(initiator.take(mine).outcome, Outcome::reset);
    EXPECT_EQ(reset.answer, TaskManagementResponse::complete);
    EXPECT_FALSE(second.finished(theirs));
    EXPECT_EQ(initiator.attention(0, Lun(1)), AdditionalSense::i_t_nexus_loss_occurred);
    fake.disk->clear_faults();
    fake.disk->release_all();
    EXPECT_TRUE(second.take(theirs).good());
    EXPECT_EQ(second.attention(), std::nullopt);
}

TEST_F(TaskQueues, management_of_what_is_not_there_says_so) {
    EXPECT_EQ(Management(initiator, TaskManagement::abort_task, 1, Lun(9)).answer,
              TaskManagementResponse::incorrect_lun);
    EXPECT_EQ(Management(initiator, TaskManagement::abort_task, 1, std::nullopt).answer,
              TaskManagementResponse::incorrect_lun);
    EXPECT_EQ(Management(initiator, TaskManagement::logical_unit_reset, 0, Lun(0), 9).answer,
              TaskManagementResponse::no_target);
}

TEST_F(TaskQueues, a_failure_with_naca_stops_the_nexus_until_aca_is_cleared) {
    Bytes failing = read_10(0xffffffff, 1);
    failing[9] = std::byte{control_usage};
    EXPECT_EQ(initiator.run(failing, 512).code(), AdditionalSense::lba_out_of_range);
    EXPECT_EQ(initiator.run(read_10(0, 1), 512).status, Status::aca_active);
    EXPECT_TRUE(initiator.run(reading(0, 1, TaskAttribute::aca)).good());
    Management clear(initiator, TaskManagement::clear_aca);
    EXPECT_EQ(clear.answer, TaskManagementResponse::complete);
    EXPECT_TRUE(initiator.run(read_10(0, 1), 512).good());
    EXPECT_TRUE(failed_with(initiator.run(reading(0, 1, TaskAttribute::aca)), SenseKey::aborted_command,
                            AdditionalSense::invalid_message_error));
}

TEST_F(TaskQueues, what_aca_holds_back_goes_on_afterwards) {
    hold();
    const auto first = initiator.send(reading(1, 1));
    const auto second = initiator.send(reading(2, 2, TaskAttribute::ordered));
    Bytes failing = read_10(0xffffffff, 1);
    failing[9] = std::byte{control_usage};
    Request urgent{failing, {}, 512};
    urgent.attribute = TaskAttribute::head_of_queue;
    EXPECT_EQ(initiator.run(urgent).code(), AdditionalSense::lba_out_of_range);
    fake.disk->release(0);
    EXPECT_TRUE(initiator.take(first).good());
    EXPECT_FALSE(initiator.finished(second));
    Management clear(initiator, TaskManagement::clear_aca);
    initiator.work();
    ASSERT_EQ(fake.disk->held().size(), 1U);
    fake.disk->release(0);
    EXPECT_TRUE(initiator.take(second).good());
}

TEST_F(TaskQueues, a_removed_unit_finishes_what_it_has_and_takes_no_more) {
    hold();
    const auto under_way = initiator.send(reading(1, 1));
    ASSERT_TRUE(initiator.domain().remove(0, Lun(0)));
    FakeUnit next;
    initiator.add(next.unit, 0, Lun(0));
    EXPECT_TRUE(initiator.run(read_10(5, 1), 512).good());
    EXPECT_EQ(next.disk->seen().size(), 1U);
    fake.disk->release_all();
    EXPECT_TRUE(initiator.take(under_way).good());
    initiator.run(read_10(5, 1), 512);
    EXPECT_EQ(fake.disk->open_queue_count(), 0U) << "its storage is let go of";
}

TEST_F(TaskQueues, a_unit_whose_storage_cannot_be_opened_is_busy_and_may_be_tried_again) {
    fake.disk->fail_next_open_queue(EMFILE);
    EXPECT_EQ(initiator.run(read_10(0, 1), 512).status, Status::busy);
    EXPECT_TRUE(initiator.run(read_10(0, 1), 512).good());
}

TEST_F(TaskQueues, errors_of_the_storage_have_their_sense) {
    const auto with = [&](int error, const Request& request) {
        storage::Fault fault;
        fault.error = error;
        fault.times = 1;
        fake.disk->add_fault(fault);
        return initiator.run(request);
    };
    const Request reading_7{read_10(7, 1), {}, 512};
    const Request writing{write_10(7, 1), Bytes(512)};
    const Reply read = with(EIO, reading_7);
    EXPECT_TRUE(failed_with(read, SenseKey::medium_error, AdditionalSense::unrecovered_read_error)) << read;
    EXPECT_EQ(read.sense->information, 7U);
    EXPECT_TRUE(failed_with(with(EIO, writing), SenseKey::medium_error, AdditionalSense::write_error));
    EXPECT_TRUE(failed_with(with(ENOSPC, writing), SenseKey::data_protect, AdditionalSense::space_allocation_failed));
    EXPECT_TRUE(failed_with(with(EROFS, writing), SenseKey::data_protect, AdditionalSense::write_protected));
    EXPECT_TRUE(
        failed_with(with(EINVAL, reading_7), SenseKey::hardware_error, AdditionalSense::internal_target_failure));
    EXPECT_EQ(with(ENOMEM, reading_7).status, Status::busy);
}

}  // namespace
}  // namespace sidecore::scsi::test
