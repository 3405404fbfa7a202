// SPDX-License-Identifier: Apache-2.0
#include "scsi/persistent_reserve.hh"

#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "base/big_endian.hh"
#include "scsi/reserver.hh"

namespace sidecore::scsi::test {
namespace {

using Action = ReservationAction;
using Type = ReservationType;
using List = std::vector<std::uint64_t>;

constexpr auto preempted = AdditionalSense::registrations_preempted;
constexpr auto released = AdditionalSense::reservations_released;

class PersistentReserve : public testing::Test, protected Cluster {
protected:
    /// Whose registration is there, in the order in which they came, and the reservation.
    void expect(const List& registered, Type type = Type::none, std::uint64_t holder = 0) {
        EXPECT_EQ(keys(c).keys, registered);
        EXPECT_EQ(reservation(c), std::pair(type, holder));
    }

    void expect_attentions(std::optional<AdditionalSense> of_a, std::optional<AdditionalSense> of_b,
                           std::optional<AdditionalSense> of_c = {}) {
        EXPECT_EQ(a.attention(), of_a);
        EXPECT_EQ(b.attention(), of_b);
        EXPECT_EQ(c.attention(), of_c);
    }
};

bool has_wrong_length(const Reply& reply) {
    return failed_with(reply, SenseKey::illegal_request, AdditionalSense::parameter_list_length_error);
}

// ---- REGISTER

TEST_F(PersistentReserve, a_key_is_registered_changed_and_taken_back) {
    EXPECT_TRUE(a.run(ReserveOut{Action::register_key, 0, 0}).good()) << "nothing is done";
    EXPECT_EQ(keys(a), (Keys{0, {}}));
    EXPECT_TRUE(conflicts(a.run(ReserveOut{Action::register_key, 7, 1}))) << "it has no key yet";
    EXPECT_TRUE(a.run(ReserveOut{Action::register_key, 0, 0x0102030405060708}).good());
    EXPECT_EQ(keys(a), (Keys{1, {0x0102030405060708}}));
    EXPECT_TRUE(conflicts(a.run(ReserveOut{Action::register_key, 0, 5})));
    EXPECT_TRUE(a.run(ReserveOut{Action::register_key, 0x0102030405060708, 5}).good());
    EXPECT_EQ(keys(a), (Keys{2, {5}}));
    EXPECT_TRUE(a.run(ReserveOut{Action::register_key, 5, 0}).good());
    EXPECT_EQ(keys(a), (Keys{3, {}}));
}

TEST_F(PersistentReserve, an_existing_key_may_be_ignored) {
    EXPECT_TRUE(a.run(ReserveOut{Action::register_ignoring, 99, 0}).good());
    EXPECT_EQ(keys(a), (Keys{0, {}}));
    EXPECT_TRUE(a.run(ReserveOut{Action::register_ignoring, 99, 1}).good());
    EXPECT_TRUE(a.run(ReserveOut{Action::register_ignoring, 98, 2}).good());
    EXPECT_EQ(keys(a), (Keys{2, {2}}));
    EXPECT_TRUE(a.run(ReserveOut{Action::register_ignoring, 97, 0}).good());
    EXPECT_EQ(keys(a), (Keys{3, {}}));
}

TEST_F(PersistentReserve, others_are_registered_by_their_transport_ids) {
    const TransportId of_b = transport_id_of("b");
    EXPECT_TRUE(a.run(ReserveOut{Action::register_key, 0, 5, {}, spec_i_pt, {of_b, transport_id_of("c")}}).good());
    EXPECT_EQ(keys(a), (Keys{1, {5, 5, 5}}));
    EXPECT_TRUE(b.run(ReserveOut{Action::register_key, 5, 0}).good());
    EXPECT_TRUE(c.run(ReserveOut{Action::register_key, 5, 6}).good());
    EXPECT_TRUE(b.run(ReserveOut{Action::register_key, 0, 7, {}, spec_i_pt, {transport_id_of("c")}}).good());
    EXPECT_EQ(keys(a).keys, (List{5, 6, 7})) << "who is registered keeps its key";
    EXPECT_TRUE(parameter_refused(a.run(ReserveOut{Action::register_key, 5, 5, {}, spec_i_pt, {of_b}}), 20, 3));
    EXPECT_TRUE(parameter_refused(a.run(ReserveOut{Action::register_ignoring, 5, 5, {}, spec_i_pt, {of_b}}), 20, 3));
    EXPECT_TRUE(parameter_refused(a.run(ReserveOut{Action::reserve, 5, 0, Type::write_exclusive, spec_i_pt}), 20, 3));
}

TEST_F(PersistentReserve, all_target_ports_are_registered_and_taken_back_at_once) {
    a.add(fake.unit, 3);
    b.add(fake.unit, 7);
    EXPECT_TRUE(a.run(ReserveOut{Action::register_key, 0, 5, {}, all_tg_pt}).good());
    EXPECT_EQ(keys(a).keys, (List{5, 5})) << "those of this initiator";
    Request other = ReserveOut{Action::register_key, 5, 6};
    other.target = 3;
    EXPECT_TRUE(a.run(other).good());
    EXPECT_TRUE(a.run(ReserveOut{Action::register_key, 5, 0, {}, all_tg_pt}).good());
    EXPECT_EQ(keys(a).keys, (List{6})) << "another key is another's";
    EXPECT_TRUE(a.run(ReserveOut{Action::register_ignoring, 0, 8, {}, all_tg_pt}).good());
    EXPECT_EQ(keys(a).keys, (List{8, 8}));
    EXPECT_TRUE(a.run(ReserveOut{Action::clear, 8}).good());
    EXPECT_TRUE(
        a.run(ReserveOut{Action::register_key, 0, 9, {}, spec_i_pt | all_tg_pt, {transport_id_of("absent")}}).good());
    EXPECT_EQ(keys(b).keys.size(), 2U + 3U) << "who is not there gets all ports that there are";
}

TEST_F(PersistentReserve, transport_ids_are_checked) {
    const auto with = [&](std::size_t byte, unsigned value) {
        TransportId id = transport_id_of("b");
        id[byte] = static_cast<std::byte>(value);
        return a.run(ReserveOut{Action::register_key, 0, 5, {}, spec_i_pt, {transport_id_of("c"), id}});
    };
    EXPECT_TRUE(parameter_refused(with(0, 0x05), 28 + 24)) << "iSCSI";
    EXPECT_TRUE(parameter_refused(with(0, 0x46), 28 + 24)) << "a format that SAS has not";
    EXPECT_TRUE(parameter_refused(with(0, 0x16), 28 + 24, 4));
    EXPECT_TRUE(parameter_refused(with(2, 0x80), 28 + 24 + 2, 7));
    EXPECT_TRUE(parameter_refused(with(23, 0x01), 28 + 24 + 23, 0));
    Request cut = ReserveOut{Action::register_key, 0, 5, {}, spec_i_pt, {transport_id_of("b")}};
    cut.data_out.resize(28 + 20);
    cut.data_out[27] = std::byte{20};
    cut.cdb[8] = std::byte{28 + 20};
    EXPECT_TRUE(parameter_refused(a.run(cut), 24));
    EXPECT_EQ(keys(a), Keys{}) << "nobody is registered";
}

TEST_F(PersistentReserve, registrations_have_a_bound) {
    std::vector<TransportId> many;
    for (std::size_t i = 0; i + 1 < ReservationState::registrations_max; ++i) {
        many.push_back(transport_id_of(std::to_string(i)));
    }
    const auto has_no_room = [](const Reply& reply) {
        return failed_with(reply, SenseKey::illegal_request, AdditionalSense::insufficient_registration_resources);
    };
    auto too_many = many;
    too_many.insert(too_many.end(), {transport_id_of("x"), transport_id_of("y")});
    EXPECT_TRUE(has_no_room(a.run(ReserveOut{Action::register_key, 0, 5, {}, spec_i_pt, too_many})));
    too_many.pop_back();
    EXPECT_TRUE(has_no_room(a.run(ReserveOut{Action::register_key, 0, 5, {}, spec_i_pt, too_many})));
    EXPECT_EQ(keys(a), Keys{});
    EXPECT_TRUE(a.run(ReserveOut{Action::register_key, 0, 5, {}, spec_i_pt, many}).good());
    EXPECT_TRUE(has_no_room(b.run(ReserveOut{Action::register_key, 0, 5})));
    EXPECT_EQ(keys(b).keys.size(), ReservationState::registrations_max);
    EXPECT_EQ(b.run(reserve_in(3, 0xffff)).data_in.size(), 8 + 48 * ReservationState::registrations_max);
    reserve(a, 5, Type::write_exclusive);
    EXPECT_TRUE(has_no_room(a.run(move_to(5, 6, transport_id_of("b")))));
}

TEST_F(PersistentReserve, parameter_lists_of_a_wrong_length_are_refused) {
    for (const std::size_t length : {0U, 1U, 23U, 25U, 48U, 0x10000U}) {
        EXPECT_TRUE(has_wrong_length(a.run(with_list(Action::register_key, Bytes(length))))) << length;
    }
    Request list = ReserveOut{Action::register_key, 0, 5, {}, spec_i_pt, {transport_id_of("b")}};
    list.data_out[27] = std::byte{48};
    EXPECT_TRUE(has_wrong_length(a.run(list)));
    Request none = ReserveOut{Action::register_key, 0, 5, {}, spec_i_pt};
    none.data_out.resize(24);
    none.cdb[8] = std::byte{24};
    EXPECT_TRUE(has_wrong_length(a.run(none)));
    Request move = move_to(0, 5, transport_id_of("b"));
    move.data_out[23] = std::byte{28};
    EXPECT_TRUE(has_wrong_length(a.run(move)));
    Request less = ReserveOut{Action::register_key, 0, 5};
    less.data_out.resize(20);
    EXPECT_EQ(a.run(less).outcome, Outcome::overrun);
    EXPECT_EQ(keys(a), Keys{});
}

TEST_F(PersistentReserve, reserved_bits_of_the_parameter_list_are_refused) {
    for (const unsigned bit : {1U, 4U, 5U, 6U, 7U}) {
        EXPECT_TRUE(parameter_refused(a.run(ReserveOut{Action::register_key, 0, 5, {}, 1U << bit}), 20,
                                      static_cast<std::uint8_t>(bit)));
    }
    Request request = ReserveOut{Action::register_key, 0, 5};
    request.data_out[21] = std::byte{2};
    EXPECT_TRUE(parameter_refused(a.run(request), 21, 1));
    EXPECT_TRUE(field_refused(a.run(bytes({0x5f, 8, 0, 0, 0, 0, 0, 0, 24, 0})), 1, 4)) << "no such service action";
    EXPECT_TRUE(field_refused(a.run(bytes({0x5e, 4, 0, 0, 0, 0, 0, 0, 24, 0})), 1, 4));
    EXPECT_TRUE(field_refused(a.run(bytes({0x5f, 0, 0, 0x10, 0, 0, 0, 0, 24, 0})), 3, 4));
    EXPECT_TRUE(field_refused(a.run(bytes({0x5e, 0, 1, 0, 0, 0, 0, 0, 24, 0})), 2, 0));
}

TEST_F(PersistentReserve, without_a_file_nothing_is_kept) {
    EXPECT_TRUE(parameter_refused(a.run(ReserveOut{Action::register_key, 0, 5, {}, aptpl}), 20, 0));
    EXPECT_EQ(a.run(reserve_in(2)).data_in, bytes({0, 8, 0x1c, 0x80, 0xea, 0x01, 0, 0}));
    enrol(a, 1);
    EXPECT_TRUE(a.run(ReserveOut{Action::reserve, 1, 0, Type::write_exclusive, aptpl}).good()) << "not looked at";
    EXPECT_TRUE(parameter_refused(a.run(move_to(1, 2, transport_id_of("b"), 1, aptpl)), 17, 0));
}

// ---- RESERVE, RELEASE, CLEAR

TEST_F(PersistentReserve, who_is_not_registered_or_has_another_key_conflicts) {
    enrol(a, 1);
    for (const Action action :
         {Action::reserve, Action::release, Action::clear, Action::preempt, Action::preempt_and_abort}) {
        EXPECT_TRUE(conflicts(a.run(ReserveOut{action, 2, 1, Type::write_exclusive})));
        EXPECT_TRUE(conflicts(b.run(ReserveOut{action, 0, 1, Type::write_exclusive})));
        EXPECT_TRUE(conflicts(b.run(ReserveOut{action, 1, 1, Type::write_exclusive})));
    }
    EXPECT_TRUE(conflicts(a.run(move_to(2, 5, transport_id_of("b")))));
    EXPECT_TRUE(conflicts(b.run(move_to(1, 5, transport_id_of("b")))));
    expect({1});
    EXPECT_EQ(keys(a).generation, 1U);
}

TEST_F(PersistentReserve, a_reservation_is_one_nexus_s_and_may_be_repeated_as_it_is) {
    enrol(a, 1);
    enrol(b, 2);
    EXPECT_TRUE(field_refused(a.run(ReserveOut{Action::reserve, 1, 0, Type::write_exclusive, 0, {}, 1}), 2, 7));
    for (const unsigned type : {0U, 2U, 4U, 9U, 15U}) {
        EXPECT_TRUE(field_refused(a.run(ReserveOut{Action::reserve, 1, 0, static_cast<Type>(type)}), 2, 3)) << type;
    }
    reserve(a, 1, Type::write_exclusive);
    reserve(a, 1, Type::write_exclusive);
    EXPECT_TRUE(conflicts(a.run(ReserveOut{Action::reserve, 1, 0, Type::exclusive_access})));
    EXPECT_TRUE(conflicts(b.run(ReserveOut{Action::reserve, 2, 0, Type::write_exclusive})));
    expect({1, 2}, Type::write_exclusive, 1);
    EXPECT_EQ(keys(a).generation, 2U) << "RESERVE does not count";
    EXPECT_TRUE(a.run(ReserveOut{Action::register_key, 1, 9}).good());
    expect({9, 2}, Type::write_exclusive, 9);
}

TEST_F(PersistentReserve, all_registrants_hold_a_reservation_of_theirs) {
    enrol(a, 1);
    enrol(b, 2);
    reserve(a, 1, Type::write_exclusive_all_registrants);
    expect({1, 2}, Type::write_exclusive_all_registrants, 0);
    reserve(b, 2, Type::write_exclusive_all_registrants);
    EXPECT_TRUE(a.run(ReserveOut{Action::register_key, 1, 0}).good());
    expect({2}, Type::write_exclusive_all_registrants, 0);
    EXPECT_TRUE(b.run(ReserveOut{Action::register_key, 2, 0}).good());
    expect({});
    expect_attentions({}, {});
}

TEST_F(PersistentReserve, a_release_is_the_holder_s_and_of_the_type_that_it_holds) {
    enrol(a, 1);
    enrol(b, 2);
    EXPECT_TRUE(a.run(ReserveOut{Action::release, 1, 0, Type::write_exclusive}).good()) << "there is none";
    reserve(a, 1, Type::write_exclusive);
    EXPECT_TRUE(b.run(ReserveOut{Action::release, 2, 0, Type::write_exclusive}).good()) << "which is not its";
    for (const Request& wrong : {Request(ReserveOut{Action::release, 1, 0, Type::exclusive_access}),
                                 Request(ReserveOut{Action::release, 1, 0, Type::write_exclusive, 0, {}, 1})}) {
        EXPECT_TRUE(failed_with(a.run(wrong), SenseKey::illegal_request,
                                AdditionalSense::invalid_release_of_persistent_reservation));
    }
    expect({1, 2}, Type::write_exclusive, 1);
    EXPECT_TRUE(a.run(ReserveOut{Action::release, 1, 0, Type::write_exclusive}).good());
    expect({1, 2});
    EXPECT_EQ(keys(a).generation, 2U);
    expect_attentions({}, {});
}

TEST_F(PersistentReserve, registrants_that_were_let_in_hear_of_a_release) {
    enrol(a, 1);
    enrol(b, 2);
    for (const Type type : {Type::write_exclusive_registrants_only, Type::exclusive_access_registrants_only,
                            Type::write_exclusive_all_registrants, Type::exclusive_access_all_registrants}) {
        reserve(a, 1, type);
        EXPECT_TRUE(a.run(ReserveOut{Action::release, 1, 0, type}).good());
        expect_attentions({}, released);
    }
}

TEST_F(PersistentReserve, a_reservation_ends_with_the_holder_s_registration) {
    enrol(b, 2);
    for (const Type type : {Type::write_exclusive, Type::exclusive_access}) {
        enrol(a, 1);
        reserve(a, 1, type);
        EXPECT_TRUE(a.run(ReserveOut{Action::register_key, 1, 0}).good());
        expect({2});
        expect_attentions({}, {});
    }
    for (const Type type : {Type::write_exclusive_registrants_only, Type::exclusive_access_registrants_only}) {
        enrol(a, 1);
        reserve(a, 1, type);
        EXPECT_TRUE(a.run(ReserveOut{Action::register_ignoring, 0, 0}).good());
        expect({2});
        expect_attentions({}, released);
    }
}

TEST_F(PersistentReserve, clear_takes_everything_and_tells_the_registered) {
    enrol(a, 1);
    enrol(b, 2);
    reserve(a, 1, Type::exclusive_access);
    EXPECT_TRUE(b.run(ReserveOut{Action::clear, 2}).good());
    EXPECT_EQ(keys(c), (Keys{3, {}}));
    expect({});
    expect_attentions(AdditionalSense::reservations_preempted, {});
}

// ---- PREEMPT

TEST_F(PersistentReserve, preempting_the_holder_takes_its_reservation_and_registration) {
    enrol(a, 1);
    enrol(b, 2);
    enrol(c, 3);
    reserve(a, 1, Type::write_exclusive);
    EXPECT_TRUE(field_refused(b.run(ReserveOut{Action::preempt, 2, 1, Type::none}), 2, 3));
    EXPECT_TRUE(field_refused(b.run(ReserveOut{Action::preempt, 2, 1, Type::write_exclusive, 0, {}, 2}), 2, 7));
    EXPECT_TRUE(b.run(ReserveOut{Action::preempt, 2, 1, Type::write_exclusive}).good());
    expect_attentions(preempted, {}, {});
    expect({2, 3}, Type::write_exclusive, 2);
    EXPECT_EQ(keys(c).generation, 4U);
    EXPECT_TRUE(c.run(ReserveOut{Action::preempt, 3, 2, Type::exclusive_access_registrants_only}).good());
    expect_attentions({}, preempted, {});
    expect({3}, Type::exclusive_access_registrants_only, 3);
}

TEST_F(PersistentReserve, a_preempted_type_is_told_to_those_who_stay) {
    enrol(a, 1);
    enrol(b, 2);
    enrol(c, 3);
    reserve(a, 1, Type::write_exclusive_registrants_only);
    EXPECT_TRUE(b.run(ReserveOut{Action::preempt, 2, 1, Type::exclusive_access}).good());
    expect_attentions(preempted, {}, released);
    EXPECT_TRUE(b.run(ReserveOut{Action::preempt, 2, 2, Type::write_exclusive}).good())
        << "its own, to change the type";
    expect_attentions({}, {}, released);
    expect({2, 3}, Type::write_exclusive, 2);
}

TEST_F(PersistentReserve, preempting_others_takes_their_registrations_only) {
    enrol(a, 1);
    enrol(b, 2);
    enrol(c, 2);
    reserve(a, 1, Type::write_exclusive);
    EXPECT_TRUE(a.run(ReserveOut{Action::preempt, 1, 2, Type::none, 0, {}, 3}).good())
        << "SCOPE and TYPE do not matter";
    expect_attentions({}, preempted, preempted);
    expect({1}, Type::write_exclusive, 1);
    EXPECT_TRUE(conflicts(a.run(ReserveOut{Action::preempt, 1, 99}))) << "nobody has the key";
    EXPECT_TRUE(parameter_refused(a.run(ReserveOut{Action::preempt, 1, 0}), 8));
    EXPECT_EQ(keys(c).generation, 4U);
}

TEST_F(PersistentReserve, preempting_one_s_own_key_without_a_reservation_takes_it) {
    enrol(a, 1);
    enrol(b, 1);
    EXPECT_TRUE(a.run(ReserveOut{Action::preempt, 1, 1}).good());
    expect_attentions({}, preempted);
    expect({});
}

TEST_F(PersistentReserve, key_zero_preempts_all_registrants) {
    enrol(a, 1);
    enrol(b, 2);
    enrol(c, 3);
    reserve(a, 1, Type::write_exclusive_all_registrants);
    EXPECT_TRUE(b.run(ReserveOut{Action::preempt, 2, 3, Type::exclusive_access}).good());
    expect_attentions({}, {}, preempted);
    expect({1, 2}, Type::write_exclusive_all_registrants, 0);
    EXPECT_TRUE(b.run(ReserveOut{Action::preempt, 2, 0, Type::exclusive_access_registrants_only}).good());
    expect_attentions(preempted, {}, {});
    expect({2}, Type::exclusive_access_registrants_only, 2);
}

// ---- REGISTER AND MOVE

TEST_F(PersistentReserve, a_reservation_moves_to_another_nexus) {
    enrol(a, 1);
    const TransportId of_b = transport_id_of("b");
    EXPECT_TRUE(field_refused(a.run(move_to(1, 5, of_b)), 1, 4)) << "there is none";
    reserve(a, 1, Type::exclusive_access);
    EXPECT_TRUE(parameter_refused(a.run(move_to(1, 0, of_b)), 8));
    EXPECT_TRUE(parameter_refused(a.run(move_to(1, 5, transport_id_of("a"))), 24));
    EXPECT_TRUE(parameter_refused(a.run(move_to(1, 5, of_b, 0)), 18));
    EXPECT_TRUE(parameter_refused(a.run(move_to(1, 5, of_b, 257)), 18));
    EXPECT_TRUE(parameter_refused(a.run(move_to(1, 5, of_b, 1, 4)), 17, 2));
    EXPECT_TRUE(a.run(move_to(1, 5, of_b)).good());
    expect({1, 5}, Type::exclusive_access, 5);
    EXPECT_EQ(keys(c).generation, 2U);
    EXPECT_TRUE(conflicts(a.run(read_10(0, 1), 512)));
    EXPECT_TRUE(b.run(read_10(0, 1), 512).good());
    EXPECT_TRUE(conflicts(a.run(move_to(1, 6, of_b)))) << "it is not the holder any more";
    EXPECT_TRUE(b.run(move_to(5, 6, transport_id_of("c"), 1, 2)).good()) << "UNREG";
    expect({1, 6}, Type::exclusive_access, 6);
    expect_attentions({}, {}, {});
}

TEST_F(PersistentReserve, what_all_registrants_hold_does_not_move) {
    enrol(a, 1);
    reserve(a, 1, Type::exclusive_access_all_registrants);
    EXPECT_TRUE(conflicts(a.run(move_to(1, 5, transport_id_of("b")))));
}

TEST_F(PersistentReserve, moves_need_one_sound_transport_id) {
    enrol(a, 1);
    reserve(a, 1, Type::exclusive_access);
    Request two = move_to(1, 5, transport_id_of("b"));
    two.data_out.resize(24 + 48);
    two.data_out[23] = std::byte{48};
    two.cdb[8] = std::byte{24 + 48};
    EXPECT_TRUE(parameter_refused(a.run(two), 20));
    Request foreign = move_to(1, 5, transport_id_of("b"));
    foreign.data_out[24] = std::byte{0x05};
    EXPECT_TRUE(parameter_refused(a.run(foreign), 24));
    Request reserved = move_to(1, 5, transport_id_of("b"));
    reserved.data_out[16] = std::byte{0x01};
    EXPECT_TRUE(parameter_refused(a.run(reserved), 16, 0));
}

// ---- PERSISTENT RESERVE IN

TEST_F(PersistentReserve, the_full_status_names_everybody) {
    enrol(a, 1);
    b.add(fake.unit, 4);
    Request other = ReserveOut{Action::register_key, 0, 2};
    other.target = 4;
    EXPECT_TRUE(b.run(other).good());
    reserve(a, 1, Type::write_exclusive_registrants_only);
    Bytes expected(8 + 2 * 48);
    const auto put = [&](std::size_t at, std::size_t bytes, std::uint64_t value) {
        store_big_endian(std::span(expected).subspan(at, bytes), value);
    };
    put(0, 4, 2);
    put(4, 4, 96);
    put(8, 8, 1);
    put(8 + 12, 1, 1);
    put(8 + 13, 1, 5);
    put(8 + 18, 2, 1);
    put(8 + 20, 4, 24);
    std::ranges::copy(transport_id_of("a"), expected.begin() + 8 + 24);
    put(56, 8, 2);
    put(56 + 18, 2, 5);
    put(56 + 20, 4, 24);
    std::ranges::copy(transport_id_of("b"), expected.begin() + 56 + 24);
    EXPECT_EQ(c.run(reserve_in(3)).data_in, expected);
    EXPECT_EQ(c.run(reserve_in(3, 60)).data_in, part(expected, 0, 60));
    EXPECT_EQ(c.run(reserve_in(3, 0)).transferred_bytes, 0U);
}

TEST_F(PersistentReserve, allocation_lengths_cut_what_is_told) {
    enrol(a, 1);
    enrol(b, 2);
    EXPECT_EQ(c.run(reserve_in(0, 12)).data_in, bytes({0, 0, 0, 2, 0, 0, 0, 16, 0, 0, 0, 0}));
    EXPECT_EQ(c.run(reserve_in(2, 3)).data_in, bytes({0, 8, 0x1c}));
    EXPECT_TRUE(c.run(reserve_in(0, 0)).good());
    Request small = reserve_in(0);
    small.data_in_bytes = 8;
    EXPECT_EQ(c.run(small).outcome, Outcome::overrun);
}

}  // namespace
}  // namespace sidecore::scsi::test
