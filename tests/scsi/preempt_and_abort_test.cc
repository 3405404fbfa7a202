// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "scsi/reserver.hh"

namespace sidecore::scsi::test {
namespace {

using Action = ReservationAction;
using Type = ReservationType;
using storage::FaultAction;

class PreemptAndAbort : public testing::Test, protected Cluster {
protected:
    PreemptAndAbort() {
        enrol(a, 1);
        enrol(b, 2);
    }

    void hold(FaultAction how = FaultAction::hold) {
        storage::Fault fault;
        fault.action = how;
        fake.disk->add_fault(fault);
    }

    static Request reading() { return {read_10(0, 1), {}, 512}; }
    static Request preempting(std::uint64_t key, std::uint64_t others, Type type = Type::write_exclusive) {
        return ReserveOut{Action::preempt_and_abort, key, others, type};
    }
};

TEST_F(PreemptAndAbort, it_is_answered_when_the_tasks_of_the_preempted_are_back) {
    reserve(b, 2, Type::write_exclusive);
    hold(FaultAction::hold_fast);
    const auto of_b = b.send(reading());
    const auto of_c = c.send(reading());
    const auto own = a.send(reading());
    const auto preempting_b = a.send(preempting(1, 2));
    EXPECT_FALSE(a.finished(preempting_b));
    EXPECT_FALSE(b.finished(of_b));
    EXPECT_FALSE(a.finished(preempting_b)) << "the storage still has a task";
    fake.disk->release(0);
    EXPECT_EQ(b.take(of_b).outcome, Outcome::aborted);
    EXPECT_TRUE(a.take(preempting_b).good());
    EXPECT_FALSE(c.finished(of_c));
    EXPECT_FALSE(a.finished(own));
    fake.disk->clear_faults();
    fake.disk->release_all();
    EXPECT_TRUE(c.take(of_c).good());
    EXPECT_TRUE(a.take(own).good());
    EXPECT_EQ(b.attention(), AdditionalSense::registrations_preempted);
    EXPECT_EQ(reservation(c), std::pair(Type::write_exclusive, std::uint64_t{1}));
}

TEST_F(PreemptAndAbort, without_tasks_it_still_waits_for_the_other_queue_to_say_so) {
    const auto number = a.send(preempting(1, 2));
    EXPECT_FALSE(a.finished(number));
    b.work();
    EXPECT_TRUE(a.take(number).good());
}

TEST_F(PreemptAndAbort, who_is_not_there_has_no_tasks) {
    ASSERT_TRUE(b.domain().remove(0, Lun(0)));
    EXPECT_TRUE(a.run(preempting(1, 2)).good());
    EXPECT_EQ(keys(a).keys, std::vector<std::uint64_t>{1});
}

TEST_F(PreemptAndAbort, a_failed_one_aborts_nothing) {
    hold();
    const auto of_b = b.send(reading());
    EXPECT_TRUE(conflicts(a.run(preempting(1, 99))));
    EXPECT_FALSE(b.finished(of_b));
    fake.disk->release_all();
    EXPECT_TRUE(b.take(of_b).good());
}

TEST_F(PreemptAndAbort, its_own_nexus_loses_all_tasks_but_itself) {
    hold();
    const auto other = a.send(reading());
    const auto number = a.send(preempting(1, 1));
    EXPECT_EQ(a.take(other).outcome, Outcome::aborted);
    EXPECT_TRUE(a.take(number).good());
    EXPECT_EQ(a.attention(), std::nullopt);
    EXPECT_EQ(keys(a).keys, std::vector<std::uint64_t>{2});
}

TEST_F(PreemptAndAbort, of_two_that_abort_each_other_both_end) {
    enrol(b, 1);
    const auto of_a = a.send(preempting(1, 1));  // both have the key, and nobody has reserved
    const auto of_b = b.send(preempting(1, 1));
    EXPECT_EQ(b.take(of_b).code(), AdditionalSense::registrations_preempted) << "it came too late";
    EXPECT_TRUE(a.take(of_a).good());

    enrol(a, 1);
    enrol(b, 2);
    enrol(c, 3);
    // a's waits for b's queue, when c's comes and preempts a.
    const auto first = a.send(preempting(1, 2));
    const auto second = c.send(preempting(3, 1));
    EXPECT_EQ(a.take(first).outcome, Outcome::aborted);
    EXPECT_TRUE(c.take(second).good());
    b.work();
    EXPECT_EQ(keys(c).keys, std::vector<std::uint64_t>{3});
}

TEST_F(PreemptAndAbort, it_ends_an_auto_contingent_allegiance_of_the_preempted) {
    Bytes failing = read_10(0xffffffff, 1);
    failing[9] = std::byte{control_usage};
    EXPECT_EQ(b.run(failing, 512).code(), AdditionalSense::lba_out_of_range);
    EXPECT_EQ(b.run(reading()).status, Status::aca_active);
    const auto number = a.send(preempting(1, 2));
    b.work();
    EXPECT_TRUE(a.take(number).good());
    EXPECT_EQ(b.attention(), AdditionalSense::registrations_preempted);
    EXPECT_TRUE(b.run(reading()).good());
}

}  // namespace
}  // namespace sidecore::scsi::test
