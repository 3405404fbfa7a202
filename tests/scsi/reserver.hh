// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scsi/initiator.hh"
#include "scsi/reservation_state.hh"

namespace sidecore::scsi::test {

inline constexpr unsigned spec_i_pt = 0x08;
inline constexpr unsigned all_tg_pt = 0x04;
inline constexpr unsigned aptpl = 0x01;

/// PERSISTENT RESERVE OUT
struct ReserveOut {
    ReservationAction action;
    std::uint64_t key = 0;
    std::uint64_t action_key = 0;
    ReservationType type = ReservationType::none;
    unsigned flags = 0;
    std::vector<TransportId> initiators{};  ///< SPEC_I_PT's list, if that is set
    unsigned scope = 0;

    operator Request() const;  // NOLINT(google-explicit-constructor)
};

Request with_list(ReservationAction action, Bytes list);
Request move_to(std::uint64_t key, std::uint64_t action_key, const TransportId& initiator, std::uint16_t port = 1,
                unsigned flags = 0);

/// PERSISTENT RESERVE IN
Request reserve_in(unsigned service_action, std::uint16_t allocation_bytes = 8192);

Bytes reserve_6();
Bytes release_6();

/// What PERSISTENT RESERVE IN told, as numbers.
struct Keys {
    std::uint64_t generation = 0;
    std::vector<std::uint64_t> keys{};

    friend bool operator==(const Keys&, const Keys&) = default;
};
Keys keys(Initiator& initiator);

/// Type and key of the reservation; none and 0 if there is none.
std::pair<ReservationType, std::uint64_t> reservation(Initiator& initiator);

bool conflicts(const Reply& reply);

/// Initiators of one logical unit, each on port 1.
struct Cluster {
    explicit Cluster(LogicalUnit::Options options = {}) : fake(8U << 20U, std::move(options)) {
        for (Initiator* each : {&a, &b, &c}) {
            each->add(fake.unit);
        }
    }

    void enrol(Initiator& initiator, std::uint64_t key, unsigned flags = 0);
    void reserve(Initiator& initiator, std::uint64_t key, ReservationType type);

    FakeUnit fake;
    Initiator a{"a"};
    Initiator b{"b"};
    Initiator c{"c"};
};

}  // namespace sidecore::scsi::test
