// SPDX-License-Identifier: Apache-2.0
#include "device/scsi_control_queue.hh"

#include <bit>
#include <cstddef>
#include <cstring>
#include <optional>

#include "base/pieces.hh"
#include "device/scsi_address.hh"

namespace sidecore::device {

using scsi::TaskManagement;
using scsi_host::ControlType;
using scsi_host::Response;

namespace {

/// Cases of QueueFault::Kind::bad_request.
constexpr std::uint64_t no_room_for_response = 1;
constexpr std::uint64_t no_request = 2;

/// 5.6.6.2, VIRTIO_SCSI_T_TMF_*
std::optional<TaskManagement> function_of(std::uint32_t subtype) noexcept {
    static constexpr std::array functions{
        TaskManagement::abort_task,     TaskManagement::abort_task_set,  TaskManagement::clear_aca,
        TaskManagement::clear_task_set, TaskManagement::i_t_nexus_reset, TaskManagement::logical_unit_reset,
        TaskManagement::query_task,     TaskManagement::query_task_set,
    };
    return subtype < functions.size() ? std::optional(functions[subtype]) : std::nullopt;
}

Response response_of(scsi::TaskManagementResponse response) noexcept {
    switch (response) {
        case scsi::TaskManagementResponse::complete:
            return Response::ok;
        case scsi::TaskManagementResponse::succeeded:
            return Response::function_succeeded;
        case scsi::TaskManagementResponse::rejected:
            return Response::function_rejected;
        case scsi::TaskManagementResponse::incorrect_lun:
            return Response::incorrect_lun;
        case scsi::TaskManagementResponse::no_target:
            return Response::bad_target;
    }
    return Response::failure;
}

}  // namespace

Result<std::unique_ptr<ScsiControlQueue>> ScsiControlQueue::create(std::string name, virtqueue::SplitQueue ring,
                                                                   Notifiers notifiers, scsi::Domain& domain) {
    auto answers = std::make_shared<Answers>();
    SIDECORE_TRY_ASSIGN(answers->event, make_eventfd());
    return std::unique_ptr<ScsiControlQueue>(
        new ScsiControlQueue(std::move(name), std::move(ring), std::move(notifiers), domain, std::move(answers)));
}

ScsiControlQueue::ScsiControlQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers,
                                   scsi::Domain& domain, std::shared_ptr<Answers> answers)
    : DeviceQueue(std::move(name), std::move(ring), std::move(notifiers)),
      domain_(domain),
      answers_(std::move(answers)) {}

engine::Turn ScsiControlQueue::serve(std::uint32_t budget) noexcept {
    engine::Turn turn;
    while (turn.requests < budget && carry_out_one()) {
        ++turn.requests;
    }
    take_answers();
    turn.completed = std::exchange(completed_, 0);
    end_turn(turn, budget);
    return turn;
}

bool ScsiControlQueue::carry_out_one() noexcept {
    virtqueue::DescriptorChain chain;
    if (ring_.pop(segments_, chain) != virtqueue::PopResult::chain) {
        return false;
    }
    std::array<std::byte, sizeof(scsi_host::TaskManagementRequest)> bytes{};  // the longest
    const std::size_t size = take_front(chain.readable, bytes);
    const auto request = std::bit_cast<scsi_host::TaskManagementRequest>(bytes);
    std::size_t request_bytes = sizeof request.type;
    std::size_t answer_bytes = sizeof(Response);
    const auto type = static_cast<ControlType>(static_cast<std::uint32_t>(request.type));
    switch (type) {
        case ControlType::task_management:
            request_bytes = sizeof request;
            break;
        case ControlType::query_notifications:
        case ControlType::subscribe_notifications:
            request_bytes = sizeof(scsi_host::NotificationRequest);
            answer_bytes = sizeof(scsi_host::NotificationAnswer);
            break;
    }
    if (size < request_bytes || chain.writable_bytes < answer_bytes) {
        const std::uint64_t fault = size < request_bytes ? no_request : no_room_for_response;
        ring_.break_with({virtqueue::QueueFault::Kind::bad_request, chain.head, fault, 0});
        return false;
    }
    if (type == ControlType::task_management) {
        manage(chain, request);
        return true;
    }
    scsi_host::NotificationAnswer answer{{}, Response::failure};  // to a type that nobody knows
    if (answer_bytes == sizeof answer) {
        // The type is followed by the LUN; a disk has no notifications to tell of (5.6.6.2).
        scsi_host::Lun field{};
        std::memcpy(field.data(), bytes.data() + offsetof(scsi_host::NotificationRequest, lun), field.size());
        answer.response = notifications_of(field);
    }
    put_front(chain.writable, std::as_bytes(std::span(&answer, 1)).last(answer_bytes));
    ring_.push(chain.head, static_cast<std::uint32_t>(answer_bytes));
    ++completed_;
    return true;
}

/// The response to a question for notifications: whether there is somebody to ask.
Response ScsiControlQueue::notifications_of(const scsi_host::Lun& field) const {
    const auto address = address_of(field);
    if (!address || !domain_.has_target(address->target)) {
        return Response::bad_target;
    }
    return address->lun && domain_.find(address->target, *address->lun) != nullptr ? Response::ok
                                                                                   : Response::incorrect_lun;
}

void ScsiControlQueue::manage(const virtqueue::DescriptorChain& chain,
                              const scsi_host::TaskManagementRequest& request) {
    ++in_flight_;
    const Answer unanswered{chain.head, static_cast<std::byte*>(chain.writable.front().iov_base), Response::failure};
    const auto give = [answers = answers_, unanswered](Response response) {
        Answer answer = unanswered;
        answer.response = response;
        const std::lock_guard lock(answers->mutex);
        answers->arrived.push_back(answer);
        signal_eventfd(answers->event.get());
    };
    const auto function = function_of(request.subtype);
    const auto address = address_of(request.lun);
    if (!function) {
        return give(Response::function_rejected);
    }
    if (!address) {
        return give(Response::bad_target);
    }
    domain_.manage(*function, address->target, address->lun, request.id,
                   [give](scsi::TaskManagementResponse response) { give(response_of(response)); });
}

void ScsiControlQueue::take_answers() noexcept {
    std::vector<Answer> arrived;
    {
        const std::lock_guard lock(answers_->mutex);
        drain_eventfd(answers_->event.get());
        arrived.swap(answers_->arrived);
    }
    for (const Answer& answer : arrived) {
        store_byte(answer.place, static_cast<std::byte>(answer.response));
        ring_.push(answer.head, 1);
    }
    in_flight_ -= static_cast<std::uint32_t>(arrived.size());
    completed_ += static_cast<std::uint32_t>(arrived.size());
}

engine::Reaped ScsiControlQueue::reap() noexcept {
    engine::Reaped reaped;
    take_answers();
    reaped.requests = std::exchange(completed_, 0);
    reaped.calls = publish();
    return reaped;
}

}  // namespace sidecore::device
