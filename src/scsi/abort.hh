// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "scsi/exclusion.hh"
#include "scsi/nexus.hh"
#include "scsi/task.hh"

namespace sidecore::scsi {

/// What wants to know when tasks on several queues have come to their end. Whoever has a part in it holds a pointer; when the last of them
/// lets go, every part is done.
///
/// Thread: any.
class AbortGroup {
public:
    /// `done` is told how many tasks there were, on the thread of whoever comes last.
    static std::shared_ptr<AbortGroup> create(std::function<void(std::uint32_t)> done) {
        return std::make_shared<AbortGroup>(std::move(done));
    }
    explicit AbortGroup(std::function<void(std::uint32_t)> done) : done_(std::move(done)) {}
    ~AbortGroup() { done_(found_.load(std::memory_order_acquire)); }
    AbortGroup(const AbortGroup&) = delete;
    AbortGroup& operator=(const AbortGroup&) = delete;

    void found(std::uint32_t tasks) noexcept { found_.fetch_add(tasks, std::memory_order_acq_rel); }

private:
    std::function<void(std::uint32_t)> done_;
    std::atomic<std::uint32_t> found_{0};
};

/// To a task queue: which of its tasks are to end.
struct AbortOrder {
    std::shared_ptr<const Nexus> nexus;
    std::optional<std::uint64_t> tag;   ///< none: all of the nexus
    std::optional<Outcome> outcome;     ///< none: they are only counted
    std::shared_ptr<AbortGroup> group;  ///< none: nobody waits
    /// If there: no task is to end. The group is let go of when the storage requests that change this part of the nexus's unit now are over.
    std::optional<MediumRange> changes{};
    const Task* except = nullptr;  ///< not this one, which waits for the others' end
};

}  // namespace sidecore::scsi
