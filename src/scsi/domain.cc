// SPDX-License-Identifier: Apache-2.0
#include "scsi/domain.hh"

#include <algorithm>
#include <utility>

#include "base/format.hh"
#include "scsi/task_queue.hh"

namespace sidecore::scsi {

Domain::Domain(std::string initiator) : initiator_(std::move(initiator)) {}

Domain::~Domain() {
    for (const auto& [address, nexus] : nexuses_) {
        nexus->unit().detach(*nexus);
    }
}

Result<void> Domain::add(std::uint8_t target, Lun lun, std::shared_ptr<LogicalUnit> unit) {
    const auto nexus = std::make_shared<Nexus>(*this, initiator_, target, lun, std::move(unit));
    nexus->raise(AdditionalSense::power_on_occurred);
    nexus->unit().attach(nexus);  // before any task can find it
    {
        std::unique_lock lock(mutex_);
        if (!nexuses_.emplace(Address(target, lun), nexus).second) {
            lock.unlock();
            nexus->unit().detach(*nexus);
            return failure(ErrorKind::already_exists, fmt::format("target {} of {} has a logical unit {} already",
                                                                  target, initiator_, lun.number()));
        }
        for (const auto& [address, other] : nexuses_) {
            if (address.first == target && other != nexus) {
                other->raise(AdditionalSense::reported_luns_data_has_changed);
            }
        }
        generation_.fetch_add(1, std::memory_order_release);
    }
    const std::lock_guard lock(listener_mutex_);
    if (listener_ != nullptr) {
        listener_->unit_added(target, lun);
    }
    return {};
}

Result<void> Domain::remove(std::uint8_t target, Lun lun) {
    std::shared_ptr<Nexus> nexus;
    {
        const std::lock_guard lock(mutex_);
        const auto position = nexuses_.find(Address(target, lun));
        if (position == nexuses_.end()) {
            return failure(ErrorKind::not_found,
                           fmt::format("target {} of {} has no logical unit {}", target, initiator_, lun.number()));
        }
        nexus = position->second;
        nexuses_.erase(position);
        nexus->set_gone();
        for (const auto& [address, other] : nexuses_) {
            if (address.first == target) {
                other->raise(AdditionalSense::reported_luns_data_has_changed);
            }
        }
        generation_.fetch_add(1, std::memory_order_release);
    }
    nexus->unit().detach(*nexus);
    look_again();  // for the queues to let go of it
    const std::lock_guard lock(listener_mutex_);
    if (listener_ != nullptr) {
        listener_->unit_removed(target, lun);
    }
    return {};
}

void Domain::listen(DomainListener* listener) {
    const std::lock_guard lock(listener_mutex_);
    listener_ = listener;
}

void Domain::unit_changed(const Nexus& nexus, AdditionalSense what) {
    const std::lock_guard lock(listener_mutex_);
    if (listener_ != nullptr) {
        listener_->unit_changed(nexus.target(), nexus.lun(), what);
    }
}

std::shared_ptr<Nexus> Domain::find(std::uint8_t target, Lun lun) const {
    const std::lock_guard lock(mutex_);
    const auto position = nexuses_.find(Address(target, lun));
    return position == nexuses_.end() ? nullptr : position->second;
}

std::vector<std::shared_ptr<Nexus>> Domain::nexuses() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Nexus>> found;
    for (const auto& [address, nexus] : nexuses_) {
        found.push_back(nexus);
    }
    return found;
}

std::vector<std::shared_ptr<Nexus>> Domain::nexuses(std::uint8_t target) const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Nexus>> found;
    for (auto position = nexuses_.lower_bound(Address(target, Lun(0)));
         position != nexuses_.end() && position->first.first == target; ++position) {
        found.push_back(position->second);
    }
    return found;
}

bool Domain::has_target(std::uint8_t target) const {
    const std::lock_guard lock(mutex_);
    const auto position = nexuses_.lower_bound(Address(target, Lun(0)));
    return position != nexuses_.end() && position->first.first == target;
}

std::size_t Domain::luns(std::uint8_t target, std::span<std::byte> out) const noexcept {
    const std::lock_guard lock(mutex_);
    std::size_t count = 0;
    for (auto position = nexuses_.lower_bound(Address(target, Lun(0)));
         position != nexuses_.end() && position->first.first == target; ++position) {
        const auto bytes = position->first.second.encode();
        if (out.size() >= bytes.size()) {
            std::ranges::copy(bytes, out.begin());
            out = out.subspan(bytes.size());
        }
        ++count;
    }
    return count;
}

void Domain::luns_reported(std::uint8_t target, std::uint64_t generation) noexcept {
    const std::lock_guard lock(mutex_);
    if (generation != generation_.load(std::memory_order_relaxed)) {
        return;
    }
    for (auto position = nexuses_.lower_bound(Address(target, Lun(0)));
         position != nexuses_.end() && position->first.first == target; ++position) {
        position->second->clear_attention(AdditionalSense::reported_luns_data_has_changed);
    }
}

std::size_t Domain::targets_of(const LogicalUnit& unit, std::span<std::uint8_t> out) const noexcept {
    const std::lock_guard lock(mutex_);
    std::size_t count = 0;
    std::optional<std::uint8_t> last;
    for (const auto& [address, nexus] : nexuses_) {
        if (&nexus->unit() == &unit && last != address.first) {
            last = address.first;
            if (count < out.size()) {
                out[count] = address.first;
            }
            ++count;
        }
    }
    return count;
}

Result<std::unique_ptr<TaskQueue>> Domain::open_queue(std::uint32_t depth) {
    SIDECORE_TRY_ASSIGN(auto queue, TaskQueue::create(*this, depth));
    const std::lock_guard lock(mutex_);
    queues_.push_back(queue.get());
    return queue;
}

void Domain::leave(TaskQueue& queue) {
    const std::lock_guard lock(mutex_);
    std::erase(queues_, &queue);
}

void Domain::abort_tasks(const AbortOrder& order) {
    const std::lock_guard lock(mutex_);
    for (TaskQueue* queue : queues_) {
        queue->post(order);
    }
}

void Domain::look_again() {
    const std::lock_guard lock(mutex_);
    for (TaskQueue* queue : queues_) {
        queue->look_again();
    }
}

void Domain::initiator_lost() {
    for (const auto& nexus : nexuses()) {
        nexus->unit().nexus_lost(*nexus);
    }
}

void Domain::manage(TaskManagement function, std::uint8_t target, std::optional<Lun> lun, std::uint64_t tag,
                    std::function<void(TaskManagementResponse)> answer) {
    using Response = TaskManagementResponse;
    if (!has_target(target)) {
        return answer(Response::no_target);
    }
    if (function == TaskManagement::i_t_nexus_reset) {
        const auto group =
            AbortGroup::create([answer = std::move(answer)](std::uint32_t) { answer(Response::complete); });
        for (const auto& nexus : nexuses(target)) {
            nexus->unit().nexus_lost(*nexus);
            abort_tasks({nexus, std::nullopt, Outcome::reset, group});
        }
        return;
    }
    const auto nexus = lun ? find(target, *lun) : nullptr;
    if (nexus == nullptr) {
        return answer(Response::incorrect_lun);
    }
    const auto complete = [&] { return AbortGroup::create([answer](std::uint32_t) { answer(Response::complete); }); };
    const auto present = [&] {
        return AbortGroup::create(
            [answer](std::uint32_t found) { answer(found == 0 ? Response::complete : Response::succeeded); });
    };
    switch (function) {
        case TaskManagement::abort_task:
            return abort_tasks({nexus, tag, Outcome::aborted, complete()});
        case TaskManagement::abort_task_set:
        case TaskManagement::
            clear_task_set:  // each nexus has a task set of its own: TST of the control mode page is 001b
            return abort_tasks({nexus, std::nullopt, Outcome::aborted, complete()});
        case TaskManagement::query_task:
            return abort_tasks({nexus, tag, std::nullopt, present()});
        case TaskManagement::query_task_set:
            return abort_tasks({nexus, std::nullopt, std::nullopt, present()});
        case TaskManagement::clear_aca:
            nexus->set_aca(false);
            look_again();
            return answer(Response::complete);
        case TaskManagement::logical_unit_reset:
            nexus->unit().reset();
            return nexus->unit().abort_tasks(Outcome::reset, nullptr, [answer] { answer(Response::complete); });
        case TaskManagement::i_t_nexus_reset:
            break;
    }
    answer(Response::rejected);
}

}  // namespace sidecore::scsi
