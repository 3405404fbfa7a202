// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <exception>
#include <memory>
#include <optional>

#include "base/big_endian.hh"
#include "scsi/domain.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/persistent_reserve.hh"

namespace sidecore::scsi {

namespace {

using Action = ReservationAction;

constexpr std::size_t list_bytes = 24;          // the parameter list of most service actions
constexpr std::size_t list_bytes_max = 0xffff;  // what field pointers reach; far more than all that can be registered
constexpr std::size_t id_bytes = sizeof(TransportId);
constexpr std::uint16_t relative_port_max = 256;

/// Reads the parameter list (SPC-4 6.16.3, 6.16.4). Each function is false when the operation has failed.
class ParameterList {
public:
    ParameterList(Operation& operation, ReservationRequest& request) : operation_(operation), request_(request) {}

    bool read() {
        request_.action = static_cast<Action>(operation_.bits(1, 4, 0));
        request_.scope = operation_.bits(2, 7, 4);
        request_.type = operation_.bits(2, 3, 0);
        request_.sender = Registrant::of(operation_.nexus());
        const std::uint64_t length = operation_.field(5, 4);
        if (length < list_bytes || length > list_bytes_max) {
            return wrong_length();
        }
        bytes_ = operation_.buffer(length);
        if (bytes_.empty()) {
            return failed(operation_.end(Status::task_set_full));
        }
        if (!operation_.take_parameters(bytes_)) {
            return failed(operation_.overrun());
        }
        request_.key = number(0, 8);
        request_.action_key = number(8, 8);
        return request_.action == Action::register_and_move ? read_move() : read_basic();
    }

private:
    static bool failed(Progress) { return false; }
    bool wrong_length() {
        return failed(operation_.fail(SenseKey::illegal_request, AdditionalSense::parameter_list_length_error));
    }
    bool wrong(std::size_t byte, std::optional<std::uint8_t> bit = {}) {
        return failed(operation_.invalid_parameter(static_cast<std::uint16_t>(byte), bit));
    }

    std::uint64_t number(std::size_t at, std::size_t bytes) const {
        return load_big_endian(std::span<const std::byte>(bytes_).subspan(at, bytes));
    }
    bool bit(std::size_t at, unsigned bit) const { return (number(at, 1) >> bit & 1U) != 0; }

    /// Bits of a byte that are reserved must be zero.
    bool zero(std::size_t at, std::uint8_t reserved = 0xff) {
        const auto set = static_cast<std::uint8_t>(number(at, 1) & reserved);
        return set == 0 || wrong(at, static_cast<std::uint8_t>(std::bit_width(set) - 1));
    }

    bool read_basic() {
        const bool registers = request_.action == Action::register_key || request_.action == Action::register_ignoring;
        request_.other_initiators = bit(20, 3);
        request_.all_ports = registers && bit(20, 2);
        if (!zero(20, 0xf2) || !zero(21)) {
            return false;
        }
        if (request_.other_initiators && request_.action != Action::register_key) {
            return wrong(20, 3);
        }
        if (registers && !read_kept(20)) {
            return false;
        }
        return request_.other_initiators ? read_initiators() : bytes_.size() == list_bytes || wrong_length();
    }

    /// APTPL
    bool read_kept(std::size_t at) {
        request_.kept = bit(at, 0);
        return !request_.kept || operation_.unit().reservations().keeps() || wrong(at, 0);
    }

    /// SPEC_I_PT's additional parameter data
    bool read_initiators() {
        if (bytes_.size() < list_bytes + 4 || number(24, 4) != bytes_.size() - list_bytes - 4) {
            return wrong_length();
        }
        const std::size_t count = (bytes_.size() - list_bytes - 4) / id_bytes;
        if (count > ReservationState::registrations_max) {
            return failed(
                operation_.fail(SenseKey::illegal_request, AdditionalSense::insufficient_registration_resources));
        }
        for (std::size_t at = list_bytes + 4; at != bytes_.size(); at += id_bytes) {
            const auto id = read_id(at);
            if (!id) {
                return false;
            }
            request_.initiators.push_back(*id);
        }
        return true;
    }

    /// Nothing: it is not one of an initiator that can be here (SPC-4 7.6.4.7), and the operation has failed.
    std::optional<TransportId> read_id(std::size_t at) {
        TransportId id{};
        if (bit(at, 7) || bit(at, 6) || (number(at, 1) & 0x0fU) != 0x06) {
            wrong(at);
            return std::nullopt;
        }
        if (bytes_.size() - at < id_bytes) {
            wrong(24);
            return std::nullopt;
        }
        for (std::size_t i = 0; i < id_bytes; ++i) {
            const std::uint8_t reserved = i == 0 ? 0x30 : i < 4 || i >= 12 ? 0xff : 0;
            if (!zero(at + i, reserved)) {
                return std::nullopt;
            }
        }
        std::ranges::copy(bytes_.subspan(at, id_bytes), id.begin());
        return id;
    }

    bool read_move() {
        if (number(20, 4) != bytes_.size() - list_bytes) {
            return wrong_length();
        }
        if (!zero(16) || !zero(17, 0xfc) || !read_kept(17)) {
            return false;
        }
        request_.unregister = bit(17, 1);
        const auto port = static_cast<std::uint16_t>(number(18, 2));
        if (port == 0 || port > relative_port_max) {
            return wrong(18);
        }
        if (bytes_.size() != list_bytes + id_bytes) {
            return wrong(20);
        }
        const auto id = read_id(24);
        if (!id) {
            return false;
        }
        request_.destination = {*id, port};
        return true;
    }

    Operation& operation_;
    ReservationRequest& request_;
    std::span<std::byte> bytes_{};
};

/// SPC-4 5.12.11.2.6: ends the tasks of those that were preempted, but not this one.
Progress abort_preempted(Operation& operation, const std::shared_ptr<ReservationChange>& change) {
    const auto preempted = [change](const Nexus& nexus) {
        return std::ranges::find(change->preempted, Registrant::of(nexus)) != change->preempted.end();
    };
    operation.unit().visit([&](Nexus& nexus) {
        if (nexus.aca_active() && preempted(nexus)) {
            nexus.set_aca(false);
            nexus.domain().look_again();
        }
    });
    change->aborting = true;
    const auto done = [change, waker = operation.waker()] {
        change->aborted.store(true, std::memory_order_release);
        waker();
    };
    operation.unit().abort_tasks(Outcome::aborted, preempted, done, &operation.task());
    return Progress::waiting;
}

Progress go_on(Operation& operation, const std::shared_ptr<ReservationChange>& change) {
    if (change->aborting) {
        return change->aborted.load(std::memory_order_acquire) ? operation.good() : Progress::waiting;
    }
    if (!operation.unit().reservations().carry_out(change, operation.waker())) {
        return Progress::waiting;
    }
    if (change->refusal) {
        return change->refusal->status == Status::check_condition ? operation.fail(change->refusal->sense)
                                                                  : operation.end(change->refusal->status);
    }
    if (change->request.action == Action::preempt_and_abort && !change->preempted.empty()) {
        return abort_preempted(operation, change);
    }
    return operation.good();
}

}  // namespace

Progress persistent_reserve_out(Operation& operation) noexcept {
    try {
        auto change = std::static_pointer_cast<ReservationChange>(operation.shared);
        if (change == nullptr) {
            change = std::make_shared<ReservationChange>();
            if (!ParameterList(operation, change->request).read()) {
                return Progress::done;
            }
            operation.shared = change;
        }
        return go_on(operation, change);
    } catch (const std::exception&) {
        return operation.end(Status::busy);  // there is no memory, or no thread
    }
}

}  // namespace sidecore::scsi
