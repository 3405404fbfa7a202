// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hh"
#include "scsi/abort.hh"
#include "scsi/codes.hh"
#include "scsi/logical_unit.hh"
#include "scsi/lun.hh"
#include "scsi/nexus.hh"

namespace sidecore::scsi {

class TaskQueue;

/// SAM-5 7.1
enum class TaskManagement : std::uint8_t {
    abort_task,
    abort_task_set,
    clear_aca,
    clear_task_set,
    i_t_nexus_reset,
    logical_unit_reset,
    query_task,
    query_task_set,
};

/// SAM-5 7.1, its service responses
enum class TaskManagementResponse : std::uint8_t { complete, succeeded, rejected, incorrect_lun, no_target };

/// What happens to the logical units of a domain. Called on whatever thread makes it happen; must not call back into the domain.
class DomainListener {
public:
    virtual ~DomainListener() = default;
    virtual void unit_added(std::uint8_t target, Lun lun) = 0;
    virtual void unit_removed(std::uint8_t target, Lun lun) = 0;
    virtual void unit_changed(std::uint8_t target, Lun lun, AdditionalSense what) = 0;
};

/// A SCSI domain with one initiator (SAM-5 4.4): what one virtio-scsi device is to its guest. Up to 256 targets with up to 16,384 logical
/// units each, added and removed at any time.
///
/// Thread: any. Outlives its task queues.
class Domain {
public:
    /// `initiator`: a name that is the same whenever the guest comes back; persistent reservations know it by that.
    explicit Domain(std::string initiator);
    ~Domain();
    Domain(const Domain&) = delete;
    Domain& operator=(const Domain&) = delete;

    /// The nexus begins with POWER ON, and the target's others get REPORTED LUNS DATA HAS CHANGED. Error: already_exists.
    Result<void> add(std::uint8_t target, Lun lun, std::shared_ptr<LogicalUnit> unit);

    /// Tasks under way come to their end as usual; new ones find no logical unit. Error: not_found.
    Result<void> remove(std::uint8_t target, Lun lun);

    /// None, or the one that is told of changes from now on. When this returns, the one before is not called any more.
    void listen(DomainListener* listener);

    std::shared_ptr<Nexus> find(std::uint8_t target, Lun lun) const;
    std::vector<std::shared_ptr<Nexus>> nexuses() const;  ///< by target and LUN
    std::vector<std::shared_ptr<Nexus>> nexuses(std::uint8_t target) const;
    bool has_target(std::uint8_t target) const;

    /// Writes the target's LUNs, eight bytes each, as far as there is room. Returns how many it has.
    std::size_t luns(std::uint8_t target, std::span<std::byte> out) const noexcept;

    /// The initiator has seen all LUNs that the target had at this generation(): if they are still the same, it need not be told that they have
    /// changed.
    void luns_reported(std::uint8_t target, std::uint64_t generation) noexcept;

    /// The targets by which the initiator reaches the unit, as far as there is room. Returns how many these are.
    std::size_t targets_of(const LogicalUnit& unit, std::span<std::uint8_t> out) const noexcept;
    const std::string& initiator() const noexcept { return initiator_; }

    /// Changes whenever find() may have another answer.
    std::uint64_t generation() const noexcept { return generation_.load(std::memory_order_acquire); }

    /// I/O for one more virtqueue, with at most `depth` tasks at a time.
    Result<std::unique_ptr<TaskQueue>> open_queue(std::uint32_t depth);

    /// Carries a task management function out (SAM-5 7). `answer` is called once, on any thread and maybe at once: when every task that it ends
    /// is with its initiator again. `tag` is looked at by those that are about one task, `lun` not by I_T NEXUS RESET.
    void manage(TaskManagement function, std::uint8_t target, std::optional<Lun> lun, std::uint64_t tag,
                std::function<void(TaskManagementResponse)> answer);

    /// The initiator is gone, or has begun anew (virtio's reset): all nexuses are lost. No task is under way.
    void initiator_lost();

    // For logical units.
    void abort_tasks(const AbortOrder& order);
    void look_again();  ///< tasks held back may go on
    void unit_changed(const Nexus& nexus, AdditionalSense what);

private:
    friend class TaskQueue;
    using Address = std::pair<std::uint8_t, Lun>;

    void leave(TaskQueue& queue);

    const std::string initiator_;
    std::atomic<std::uint64_t> generation_{1};

    mutable std::mutex mutex_;  // guards what follows
    std::map<Address, std::shared_ptr<Nexus>> nexuses_;
    std::vector<TaskQueue*> queues_;

    std::mutex listener_mutex_;  // held during its calls
    DomainListener* listener_ = nullptr;
};

}  // namespace sidecore::scsi
