// SPDX-License-Identifier: Apache-2.0
#include "device/scsi_control_queue.hh"

#include <bit>
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
    turn.calls = publish();
    ring_.check_memory();
    if (ring_.broken()) {
        report_broken();
        turn.end = engine::TurnEnd::broken;
    } else if (turn.requests == budget) {
        turn.end = engine::TurnEnd::budget;
    }
    return turn;
}

bool ScsiControlQueue::carry_out_one() noexcept {
    virtqueue::DescriptorChain chain;
    if (ring_.pop(segments_, chain) != virtqueue::PopResult::chain) {
        return false;
    }
    if (chain.writable_bytes == 0) {
        ring_.break_with({virtqueue::QueueFault::Kind::bad_request, chain.head, no_room_for_response, 0});
        return false;
    }
    // Both kinds of requests begin with their type; the longer one is task management's.
    std::array<std::byte, sizeof(scsi_host::TaskManagementRequest)> bytes{};
    const std::size_t size = take_front(chain.readable, bytes);
    if (size < sizeof(scsi_host::NotificationRequest)) {
        ring_.break_with({virtqueue::QueueFault::Kind::bad_request, chain.head, no_request, 0});
        return false;
    }
    const auto request = std::bit_cast<scsi_host::TaskManagementRequest>(bytes);
    const auto type = static_cast<ControlType>(static_cast<std::uint32_t>(request.type));
    if (type == ControlType::task_management && size == bytes.size()) {
        manage(chain, request);
        return true;
    }
    const bool notifications = type == ControlType::query_notifications || type == ControlType::subscribe_notifications;
    scsi_host::NotificationAnswer answer{{}, notifications ? Response::ok : Response::function_rejected};
    if (notifications && chain.writable_bytes >= sizeof answer) {
        put_front(chain.writable, std::as_bytes(std::span(&answer, 1)));
        ring_.push(chain.head, sizeof answer);
    } else {
        put_front(chain.writable, std::as_bytes(std::span(&answer.response, 1)));
        ring_.push(chain.head, 1);
    }
    ++completed_;
    return true;
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
