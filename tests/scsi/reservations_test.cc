// SPDX-License-Identifier: Apache-2.0
#include "scsi/reservations.hh"

#include <array>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "scsi/reserver.hh"

namespace sidecore::scsi::test {
namespace {

using Action = ReservationAction;
using Type = ReservationType;

constexpr std::array all_types{Type::write_exclusive,
                               Type::exclusive_access,
                               Type::write_exclusive_registrants_only,
                               Type::exclusive_access_registrants_only,
                               Type::write_exclusive_all_registrants,
                               Type::exclusive_access_all_registrants};

Request reading() {
    return {read_10(0, 1), {}, 512};
}
Request writing() {
    return {write_10(0, 1), Bytes(512)};
}
Request invalid_writing() {
    Request request = writing();
    request.cdb[6] = std::byte{0x80};
    return request;
}

class ReservationTest : public testing::Test, protected Cluster {
protected:
    std::shared_ptr<Nexus> nexus_of(Initiator& initiator) { return initiator.domain().find(0, Lun(0)); }
};

// ---- RESERVE and RELEASE

TEST_F(ReservationTest, what_one_initiator_reserves_conflicts_for_others_until_it_releases) {
    EXPECT_TRUE(a.run(reserve_6()).good());
    EXPECT_TRUE(a.run(reserve_6()).good()) << "again";
    EXPECT_TRUE(a.run(writing()).good());
    for (const Request& request :
         {reading(), writing(), invalid_writing(), Request{test_unit_ready()}, Request{reserve_6()}, reserve_in(0),
          Request(ReserveOut{Action::register_key, 0, 1})}) {
        EXPECT_TRUE(conflicts(b.run(request)));
    }
    EXPECT_TRUE(b.run(release_6()).good()) << "which changes nothing";
    EXPECT_TRUE(conflicts(b.run(reading())));
    EXPECT_TRUE(a.run(bytes({0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0})).good());
    EXPECT_TRUE(b.run(writing()).good());
    EXPECT_TRUE(b.run(bytes({0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0})).good());
    EXPECT_TRUE(conflicts(a.run(reading())));
}

TEST_F(ReservationTest, reserve_knows_no_extents_and_no_third_parties) {
    EXPECT_TRUE(field_refused(a.run(bytes({0x16, 0x01, 0, 0, 0, 0})), 1, 0));
    EXPECT_TRUE(field_refused(a.run(bytes({0x16, 0x10, 0, 0, 0, 0})), 1, 4));
    EXPECT_TRUE(field_refused(a.run(bytes({0x56, 0x02, 0, 0, 0, 0, 0, 0, 0, 0})), 1, 1));
}

TEST_F(ReservationTest, persistent_commands_conflict_for_the_one_that_has_reserved_too) {
    EXPECT_TRUE(a.run(reserve_6()).good());
    for (unsigned action = 0; action < 4; ++action) {
        EXPECT_TRUE(conflicts(a.run(reserve_in(action)))) << action;
    }
    EXPECT_TRUE(conflicts(a.run(ReserveOut{Action::register_key, 0, 1})));
    EXPECT_TRUE(a.run(release_6()).good());
    EXPECT_EQ(keys(a), Keys{});
}

TEST_F(ReservationTest, resets_and_lost_nexuses_end_reserve) {
    EXPECT_TRUE(a.run(reserve_6()).good());
    fake.unit->reset();
    EXPECT_EQ(b.attention(), AdditionalSense::bus_device_reset_occurred);
    EXPECT_EQ(a.attention(), AdditionalSense::bus_device_reset_occurred);
    EXPECT_TRUE(b.run(reserve_6()).good());

    fake.unit->nexus_lost(*nexus_of(a));
    EXPECT_EQ(a.attention(), AdditionalSense::i_t_nexus_loss_occurred);
    EXPECT_TRUE(conflicts(a.run(reading()))) << "it was not this one's";
    fake.unit->nexus_lost(*nexus_of(b));
    EXPECT_TRUE(a.run(reserve_6()).good());
    ASSERT_TRUE(a.domain().remove(0, Lun(0)));
    EXPECT_EQ(b.attention(), AdditionalSense::i_t_nexus_loss_occurred);
    EXPECT_TRUE(b.run(reading()).good());
}

TEST_F(ReservationTest, an_initiator_that_comes_later_conflicts_as_well) {
    EXPECT_TRUE(a.run(reserve_6()).good());
    Initiator late("late");
    late.add(fake.unit);
    EXPECT_TRUE(conflicts(late.run(reading())));
}

TEST_F(ReservationTest, a_unit_attention_comes_before_a_conflict) {
    EXPECT_TRUE(a.run(reserve_6()).good());
    nexus_of(b)->raise(AdditionalSense::mode_parameters_changed);
    EXPECT_EQ(b.run(reading()).code(), AdditionalSense::mode_parameters_changed);
    EXPECT_TRUE(conflicts(b.run(reading())));
}

TEST_F(ReservationTest, reserve_conflicts_with_registrations_but_for_those_who_have_a_part_in_the_reservation) {
    enrol(a, 1);
    enrol(b, 2);
    for (Initiator* each : {&a, &b, &c}) {
        EXPECT_TRUE(conflicts(each->run(reserve_6())));
        EXPECT_TRUE(conflicts(each->run(release_6())));
    }
    for (const Type type : all_types) {
        reserve(a, 1, type);
        EXPECT_TRUE(a.run(reserve_6()).good());
        EXPECT_TRUE(a.run(release_6()).good());
        const bool registrants = for_registrants_only(type) || for_all_registrants(type);
        EXPECT_EQ(b.run(reserve_6()).good(), registrants) << static_cast<int>(type);
        EXPECT_EQ(conflicts(b.run(release_6())), !registrants) << static_cast<int>(type);
        EXPECT_TRUE(conflicts(c.run(reserve_6())));
        EXPECT_EQ(reservation(a).first, type) << "nothing has changed";
        EXPECT_TRUE(a.run(ReserveOut{Action::release, 1, 0, type}).good());
        b.attention();
    }
}

// ---- Who may do what

TEST_F(ReservationTest, each_type_bars_whom_it_should_from_what_it_should) {
    enrol(a, 1);
    enrol(b, 2);
    struct Expected {
        bool registrant_reads, registrant_writes, stranger_reads;
    };
    const std::array<Expected, 6> expected{{{true, false, true},
                                            {false, false, false},
                                            {true, true, true},
                                            {true, true, false},
                                            {true, true, true},
                                            {true, true, false}}};
    for (std::size_t i = 0; i < all_types.size(); ++i) {
        SCOPED_TRACE(static_cast<int>(all_types[i]));
        reserve(a, 1, all_types[i]);
        EXPECT_TRUE(a.run(reading()).good());
        EXPECT_TRUE(a.run(writing()).good());
        EXPECT_EQ(b.run(reading()).good(), expected[i].registrant_reads);
        EXPECT_EQ(conflicts(b.run(reading())), !expected[i].registrant_reads);
        EXPECT_EQ(b.run(writing()).good(), expected[i].registrant_writes);
        EXPECT_EQ(conflicts(b.run(writing())), !expected[i].registrant_writes);
        EXPECT_EQ(c.run(reading()).good(), expected[i].stranger_reads);
        EXPECT_EQ(conflicts(c.run(reading())), !expected[i].stranger_reads);
        EXPECT_TRUE(conflicts(c.run(writing())));
        EXPECT_TRUE(conflicts(c.run(invalid_writing()))) << "a conflict comes before what is wrong with the CDB";
        EXPECT_TRUE(c.run(test_unit_ready()).good());
        EXPECT_TRUE(c.run(reserve_in(0)).good());
        EXPECT_TRUE(a.run(ReserveOut{Action::release, 1, 0, all_types[i]}).good());
        b.attention();
        EXPECT_TRUE(c.run(writing()).good());
    }
}

TEST_F(ReservationTest, fields_decide_about_starting_and_preventing_removal) {
    const Bytes start = bytes({0x1b, 0, 0, 0, 1, 0});
    const Bytes stop = bytes({0x1b, 0, 0, 0, 0, 0});
    const Bytes prevent = bytes({0x1e, 0, 0, 0, 1, 0});
    const Bytes allow = bytes({0x1e, 0, 0, 0, 0, 0});
    enrol(a, 1);
    for (const Type type : {Type::write_exclusive, Type::exclusive_access}) {
        reserve(a, 1, type);
        EXPECT_TRUE(b.run(start).good());
        EXPECT_TRUE(b.run(allow).good());
        EXPECT_TRUE(conflicts(b.run(stop)));
        EXPECT_TRUE(conflicts(b.run(prevent)));
        EXPECT_TRUE(a.run(ReserveOut{Action::release, 1, 0, type}).good());
    }
    EXPECT_TRUE(a.run(ReserveOut{Action::clear, 1}).good());
    EXPECT_TRUE(a.run(reserve_6()).good());
    EXPECT_TRUE(b.run(allow).good());
    for (const Bytes& each : {start, stop, prevent}) {
        EXPECT_TRUE(conflicts(b.run(each)));
    }
}

TEST_F(ReservationTest, no_reset_and_no_loss_ends_a_persistent_reservation) {
    enrol(a, 1);
    reserve(a, 1, Type::exclusive_access);
    fake.unit->reset();
    b.attention();
    EXPECT_TRUE(conflicts(b.run(reading())));
    fake.unit->nexus_lost(*nexus_of(a));
    ASSERT_TRUE(a.domain().remove(0, Lun(0)));
    EXPECT_TRUE(conflicts(b.run(reading())));
    a.add(fake.unit);
    EXPECT_TRUE(a.run(writing()).good()) << "it is known again";
    EXPECT_EQ(keys(a).keys, std::vector<std::uint64_t>{1});
}

TEST_F(ReservationTest, another_port_of_the_holder_is_another_nexus) {
    enrol(a, 1);
    reserve(a, 1, Type::write_exclusive);
    a.add(fake.unit, 5);
    Request other = writing();
    other.target = 5;
    EXPECT_TRUE(conflicts(a.run(other)));
    Request stranger = ReserveOut{Action::release, 1, 0, Type::write_exclusive};
    stranger.target = 5;
    EXPECT_TRUE(conflicts(a.run(stranger)));
}

// ---- Threads

/// Two initiators, each with a thread of its own, take the unit from each other; with what they read and write meanwhile.
TEST(ReservationThreads, initiators_on_two_threads_take_the_unit_from_each_other) {
    FakeUnit fake;
    Initiator a("a");
    Initiator b("b");
    a.add(fake.unit);
    b.add(fake.unit);
    constexpr int rounds = 300;
    const auto fight = [&](Initiator& self, std::uint64_t own, std::uint64_t others) {
        std::vector<std::uint64_t> sent;
        for (int i = 0; i < rounds; ++i) {
            sent.push_back(self.send(ReserveOut{Action::register_ignoring, 0, own}));
            sent.push_back(self.send(ReserveOut{Action::reserve, own, 0, Type::write_exclusive}));
            sent.push_back(self.send(writing()));
            sent.push_back(self.send(ReserveOut{Action::preempt_and_abort, own, others, Type::write_exclusive}));
            sent.push_back(self.send(reserve_in(3)));
            sent.push_back(self.send(Request{i % 7 == 0 ? reserve_6() : release_6()}));
            for (const std::uint64_t number : sent) {
                self.work();
                while (!self.finished(number)) {
                    std::this_thread::yield();
                }
                self.take(number);
            }
            sent.clear();
            if (i % 11 == 0) {
                self.run(ReserveOut{Action::clear, own});
            }
        }
    };
    std::atomic<int> ended{0};
    // Whoever is done first goes on serving its queue: the other may wait for its tasks.
    const auto serve = [&](Initiator& self, std::uint64_t own, std::uint64_t others) {
        fight(self, own, others);
        ++ended;
        while (ended != 2) {
            self.work();
            std::this_thread::yield();
        }
    };
    std::thread first([&] { serve(a, 0xa, 0xb); });
    std::thread second([&] { serve(b, 0xb, 0xa); });
    first.join();
    second.join();
    for (Initiator* each : {&a, &b}) {
        while (each->attention()) {
        }
        each->run(release_6());
    }
    EXPECT_TRUE(a.run(ReserveOut{Action::register_ignoring, 0, 1}).good());
    EXPECT_TRUE(a.run(ReserveOut{Action::clear, 1}).good());
    EXPECT_TRUE(keys(a).keys.empty());
}

}  // namespace
}  // namespace sidecore::scsi::test
