// SPDX-License-Identifier: Apache-2.0
#include "scsi/reservations.hh"

#include <utility>

#include "base/log.hh"
#include "base/thread.hh"
#include "scsi/command.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"

namespace sidecore::scsi {

namespace {

constexpr std::uint8_t start_stop_unit = 0x1b;
constexpr std::uint8_t prevent_allow_medium_removal = 0x1e;

bool allows_removal(const Operation& operation) noexcept {
    return operation.command().opcode == prevent_allow_medium_removal && operation.bits(4, 1, 0) == 0;
}

/// The table's word, but for commands that a field makes harmless (SPC-4 table 48, SBC-3 table 17).
Access access_of(const Operation& operation) noexcept {
    const bool starts =
        operation.command().opcode == start_stop_unit && operation.bit(4, 0) && operation.bits(4, 7, 4) == 0;
    return starts || allows_removal(operation) ? Access::none : operation.command().access;
}

bool barred_from(const Operation& operation, std::uint8_t barred) noexcept {
    // SPC-2 5.5.1, table 10
    if ((barred & Nexus::barred_by_reserve) != 0 && (operation.command().traits & Command::past_old_reservation) == 0 &&
        !allows_removal(operation)) {
        return true;
    }
    switch (access_of(operation)) {
        case Access::none:
        case Access::own:
            return false;
        case Access::read:
            return (barred & Nexus::barred_from_reading) != 0;
        case Access::write:
            return (barred & Nexus::barred_from_writing) != 0;
    }
    return true;
}

}  // namespace

bool Reservations::conflict(Operation& operation) noexcept {
    // Pairs with the store in bar_all(). A command that has missed it began before the reservation was answered, and is still found by PREEMPT
    // AND ABORT, whose order reaches its queue after the store.
    const std::uint8_t barred = operation.nexus().barred.load(std::memory_order_acquire);
    return barred != 0 && barred_from(operation, barred);
}

Reservations::Reservations(const LogicalUnit& unit, ReservationFile file, ReservationState state)
    : unit_(unit), file_(std::move(file)), state_(std::move(state)) {}

Reservations::~Reservations() {
    if (saver_.joinable()) {
        saver_.join();
    }
}

namespace {

/// SPC-4 5.12.3: while anybody is registered, RESERVE and RELEASE do nothing, and say so to those who have no part in the persistent
/// reservation (CRH of REPORT CAPABILITIES).
Status compatible(const ReservationState& state, const Registrant& who) noexcept {
    const bool for_registrants = for_registrants_only(state.type) || for_all_registrants(state.type);
    return state.is_holder(who) || (for_registrants && state.find(who) != nullptr) ? Status::good
                                                                                   : Status::reservation_conflict;
}

}  // namespace

Status Reservations::reserve(const Nexus& nexus) {
    const Registrant who = Registrant::of(nexus);
    const std::lock_guard lock(mutex_);
    if (!state_.registrations.empty()) {
        return compatible(state_, who);
    }
    if (saving_) {
        return Status::busy;  // somebody may be about to be registered
    }
    if (reserved_by_ && *reserved_by_ != who) {
        return Status::reservation_conflict;
    }
    reserved_by_ = who;
    bar_all();
    return Status::good;
}

Status Reservations::release(const Nexus& nexus) {
    const Registrant who = Registrant::of(nexus);
    const std::lock_guard lock(mutex_);
    if (!state_.registrations.empty()) {
        return compatible(state_, who);
    }
    if (reserved_by_ == who) {
        reserved_by_.reset();
        bar_all();
    }
    return Status::good;
}

std::optional<Reservations::View> Reservations::view() const {
    const std::lock_guard lock(mutex_);
    return reserved_by_ ? std::nullopt : std::optional(View{state_, generation_});
}

std::optional<bool> Reservations::kept() const noexcept {
    const std::lock_guard lock(mutex_);
    return reserved_by_ ? std::nullopt : std::optional(state_.kept);
}

bool Reservations::carry_out(const std::shared_ptr<ReservationChange>& change, const std::function<void()>& waker) {
    using Step = ReservationChange::Step;
    const std::lock_guard lock(mutex_);
    if (change->step == Step::ended) {
        return true;
    }
    if (change->step == Step::saving) {
        return false;
    }
    if (saving_) {
        waiting_.push_back(waker);
        return false;
    }
    if (reserved_by_) {  // SPC-2 5.5.1: whoever it is
        change->refusal = ReservationRefusal{};
        change->step = Step::ended;
        return true;
    }
    std::vector<Registrant> present;
    unit_.visit([&](Nexus& nexus) { present.push_back(Registrant::of(nexus)); });
    ReservationOutcome outcome = decide(state_, change->request, present);
    if (outcome.refusal) {
        change->refusal = outcome.refusal;
        change->step = Step::ended;
        return true;
    }
    change->preempted = std::move(outcome.preempted);
    if ((state_.kept || outcome.next.kept) && outcome.next != state_) {
        return save(change, std::move(outcome), waker);
    }
    commit(outcome);
    change->step = Step::ended;
    return true;
}

/// On a thread of its own: workers do not wait for files.
bool Reservations::save(const std::shared_ptr<ReservationChange>& change, ReservationOutcome outcome,
                        std::function<void()> waker) {
    if (saver_.joinable()) {
        saver_.join();  // it has nothing more to do that takes mutex_
    }
    auto thread =
        start_thread("reservations", [this, change, outcome = std::move(outcome), waker = std::move(waker)]() mutable {
            const Result<void> result = file_.save(outcome.next);
            saved(*change, outcome, waker, result);
        });
    if (!thread) {
        spdlog::error("{}: keeping a persistent reservation: {}", unit_.options().name, thread.error().message);
        change->refusal = ReservationRefusal{Status::busy, {}};
        change->step = ReservationChange::Step::ended;
        return true;
    }
    saver_ = *std::move(thread);
    saving_ = true;
    change->step = ReservationChange::Step::saving;
    return false;
}

void Reservations::saved(ReservationChange& change, ReservationOutcome& outcome, const std::function<void()>& waker,
                         const Result<void>& result) {
    std::vector<std::function<void()>> waiting;
    {
        const std::lock_guard lock(mutex_);
        if (result) {
            commit(outcome);
        } else {
            spdlog::error("{}: a persistent reservation was refused, since it cannot be kept: {}", unit_.options().name,
                          result.error().message);
            change.refusal = ReservationRefusal{Status::check_condition,
                                                {SenseKey::hardware_error, AdditionalSense::internal_target_failure}};
        }
        change.step = ReservationChange::Step::ended;
        saving_ = false;
        waiting.swap(waiting_);
    }
    waker();
    for (const auto& each : waiting) {
        each();
    }
}

/// With mutex_ held.
void Reservations::commit(ReservationOutcome& outcome) {
    state_ = std::move(outcome.next);
    generation_ += outcome.counts ? 1U : 0U;
    bar_all();
    for (const ReservationNotice& notice : outcome.notices) {
        unit_.visit([&](Nexus& nexus) {
            if (Registrant::of(nexus) == notice.who) {
                nexus.raise(notice.code);
            }
        });
    }
}

std::uint8_t Reservations::barred(const Nexus& nexus) const noexcept {
    const Registrant who = Registrant::of(nexus);
    const bool by_reserve = reserved_by_ && *reserved_by_ != who;
    return static_cast<std::uint8_t>(state_.barred(who) | (by_reserve ? Nexus::barred_by_reserve : 0U));
}

void Reservations::bar_all() const {
    unit_.visit([&](Nexus& nexus) { nexus.barred.store(barred(nexus), std::memory_order_release); });
}

void Reservations::attached(Nexus& nexus) {
    const std::lock_guard lock(mutex_);
    nexus.barred.store(barred(nexus), std::memory_order_release);
}

void Reservations::end_reserve(const Nexus& nexus) {
    const std::lock_guard lock(mutex_);
    if (reserved_by_ == Registrant::of(nexus)) {
        reserved_by_.reset();
        bar_all();
    }
}

void Reservations::end_reserve() {
    const std::lock_guard lock(mutex_);
    if (reserved_by_) {
        reserved_by_.reset();
        bar_all();
    }
}

}  // namespace sidecore::scsi
