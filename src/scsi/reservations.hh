// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "scsi/codes.hh"
#include "scsi/nexus.hh"
#include "scsi/reservation_file.hh"
#include "scsi/reservation_state.hh"

namespace sidecore::scsi {

class LogicalUnit;
class Operation;

/// A PERSISTENT RESERVE OUT command under way. The command's function and Reservations each hold on to it: what has begun comes to its end
/// even if the command is aborted.
struct ReservationChange {
    enum class Step : std::uint8_t { begun, saving, ended };

    ReservationRequest request{};

    // Of Reservations, until carry_out() has returned true.
    Step step = Step::begun;
    std::optional<ReservationRefusal> refusal{};
    std::vector<Registrant> preempted{};

    // Of the command's function, in PREEMPT AND ABORT.
    bool aborting = false;
    std::atomic<bool> aborted{false};
};

/// What the nexuses of a logical unit have reserved: by RESERVE (SPC-2) or persistently (SPC-4 5.12).
///
/// Thread: any. Commands look at Nexus::barred, which has what they need to know, and take no lock. Locks are taken in this order:
/// this one, the logical unit's list of nexuses, a domain's, a nexus's.
class Reservations {
public:
    /// `state`: what `file` had.
    Reservations(const LogicalUnit& unit, ReservationFile file, ReservationState state);
    ~Reservations();
    Reservations(const Reservations&) = delete;
    Reservations& operator=(const Reservations&) = delete;

    /// Whether a command may not be carried out (SPC-4 table 48, SBC-3 table 17).
    static bool conflict(Operation& operation) noexcept;

    /// RESERVE and RELEASE: their status.
    Status reserve(const Nexus& nexus);
    Status release(const Nexus& nexus);

    /// What PERSISTENT RESERVE IN reports. Nothing: it conflicts, since a nexus has used RESERVE.
    struct View {
        ReservationState state;
        std::uint32_t generation;  ///< PRGENERATION
    };
    std::optional<View> view() const;
    std::optional<bool> kept() const noexcept;  ///< likewise, PTPL_A

    /// Whether APTPL is supported.
    bool keeps() const noexcept { return file_.usable(); }

    /// Carries a change out. False: it waits for a file; `waker` is called when this is to be called again.
    bool carry_out(const std::shared_ptr<ReservationChange>& change, const std::function<void()>& waker);

    // Of the logical unit.
    void attached(Nexus& nexus);
    void end_reserve(const Nexus& nexus);  ///< the nexus is lost
    void end_reserve();                    ///< reset

private:
    bool save(const std::shared_ptr<ReservationChange>& change, ReservationOutcome outcome,
              std::function<void()> waker);
    void saved(ReservationChange& change, ReservationOutcome& outcome, const std::function<void()>& waker,
               const Result<void>& result);
    void commit(ReservationOutcome& outcome);
    std::uint8_t barred(const Nexus& nexus) const noexcept;
    void bar_all() const;

    const LogicalUnit& unit_;
    const ReservationFile file_;

    mutable std::mutex mutex_;  // guards what follows
    ReservationState state_;
    std::uint32_t generation_ = 0;
    std::optional<Registrant> reserved_by_;       // RESERVE; then nobody is registered
    bool saving_ = false;                         // a change is being written: others wait for it
    std::vector<std::function<void()>> waiting_;  // to call when it is written
    std::thread saver_;                           // while saving_, or about to return
};

}  // namespace sidecore::scsi
