// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "scsi/codes.hh"
#include "scsi/nexus.hh"
#include "scsi/sense.hh"

namespace sidecore::scsi {

/// TYPE of a persistent reservation (SPC-4 6.15.3.4)
enum class ReservationType : std::uint8_t {
    none = 0,
    write_exclusive = 1,
    exclusive_access = 3,
    write_exclusive_registrants_only = 5,
    exclusive_access_registrants_only = 6,
    write_exclusive_all_registrants = 7,
    exclusive_access_all_registrants = 8,
};

/// Nothing: there is no such type, or it is none.
std::optional<ReservationType> reservation_type(std::uint8_t code) noexcept;

bool for_registrants_only(ReservationType type) noexcept;  ///< registrants are let in, one of them is the holder
bool for_all_registrants(ReservationType type) noexcept;   ///< all registrants are holders

/// An I_T nexus as persistent reservations know it: it need not be there at present.
struct Registrant {
    TransportId initiator{};
    std::uint16_t port = 0;  ///< RELATIVE TARGET PORT IDENTIFIER

    static Registrant of(const Nexus& nexus) noexcept { return {nexus.initiator(), nexus.relative_port()}; }
    friend bool operator==(const Registrant&, const Registrant&) = default;
};

struct Registration {
    Registrant who;
    std::uint64_t key = 0;  ///< not 0

    friend bool operator==(const Registration&, const Registration&) = default;
};

/// Service actions of PERSISTENT RESERVE OUT (SPC-4 6.16.2)
enum class ReservationAction : std::uint8_t {
    register_key = 0,  ///< REGISTER
    reserve = 1,
    release = 2,
    clear = 3,
    preempt = 4,
    preempt_and_abort = 5,
    register_ignoring = 6,  ///< REGISTER AND IGNORE EXISTING KEY
    register_and_move = 7,
};

/// A PERSISTENT RESERVE OUT command, its parameters found to be sound in themselves.
struct ReservationRequest {
    ReservationAction action = ReservationAction::register_key;
    std::uint8_t scope = 0;
    std::uint8_t type = 0;
    Registrant sender;
    std::uint64_t key = 0;
    std::uint64_t action_key = 0;           ///< SERVICE ACTION RESERVATION KEY
    bool other_initiators = false;          ///< SPEC_I_PT
    bool all_ports = false;                 ///< ALL_TG_PT
    bool kept = false;                      ///< APTPL
    bool unregister = false;                ///< UNREG
    std::vector<TransportId> initiators{};  ///< with SPEC_I_PT
    Registrant destination{};               ///< of REGISTER AND MOVE
};

/// What a registrant is told, and why a request fails.
struct ReservationNotice {
    Registrant who;
    AdditionalSense code;
};
struct ReservationRefusal {
    Status status = Status::reservation_conflict;
    Sense sense{};  ///< with CHECK CONDITION
};

/// Registrations and the persistent reservation of a logical unit. A plain value: who changes it takes a copy.
struct ReservationState {
    static constexpr std::size_t registrations_max = 512;

    std::vector<Registration> registrations{};
    ReservationType type = ReservationType::none;
    Registrant holder{};  ///< unless `type` is none or for all registrants
    bool kept = false;    ///< over a restart

    const Registration* find(const Registrant& who) const noexcept;
    bool is_holder(const Registrant& who) const noexcept;

    /// Bits of Nexus::barred, what a nexus must not do.
    std::uint8_t barred(const Registrant& who) const noexcept;

    friend bool operator==(const ReservationState&, const ReservationState&) = default;
};

/// What a request comes to.
struct ReservationOutcome {
    std::optional<ReservationRefusal> refusal{};  ///< if set, nothing else is
    ReservationState next{};
    bool counts = false;  ///< PRGENERATION goes on
    std::vector<ReservationNotice> notices{};
    std::vector<Registrant> preempted{};  ///< whose tasks PREEMPT AND ABORT ends
};

/// `present`: the nexuses that the logical unit has now, by which ALL_TG_PT knows the ports.
ReservationOutcome decide(const ReservationState& state, const ReservationRequest& request,
                          std::span<const Registrant> present);

}  // namespace sidecore::scsi
