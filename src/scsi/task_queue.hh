// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/bounded_fifo.hh"
#include "base/error.hh"
#include "base/fd.hh"
#include "scsi/abort.hh"
#include "scsi/domain.hh"
#include "scsi/operation.hh"
#include "scsi/task.hh"

namespace sidecore::scsi {

/// What a task queue has of one logical unit: its own I/O with the unit's storage, and the tasks' order.
struct TaskPort {
    std::shared_ptr<Nexus> nexus;
    std::unique_ptr<storage::BlockQueue> storage;  // from the first task on that needs it
    std::vector<storage::BlockRequest*> batch;     // for it
    std::uint32_t in_storage = 0;
    std::uint32_t running = 0;  // tasks begun and not ended, those in storage among them
    bool ordered_running = false;
    bool busy = false;                // among the queue's busy ports
    Operation* held_first = nullptr;  // tasks that wait for those before them
    Operation* held_last = nullptr;
};

/// The tasks of one virtqueue: submit in batches, reap in batches, as with storage::BlockQueue. Its part of the logical units' work is its own:
/// nothing that is done per task is shared with other queues but atomic flags.
///
/// Thread: belongs to one worker at a time, which makes every call but post() and look_again(); it may move to another between calls, with
/// tasks under way.
/// Invariants:
///  1. Each submitted task is handed back by reap() exactly once, with its outcome. Order is not kept.
///  2. An aborted task is handed back only when the storage back-end is done with it: its buffers are not touched afterwards.
///  3. Whoever waits for an abort hears of it at the call of settle() that follows the reap() which has handed the last task back.
///  4. Tasks may have ended when submit() returns. So before it goes to sleep on completion_fd(), the caller calls reap() until it gets 0.
/// Order (SAM-5 8.8): ORDERED tasks of a logical unit begin when those that came before on this queue have ended, and hold up those that come
/// after; HEAD OF QUEUE tasks wait for nobody. Between queues there is no order (VIRTIO 1.3, 5.6.6.1).
class TaskQueue {
public:
    static constexpr std::uint32_t depth_max = 32768;

    static Result<std::unique_ptr<TaskQueue>> create(Domain& domain, std::uint32_t depth);
    ~TaskQueue();
    TaskQueue(const TaskQueue&) = delete;
    TaskQueue& operator=(const TaskQueue&) = delete;

    /// Starts all of `batch`; the caller keeps those under way plus batch within the depth. Does not wait for I/O.
    void submit(std::span<Task* const> batch) noexcept;

    /// Takes up to completed.size() ended tasks; returns how many. Makes no system call when nothing has ended.
    std::size_t reap(std::span<Task*> completed) noexcept;

    /// All tasks that reap() has handed back are visible to the initiator.
    void settle() noexcept;

    /// Somebody wants tasks to end, or to go on: attend() is due, after all tasks that the initiator has sent by now have been submitted (one
    /// that it has aborted must not begin afterwards). One load.
    bool wants_attention() const noexcept { return mailbox_->full.load(std::memory_order_acquire); }
    void attend() noexcept;

    /// Nobody makes calls from now on, and no task is under way; what waits for one to end goes on. go_on() comes before the next call, attend()
    /// after it, if wants_attention().
    void rest() noexcept;
    void go_on() noexcept;

    std::uint32_t under_way() const noexcept { return under_way_; }

    /// Readable (level-triggered) whenever reap() would return something that came in after the caller last got 0 from it, or
    /// wants_attention().
    int completion_fd() const noexcept { return epoll_.get(); }

    // For the domain, from any thread.
    void post(const AbortOrder& order);
    void look_again();

private:
    friend class Operation;

    struct Wake {
        Operation* operation;
        std::uint64_t generation;
    };
    /// What others leave for the owner. Outlives the queue if somebody still has a waker.
    struct Mailbox {
        Fd event;
        std::atomic<bool> full{false};
        std::mutex mutex;  // guards what follows
        std::vector<AbortOrder> orders;
        std::vector<Wake> wakes;
        bool resting = false;

        /// Orders to a resting queue beyond this are about tasks that nobody could still want to end.
        static constexpr std::size_t resting_orders_max = 1024;
        void keep_for_later(const AbortOrder& order);

        /// With the mutex held: `full` and the event change together.
        void notify() noexcept;
    };

    /// An order whose tasks have not all been handed back.
    struct Pending {
        std::shared_ptr<AbortGroup> group;
        std::vector<std::pair<const Operation*, std::uint64_t>> tasks;  // with the generation
    };

    /// Requests whose end somebody waits for.
    struct Drain {
        std::shared_ptr<AbortGroup> group;
        std::vector<const Operation*> requests;  // one is gone when it is back from the storage
    };

    TaskQueue(Domain& domain, std::uint32_t depth, Fd epoll, std::shared_ptr<Mailbox> mailbox);

    TaskPort* find_port(std::uint8_t target, Lun lun) noexcept;
    void drop_ports() noexcept;
    void start(Task& task) noexcept;
    bool must_wait(Operation& operation) noexcept;
    void hold(Operation& operation) noexcept;
    void release_held(TaskPort& port) noexcept;
    void begin(Operation& operation) noexcept;
    Progress admit(Operation& operation) noexcept;
    Progress admit_to_unit(Operation& operation) noexcept;
    Progress check_cdb(Operation& operation) noexcept;
    void run(Operation& operation) noexcept;
    void to_storage(Operation& operation) noexcept;
    bool open_storage(TaskPort& port) noexcept;
    static bool changes_medium(const storage::BlockRequest& request) noexcept {
        return request.operation != storage::BlockOperation::read &&
               request.operation != storage::BlockOperation::flush;
    }
    static bool must_keep_out(Operation& operation, TaskPort& port) noexcept;
    void set_storage_port(Operation& operation, TaskPort* port) noexcept;
    static bool asks_for_aca(const Operation& operation) noexcept;
    void finish(Operation& operation) noexcept;
    void make_busy(TaskPort& port) noexcept;
    bool work_on(TaskPort& port) noexcept;
    void work() noexcept;
    void obey(const AbortOrder& order) noexcept;
    void drain(const AbortOrder& order) noexcept;
    void drained(const Operation& operation) noexcept;
    static void unhold(Operation& operation) noexcept;
    void cancel(Operation& operation, Outcome outcome) noexcept;

    Domain& domain_;
    const std::uint32_t depth_;
    const Fd epoll_;
    const std::shared_ptr<Mailbox> mailbox_;
    std::uint64_t seen_generation_ = 0;
    std::vector<std::unique_ptr<TaskPort>> ports_;  // those of units that are gone among them while they have tasks
    std::unordered_map<std::uint32_t, TaskPort*> port_by_address_;
    std::vector<TaskPort*> busy_;    // with tasks for the storage, in it, or held
    TaskPort* last_port_ = nullptr;  // that was looked for
    std::uint32_t last_key_ = UINT32_MAX;
    std::unique_ptr<Operation[]> operations_;
    Operation* free_ = nullptr;
    BoundedFifo<Operation> ended_;
    std::vector<Pending> pending_;
    std::vector<Drain> drains_;
    std::uint32_t under_way_ = 0;  // not handed back
};

}  // namespace sidecore::scsi
