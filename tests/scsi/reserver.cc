// SPDX-License-Identifier: Apache-2.0
#include "scsi/reserver.hh"

#include <stdexcept>

#include "base/big_endian.hh"

namespace sidecore::scsi::test {

namespace {

void put(Bytes& to, std::size_t at, std::size_t bytes, std::uint64_t value) {
    store_big_endian(std::span(to).subspan(at, bytes), value);
}

}  // namespace

Request with_list(ReservationAction action, Bytes list) {
    Bytes cdb(10);
    put(cdb, 0, 1, 0x5f);
    put(cdb, 1, 1, static_cast<std::uint8_t>(action));
    put(cdb, 5, 4, list.size());
    return {cdb, std::move(list)};
}

ReserveOut::operator Request() const {
    Bytes list((flags & spec_i_pt) != 0 ? 28 : 24);
    put(list, 0, 8, key);
    put(list, 8, 8, action_key);
    put(list, 20, 1, flags);
    for (const TransportId& id : initiators) {
        list.insert(list.end(), id.begin(), id.end());
    }
    if ((flags & spec_i_pt) != 0) {
        put(list, 24, 4, list.size() - 28);
    }
    Request request = with_list(action, std::move(list));
    put(request.cdb, 2, 1, scope << 4U | static_cast<unsigned>(type));
    return request;
}

Request move_to(std::uint64_t key, std::uint64_t action_key, const TransportId& initiator, std::uint16_t port,
                unsigned flags) {
    Bytes list(24);
    put(list, 0, 8, key);
    put(list, 8, 8, action_key);
    put(list, 17, 1, flags);
    put(list, 18, 2, port);
    put(list, 20, 4, initiator.size());
    list.insert(list.end(), initiator.begin(), initiator.end());
    return with_list(ReservationAction::register_and_move, std::move(list));
}

Request reserve_in(unsigned service_action, std::uint16_t allocation_bytes) {
    Bytes cdb(10);
    put(cdb, 0, 1, 0x5e);
    put(cdb, 1, 1, service_action);
    put(cdb, 7, 2, allocation_bytes);
    return {cdb, {}, allocation_bytes};
}

Bytes reserve_6() {
    return bytes({0x16, 0, 0, 0, 0, 0});
}
Bytes release_6() {
    return bytes({0x17, 0, 0, 0, 0, 0});
}

Keys keys(Initiator& initiator) {
    const Bytes data = initiator.run(reserve_in(0)).data_in;
    Keys all;
    all.generation = number(data, 0, 4);
    for (std::size_t at = 8; at < data.size(); at += 8) {
        all.keys.push_back(number(data, at, 8));
    }
    if (number(data, 4, 4) != data.size() - 8) {
        throw std::runtime_error("ADDITIONAL LENGTH is wrong");
    }
    return all;
}

std::pair<ReservationType, std::uint64_t> reservation(Initiator& initiator) {
    const Bytes data = initiator.run(reserve_in(1)).data_in;
    if (data.size() == 8) {
        return {ReservationType::none, 0};
    }
    return {static_cast<ReservationType>(number(data, 21, 1)), number(data, 8, 8)};
}

bool conflicts(const Reply& reply) {
    return reply.outcome == Outcome::completed && reply.status == Status::reservation_conflict && !reply.sense;
}

void Cluster::enrol(Initiator& initiator, std::uint64_t key, unsigned flags) {
    const Request request = ReserveOut{ReservationAction::register_ignoring, 0, key, {}, flags};
    if (!initiator.run(request).good()) {
        throw std::runtime_error("a registration failed");
    }
}

void Cluster::reserve(Initiator& initiator, std::uint64_t key, ReservationType type) {
    if (!initiator.run(ReserveOut{ReservationAction::reserve, key, 0, type}).good()) {
        throw std::runtime_error("a reservation failed");
    }
}

}  // namespace sidecore::scsi::test
