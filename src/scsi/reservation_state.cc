// SPDX-License-Identifier: Apache-2.0
#include "scsi/reservation_state.hh"

#include <algorithm>

namespace sidecore::scsi {

using Type = ReservationType;
using Action = ReservationAction;

std::optional<Type> reservation_type(std::uint8_t code) noexcept {
    switch (code) {
        case 1:
        case 3:
        case 5:
        case 6:
        case 7:
        case 8:
            return static_cast<Type>(code);
        default:
            return std::nullopt;
    }
}

bool for_registrants_only(Type type) noexcept {
    return type == Type::write_exclusive_registrants_only || type == Type::exclusive_access_registrants_only;
}

bool for_all_registrants(Type type) noexcept {
    return type == Type::write_exclusive_all_registrants || type == Type::exclusive_access_all_registrants;
}

const Registration* ReservationState::find(const Registrant& who) const noexcept {
    const auto position = std::ranges::find(registrations, who, &Registration::who);
    return position == registrations.end() ? nullptr : &*position;
}

bool ReservationState::is_holder(const Registrant& who) const noexcept {
    return type != Type::none && (for_all_registrants(type) ? find(who) != nullptr : holder == who);
}

std::uint8_t ReservationState::barred(const Registrant& who) const noexcept {
    const bool registrants_go_on = for_registrants_only(type) || for_all_registrants(type);
    if (type == Type::none || is_holder(who) || (registrants_go_on && find(who) != nullptr)) {
        return 0;
    }
    const bool exclusive = type == Type::exclusive_access || type == Type::exclusive_access_registrants_only ||
                           type == Type::exclusive_access_all_registrants;
    return static_cast<std::uint8_t>(Nexus::barred_from_writing | (exclusive ? Nexus::barred_from_reading : 0U));
}

namespace {

constexpr std::uint16_t action_key_at = 8;  // in the parameter list

ReservationRefusal refused(AdditionalSense code, std::optional<FieldPointer> field) {
    Sense sense{SenseKey::illegal_request, code};
    sense.field = field;
    return {Status::check_condition, sense};
}

/// One request on its way from a state to the next.
class Decision {
public:
    Decision(const ReservationState& state, const ReservationRequest& request, std::span<const Registrant> present)
        : state_(state), request_(request), present_(present) {
        next_.next = state;
    }

    ReservationOutcome decide() && {
        next_.refusal = carry_out();
        return std::move(next_);
    }

private:
    using Refusal = std::optional<ReservationRefusal>;

    Refusal carry_out() {
        const Registration* sender = state_.find(request_.sender);
        if (request_.action == Action::register_key) {
            return register_key(sender);
        }
        if (request_.action == Action::register_ignoring) {
            return register_ignoring(sender);
        }
        // SPC-4 5.12.1: who is not registered, or with another key, conflicts.
        if (sender == nullptr || sender->key != request_.key) {
            return ReservationRefusal{};
        }
        switch (request_.action) {
            case Action::reserve:
                return reserve();
            case Action::release:
                return release();
            case Action::clear:
                return clear();
            case Action::preempt:
            case Action::preempt_and_abort:
                return preempt();
            default:
                return move();
        }
    }

    // SPC-4 5.12.7, tables for REGISTER

    Refusal register_key(const Registration* sender) {
        if (request_.key != (sender == nullptr ? 0 : sender->key)) {
            return ReservationRefusal{};
        }
        if (request_.other_initiators && sender != nullptr) {
            return refused(AdditionalSense::invalid_field_in_parameter_list, FieldPointer{false, 20, std::uint8_t{3}});
        }
        if (sender == nullptr && request_.action_key == 0) {
            return std::nullopt;
        }
        return register_all([&](const Registration* known) {
            return sender == nullptr ? known == nullptr : known == nullptr || known->key == request_.key;
        });
    }

    Refusal register_ignoring(const Registration* sender) {
        if (sender == nullptr && request_.action_key == 0 && !request_.all_ports) {
            return std::nullopt;
        }
        return register_all([](const Registration*) { return true; });
    }

    /// `applies` says by its present registration, if there is one, whether a nexus is concerned.
    template <typename Applies>
    Refusal register_all(Applies applies) {
        for (const Registrant& who : concerned()) {
            const Registration* known = state_.find(who);
            if (!applies(known)) {
                continue;
            }
            if (request_.action_key == 0) {
                remove(who);
            } else if (!put(who, request_.action_key)) {
                return refused(AdditionalSense::insufficient_registration_resources, std::nullopt);
            }
        }
        end_without_holder();
        next_.next.kept = request_.kept;
        next_.counts = true;
        return std::nullopt;
    }

    /// The sender, and whom SPEC_I_PT and ALL_TG_PT add; at most one more than can be registered.
    std::vector<Registrant> concerned() const {
        std::vector<Registrant> all{request_.sender};
        const auto add = [&](const Registrant& who) {
            if (all.size() <= ReservationState::registrations_max && std::ranges::find(all, who) == all.end()) {
                all.push_back(who);
            }
        };
        for (const TransportId& initiator : initiators()) {
            if (!request_.all_ports) {
                add({initiator, request_.sender.port});
                continue;
            }
            for (const std::uint16_t port : ports_of(initiator)) {
                add({initiator, port});
            }
        }
        return all;
    }

    std::vector<TransportId> initiators() const {
        std::vector<TransportId> all = request_.initiators;
        all.push_back(request_.sender.initiator);
        std::ranges::sort(all);
        all.erase(std::unique(all.begin(), all.end()), all.end());
        return all;
    }

    /// Those that the initiator has; of one that is not there, those that anybody has.
    std::vector<std::uint16_t> ports_of(const TransportId& initiator) const {
        const bool known = std::ranges::find(present_, initiator, &Registrant::initiator) != present_.end();
        std::vector<std::uint16_t> ports;
        for (const Registrant& nexus : present_) {
            if (!known || nexus.initiator == initiator) {
                ports.push_back(nexus.port);
            }
        }
        std::ranges::sort(ports);
        ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
        return ports;
    }

    /// False: there are too many.
    bool put(const Registrant& who, std::uint64_t key) {
        auto& registrations = next_.next.registrations;
        const auto position = std::ranges::find(registrations, who, &Registration::who);
        if (position != registrations.end()) {
            position->key = key;
            return true;
        }
        if (registrations.size() == ReservationState::registrations_max) {
            return false;
        }
        registrations.push_back({who, key});
        return true;
    }

    void remove(const Registrant& who) {
        std::erase_if(next_.next.registrations, [&](const Registration& each) { return each.who == who; });
    }

    /// SPC-4 5.12.11.2.2: a reservation goes with its holder's registration, or with that of the last holder.
    void end_without_holder() {
        ReservationState& next = next_.next;
        if (next.type == Type::none ||
            (for_all_registrants(next.type) ? !next.registrations.empty() : next.find(next.holder) != nullptr)) {
            return;
        }
        if (for_registrants_only(next.type)) {
            tell_registrants(AdditionalSense::reservations_released);
        }
        end_reservation();
    }

    void end_reservation() {
        next_.next.type = Type::none;
        next_.next.holder = {};
    }

    /// Those that are registered afterwards, but the sender.
    void tell_registrants(AdditionalSense code) {
        for (const Registration& each : next_.next.registrations) {
            tell(each.who, code);
        }
    }

    void tell(const Registrant& who, AdditionalSense code) {
        if (who != request_.sender) {
            next_.notices.push_back({who, code});
        }
    }

    /// SCOPE is LU_SCOPE and TYPE one that there is; the reservation is then the sender's.
    Refusal take_reservation() {
        if (request_.scope != 0) {
            return refused(AdditionalSense::invalid_field_in_cdb, FieldPointer{true, 2, std::uint8_t{7}});
        }
        const auto type = reservation_type(request_.type);
        if (!type) {
            return refused(AdditionalSense::invalid_field_in_cdb, FieldPointer{true, 2, std::uint8_t{3}});
        }
        next_.next.type = *type;
        next_.next.holder = for_all_registrants(*type) ? Registrant{} : request_.sender;
        return std::nullopt;
    }

    /// SPC-4 5.12.9
    Refusal reserve() {
        if (const Refusal refusal = take_reservation()) {
            return refusal;
        }
        if (state_.type != Type::none && (!state_.is_holder(request_.sender) || next_.next.type != state_.type)) {
            return ReservationRefusal{};
        }
        return std::nullopt;
    }

    /// SPC-4 5.12.11.2.1
    Refusal release() {
        if (!state_.is_holder(request_.sender)) {
            return std::nullopt;
        }
        if (request_.scope != 0 || request_.type != static_cast<std::uint8_t>(state_.type)) {
            return refused(AdditionalSense::invalid_release_of_persistent_reservation, std::nullopt);
        }
        if (for_registrants_only(state_.type) || for_all_registrants(state_.type)) {
            tell_registrants(AdditionalSense::reservations_released);
        }
        end_reservation();
        return std::nullopt;
    }

    /// SPC-4 5.12.11.2.5
    Refusal clear() {
        tell_registrants(AdditionalSense::reservations_preempted);
        next_.next.registrations.clear();
        end_reservation();
        next_.counts = true;
        return std::nullopt;
    }

    // SPC-4 5.12.11.2.3, .4

    Refusal preempt() {
        const std::uint64_t key = request_.action_key;
        const bool all = for_all_registrants(state_.type);
        const Registration* holder = state_.type == Type::none || all ? nullptr : state_.find(state_.holder);
        if ((all && key == 0) || (holder != nullptr && holder->key == key)) {
            return preempt_reservation(all);
        }
        if (key == 0) {
            return refused(AdditionalSense::invalid_field_in_parameter_list, FieldPointer{false, action_key_at, {}});
        }
        if (std::ranges::find(state_.registrations, key, &Registration::key) == state_.registrations.end()) {
            return ReservationRefusal{};
        }
        take_registrations([&](const Registration& each) { return each.key == key; });
        end_without_holder();
        next_.counts = true;
        return std::nullopt;
    }

    Refusal preempt_reservation(bool everybody) {
        if (const Refusal refusal = take_reservation()) {
            return refusal;
        }
        take_registrations([&](const Registration& each) {
            return each.who != request_.sender && (everybody || each.key == request_.action_key);
        });
        if (next_.next.type != state_.type) {
            tell_registrants(AdditionalSense::reservations_released);
        }
        next_.counts = true;
        return std::nullopt;
    }

    template <typename Which>
    void take_registrations(Which which) {
        for (const Registration& each : state_.registrations) {
            if (which(each)) {
                remove(each.who);
                tell(each.who, AdditionalSense::registrations_preempted);
                next_.preempted.push_back(each.who);
            }
        }
    }

    /// SPC-4 5.12.8
    Refusal move() {
        if (state_.type == Type::none) {
            return refused(AdditionalSense::invalid_field_in_cdb, FieldPointer{true, 1, std::uint8_t{4}});
        }
        if (for_all_registrants(state_.type) || !state_.is_holder(request_.sender)) {
            return ReservationRefusal{};
        }
        if (request_.action_key == 0) {
            return refused(AdditionalSense::invalid_field_in_parameter_list, FieldPointer{false, action_key_at, {}});
        }
        if (request_.destination == request_.sender) {
            return refused(AdditionalSense::invalid_field_in_parameter_list, FieldPointer{false, 24, {}});
        }
        if (request_.unregister) {
            remove(request_.sender);
        }
        if (!put(request_.destination, request_.action_key)) {
            return refused(AdditionalSense::insufficient_registration_resources, std::nullopt);
        }
        next_.next.holder = request_.destination;
        next_.next.kept = request_.kept;
        next_.counts = true;
        return std::nullopt;
    }

    const ReservationState& state_;
    const ReservationRequest& request_;
    const std::span<const Registrant> present_;
    ReservationOutcome next_;
};

}  // namespace

ReservationOutcome decide(const ReservationState& state, const ReservationRequest& request,
                          std::span<const Registrant> present) {
    return Decision(state, request, present).decide();
}

}  // namespace sidecore::scsi
