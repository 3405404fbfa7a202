// SPDX-License-Identifier: Apache-2.0
// What others want of a task queue: that tasks end, or go on.
#include <cassert>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "scsi/task_queue.hh"

namespace sidecore::scsi {

void TaskQueue::post(const AbortOrder& order) {
    const std::lock_guard lock(mailbox_->mutex);
    if (mailbox_->resting) {
        mailbox_->keep_for_later(order);
    } else {
        mailbox_->orders.push_back(order);
    }
    mailbox_->notify();
}

/// With the mutex held. No task is under way: whoever ordered has not to wait. What comes to light when the queue goes on is to end nevertheless.
void TaskQueue::Mailbox::keep_for_later(const AbortOrder& order) {
    if (order.outcome && orders.size() < resting_orders_max) {
        orders.push_back({order.nexus, order.tag, order.outcome, nullptr});
    }
}

void TaskQueue::rest() noexcept {
    assert(under_way_ == 0);
    settle();
    std::vector<AbortOrder> orders;  // let go of without the mutex: those who wait are told by that
    {
        const std::lock_guard lock(mailbox_->mutex);
        mailbox_->resting = true;
        orders.swap(mailbox_->orders);
        for (const AbortOrder& order : orders) {
            mailbox_->keep_for_later(order);
        }
    }
}

void TaskQueue::go_on() noexcept {
    const std::lock_guard lock(mailbox_->mutex);
    mailbox_->resting = false;
}

void TaskQueue::look_again() {
    const std::lock_guard lock(mailbox_->mutex);
    mailbox_->notify();
}

void TaskQueue::attend() noexcept {
    if (!wants_attention()) {
        return;
    }
    std::vector<AbortOrder> orders;
    std::vector<Wake> wakes;
    {
        const std::lock_guard lock(mailbox_->mutex);
        drain_eventfd(mailbox_->event.get());
        mailbox_->full.store(false, std::memory_order_relaxed);
        orders.swap(mailbox_->orders);
        wakes.swap(mailbox_->wakes);
    }
    work();
    for (const Wake& wake : wakes) {
        Operation& operation = *wake.operation;
        if (operation.generation_ != wake.generation) {
            continue;
        }
        if (operation.place_ == Operation::Place::waiting) {
            ++operation.stage_;
            run(operation);
        } else if (operation.place_ == Operation::Place::kept_out) {
            to_storage(operation);
        }
    }
    for (const AbortOrder& order : orders) {
        obey(order);
    }
    work();
    drop_ports();
}

/// Even an order that finds no task waits for settle(): one that has been handed back may not be visible to the initiator yet.
void TaskQueue::obey(const AbortOrder& order) noexcept {
    if (order.changes) {
        return drain(order);
    }
    Pending pending;
    pending.group = order.group;
    for (Operation& operation : std::span(operations_.get(), depth_)) {
        if (operation.place_ == Operation::Place::free || operation.nexus_ != order.nexus.get() ||
            (order.tag && operation.task_->tag != *order.tag) || operation.task_ == order.except) {
            continue;
        }
        pending.tasks.emplace_back(&operation, operation.generation_);
        if (order.outcome) {
            cancel(operation, *order.outcome);
        }
    }
    if (order.group == nullptr) {
        return;
    }
    order.group->found(static_cast<std::uint32_t>(pending.tasks.size()));
    if (!order.outcome) {
        pending.tasks.clear();
    }
    pending_.push_back(std::move(pending));
}

/// Requests of one task come one after the other, so that the task stands for the request that it has now.
void TaskQueue::drain(const AbortOrder& order) noexcept {
    Drain drain{order.group, {}};
    for (const Operation& operation : std::span(operations_.get(), depth_)) {
        if (operation.place_ == Operation::Place::storage && operation.storage_port_->nexus == order.nexus &&
            changes_medium(operation) && order.changes->overlaps({operation.offset_bytes, operation.length_bytes})) {
            drain.requests.push_back(&operation);
        }
    }
    if (!drain.requests.empty()) {
        drains_.push_back(std::move(drain));
    }
}

void TaskQueue::drained(const Operation& operation) noexcept {
    std::erase_if(drains_, [&](Drain& drain) {
        std::erase(drain.requests, &operation);
        return drain.requests.empty();
    });
}

void TaskQueue::cancel(Operation& operation, Outcome outcome) noexcept {
    if (operation.place_ == Operation::Place::finished || operation.cancelled_) {
        return;
    }
    operation.cancelled_ = true;
    operation.cancelled_as_ = outcome;
    switch (operation.place_) {
        case Operation::Place::held:
            unhold(operation);
            return finish(operation);
        case Operation::Place::waiting:
        case Operation::Place::kept_out:
            return finish(operation);
        case Operation::Place::storage:
            return operation.storage_port_->storage->cancel(operation);
        case Operation::Place::free:
        case Operation::Place::finished:
            return;
    }
}

void TaskQueue::unhold(Operation& operation) noexcept {
    TaskPort& port = *operation.port_;
    Operation* before = nullptr;
    for (Operation* each = port.held_first; each != &operation; each = each->next_) {
        before = each;
    }
    (before == nullptr ? port.held_first : before->next_) = operation.next_;
    if (port.held_last == &operation) {
        port.held_last = before;
    }
    operation.next_ = nullptr;
}

void TaskQueue::settle() noexcept {
    std::erase_if(pending_, [](Pending& pending) {
        std::erase_if(pending.tasks, [](const auto& task) { return task.first->generation_ != task.second; });
        return pending.tasks.empty();
    });
}

}  // namespace sidecore::scsi
