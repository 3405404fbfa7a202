// SPDX-License-Identifier: Apache-2.0
#include "scsi/task_queue.hh"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <sys/epoll.h>
#include <utility>

#include "base/format.hh"
#include "base/log.hh"
#include "scsi/logical_unit.hh"
#include "scsi/sanitize_check.hh"

namespace sidecore::scsi {

namespace {

constexpr std::uint32_t key_of(std::uint8_t target, Lun lun) noexcept {
    return static_cast<std::uint32_t>(target) << 16U | (lun.well_known() ? 0xffffU : lun.number());
}

bool watch(int epoll, int fd) noexcept {
    epoll_event event{};
    event.events = EPOLLIN;
    return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/// Whether any bit is set in `bits` that is not in `mask`.
bool any_beyond(const std::array<std::byte, Command::cdb_bytes_max>& bits,
                const std::array<std::uint8_t, Command::cdb_bytes_max>& mask) noexcept {
    using Words = std::array<std::uint64_t, Command::cdb_bytes_max / sizeof(std::uint64_t)>;
    const auto bit_words = std::bit_cast<Words>(bits);
    const auto mask_words = std::bit_cast<Words>(mask);
    std::uint64_t beyond = 0;
    for (std::size_t i = 0; i < bit_words.size(); ++i) {
        beyond |= bit_words[i] & ~mask_words[i];
    }
    return beyond != 0;
}

}  // namespace

void TaskQueue::Mailbox::notify() noexcept {
    full.store(true, std::memory_order_release);
    signal_eventfd(event.get());
}

Result<std::unique_ptr<TaskQueue>> TaskQueue::create(Domain& domain, std::uint32_t depth) {
    if (depth == 0 || depth > depth_max) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("a task queue holds 1 to {} tasks, not {}", depth_max, depth));
    }
    auto mailbox = std::make_shared<Mailbox>();
    SIDECORE_TRY_ASSIGN(mailbox->event, make_eventfd());
    Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll || !watch(epoll.get(), mailbox->event.get())) {
        return failure_from_errno("making an epoll instance for a SCSI task queue");
    }
    return std::unique_ptr<TaskQueue>(new TaskQueue(domain, depth, std::move(epoll), std::move(mailbox)));
}

TaskQueue::TaskQueue(Domain& domain, std::uint32_t depth, Fd epoll, std::shared_ptr<Mailbox> mailbox)
    : domain_(domain),
      depth_(depth),
      epoll_(std::move(epoll)),
      mailbox_(std::move(mailbox)),
      operations_(std::make_unique<Operation[]>(depth)),
      ended_(depth) {
    for (std::uint32_t i = depth; i-- > 0;) {
        operations_[i].next_ = std::exchange(free_, &operations_[i]);
    }
}

TaskQueue::~TaskQueue() {
    assert(under_way_ == 0);
    domain_.leave(*this);
    // What is still in the mailbox is about tasks of which there are none: whoever waits is let go.
    std::vector<AbortOrder> orders;
    {
        const std::lock_guard lock(mailbox_->mutex);
        orders.swap(mailbox_->orders);
    }
}

// ---- Tasks begin

void TaskQueue::submit(std::span<Task* const> batch) noexcept {
    for (Task* task : batch) {
        start(*task);
    }
    work();
}

void TaskQueue::start(Task& task) noexcept {
    assert(free_ != nullptr);
    Operation& operation = *free_;
    free_ = operation.next_;
    ++under_way_;

    task.outcome = Outcome::completed;
    task.status = Status::good;
    task.sense = {};
    task.transferred_bytes = 0;
    task.transferred_in = false;

    operation.task_ = &task;
    operation.domain_ = &domain_;
    operation.queue_ = this;
    operation.next_ = nullptr;
    operation.command_ = nullptr;
    operation.stage_ = 0;
    operation.position = 0;
    operation.remaining = 0;
    operation.counted_ = false;
    operation.cancelled_ = false;
    operation.cdb_ = {};
    std::ranges::copy(task.cdb.first(std::min(task.cdb.size(), operation.cdb_.size())), operation.cdb_.begin());
    operation.port_ = task.lun && !task.lun->well_known() ? find_port(task.target, *task.lun) : nullptr;
    operation.nexus_ = operation.port_ == nullptr ? nullptr : operation.port_->nexus.get();
    operation.storage_port_ = operation.port_;
    operation.unit_ = operation.nexus_ == nullptr ? nullptr : &operation.nexus_->unit();

    if (operation.port_ == nullptr && !domain_.has_target(task.target)) {
        task.outcome = Outcome::no_target;
        return finish(operation);
    }
    if (must_wait(operation)) {
        return hold(operation);
    }
    begin(operation);
}

/// The port of a logical unit, made when a task first comes for it. Null: there is no such unit.
TaskPort* TaskQueue::find_port(std::uint8_t target, Lun lun) noexcept {
    const std::uint32_t key = key_of(target, lun);
    if (const std::uint64_t generation = domain_.generation(); generation != seen_generation_) {
        seen_generation_ = generation;
        drop_ports();
    } else if (key == last_key_) {
        return last_port_;
    }
    last_key_ = key;
    if (const auto known = port_by_address_.find(key); known != port_by_address_.end()) {
        return last_port_ = known->second;
    }
    auto nexus = domain_.find(target, lun);
    if (nexus == nullptr) {
        return last_port_ = nullptr;
    }
    auto port = std::make_unique<TaskPort>();
    port->nexus = std::move(nexus);
    last_port_ = port.get();
    port_by_address_.emplace(key, last_port_);
    ports_.push_back(std::move(port));
    return last_port_;
}

/// Forgets logical units that have been removed, and lets go of those among them that have no task under way.
void TaskQueue::drop_ports() noexcept {
    std::erase_if(port_by_address_, [](const auto& entry) { return entry.second->nexus->gone(); });
    std::erase_if(ports_, [](const auto& port) {
        return port->nexus->gone() && port->running == 0 && port->held_first == nullptr && !port->busy;
    });
    last_key_ = UINT32_MAX;
}

/// SAM-5 8.8: whether the task has others of its queue before it.
bool TaskQueue::must_wait(Operation& operation) noexcept {
    if (operation.port_ == nullptr) {
        return false;
    }
    const TaskPort& port = *operation.port_;
    switch (operation.task_->attribute) {
        case TaskAttribute::head_of_queue:
        case TaskAttribute::aca:
            return false;
        case TaskAttribute::ordered:
            return port.running != 0 || port.held_first != nullptr;
        case TaskAttribute::simple:
            break;
    }
    return port.ordered_running || port.held_first != nullptr;
}

void TaskQueue::hold(Operation& operation) noexcept {
    TaskPort& port = *operation.port_;
    operation.place_ = Operation::Place::held;
    operation.next_ = nullptr;
    (port.held_first == nullptr ? port.held_first : port.held_last->next_) = &operation;
    port.held_last = &operation;
    make_busy(port);
}

/// Begins those that need not wait any longer.
void TaskQueue::release_held(TaskPort& port) noexcept {
    while (port.held_first != nullptr && !port.nexus->aca_active()) {
        Operation& operation = *port.held_first;
        const bool ordered = operation.task_->attribute == TaskAttribute::ordered;
        if (ordered ? port.running != 0 : port.ordered_running) {
            break;
        }
        port.held_first = operation.next_;
        operation.next_ = nullptr;
        begin(operation);
    }
}

void TaskQueue::begin(Operation& operation) noexcept {
    if (operation.port_ != nullptr) {
        ++operation.port_->running;
        operation.counted_ = true;
        operation.port_->ordered_running |= operation.task_->attribute == TaskAttribute::ordered;
    }
    if (admit(operation) == Progress::done) {
        return finish(operation);
    }
    run(operation);
}

/// What is checked before a command's function is called, in the order of SAM-5 5.3.3. Progress::done: it has failed.
Progress TaskQueue::admit(Operation& operation) noexcept {
    Nexus* const nexus = operation.nexus_;
    const bool aca = nexus != nullptr && nexus->aca_active();
    if (aca && operation.task_->attribute != TaskAttribute::aca) {
        return operation.end(Status::aca_active);
    }
    if (!aca && operation.task_->attribute == TaskAttribute::aca) {
        return operation.fail(SenseKey::aborted_command, AdditionalSense::invalid_message_error);
    }
    const CommandLookup found = find_command(operation.cdb_);
    operation.command_ = found.command;
    const std::uint32_t traits = found.command == nullptr ? 0 : found.command->traits;
    if (nexus != nullptr && nexus->attention_pending() && (traits & Command::past_attention) == 0) {
        if (const auto code = nexus->take_attention()) {
            return operation.fail(SenseKey::unit_attention, *code);
        }
    }
    const bool reports_luns = operation.task_->lun && operation.task_->lun->well_known();
    if (nexus == nullptr && (traits & (reports_luns ? Command::well_known : Command::without_unit)) == 0) {
        return operation.fail(SenseKey::illegal_request, reports_luns && found.command == nullptr
                                                             ? AdditionalSense::invalid_command_operation_code
                                                             : AdditionalSense::logical_unit_not_supported);
    }
    if (found.command == nullptr) {
        return found.opcode_known
                   ? operation.invalid_field(1, 4)
                   : operation.fail(SenseKey::illegal_request, AdditionalSense::invalid_command_operation_code);
    }
    return nexus == nullptr ? check_cdb(operation) : admit_to_unit(operation);
}

Progress TaskQueue::admit_to_unit(Operation& operation) noexcept {
    LogicalUnit& unit = *operation.unit_;
    const Command& command = *operation.command_;
    if (Reservations::conflict(operation)) {
        return operation.end(Status::reservation_conflict);
    }
    if (check_cdb(operation) == Progress::done) {
        return Progress::done;
    }
    if ((command.traits & Command::needs_medium) != 0) {
        if (unit.sanitizing.load(std::memory_order_acquire)) {
            return operation.fail(sanitizing_sense(unit));
        }
        if (unit.sanitize_failed.load(std::memory_order_acquire) != SanitizeFailure::none) {
            return operation.fail(SenseKey::medium_error, AdditionalSense::sanitize_command_failed);
        }
        if (unit.stopped.load(std::memory_order_acquire)) {
            return operation.fail(SenseKey::not_ready, AdditionalSense::initializing_command_required);
        }
    }
    if ((command.traits & Command::changes_medium) != 0 && unit.write_protected()) {
        return operation.fail(SenseKey::data_protect, AdditionalSense::write_protected);
    }
    return Progress::storage;
}

/// A bit that nobody evaluates must be zero: it may ask for something that we do not do (SPC-4 4.2.5.1).
Progress TaskQueue::check_cdb(Operation& operation) noexcept {
    const Command& command = *operation.command_;
    if (!any_beyond(operation.cdb_, command.usage)) {
        return Progress::storage;
    }
    for (std::size_t i = 1; i < command.cdb_bytes; ++i) {
        const auto unknown = static_cast<std::uint8_t>(operation.byte(i) & ~command.usage[i]);
        if (unknown != 0) {
            return operation.invalid_field(static_cast<std::uint16_t>(i),
                                           static_cast<std::uint8_t>(std::bit_width(unknown) - 1));
        }
    }
    return Progress::storage;  // what lies behind the CDB is nobody's
}

/// Calls the command's function, and does what it asks for.
void TaskQueue::run(Operation& operation) noexcept {
    switch (operation.command_->function(operation)) {
        case Progress::done:
            return finish(operation);
        case Progress::storage:
            return to_storage(operation);
        case Progress::waiting:
            operation.place_ = Operation::Place::waiting;
            return;
    }
}

/// Whether the request changes what another task has to itself. It is tried again when that is over.
bool TaskQueue::must_keep_out(Operation& operation, TaskPort& port) noexcept {
    Exclusions& exclusions = port.nexus->unit().exclusions();
    return changes_medium(operation) && exclusions.any() && operation.exclusion == nullptr &&
           !exclusions.is_free({operation.offset_bytes, operation.length_bytes}, operation.waker());
}

/// Ordered tasks of the other unit wait as for tasks of its own, and the port stays.
void TaskQueue::set_storage_port(Operation& operation, TaskPort* port) noexcept {
    if (operation.storage_port_ != operation.port_) {
        --operation.storage_port_->running;
        make_busy(*operation.storage_port_);  // what is held there may go on
    }
    operation.storage_port_ = port;
    if (port != operation.port_) {
        ++port->running;
    }
}

void TaskQueue::to_storage(Operation& operation) noexcept {
    TaskPort& port = *operation.storage_port_;
    if (port.storage == nullptr && !open_storage(port)) {
        operation.end(Status::busy);
        return finish(operation);
    }
    if (must_keep_out(operation, port)) {
        if (port.nexus->unit().sanitizing.load(std::memory_order_acquire)) {
            operation.fail(sanitizing_sense(port.nexus->unit()));
            return finish(operation);
        }
        operation.place_ = Operation::Place::kept_out;
        return;
    }
    operation.place_ = Operation::Place::storage;
    port.batch.push_back(&operation);
    make_busy(port);
}

bool TaskQueue::open_storage(TaskPort& port) noexcept {
    // Here and not when the queue or the unit comes: there may be thousands of units of which a queue uses two.
    auto opened = port.nexus->unit().open_queue(depth_);
    if (!opened) {
        spdlog::error("{}: {}", port.nexus->unit().options().name, opened.error().message);
        return false;
    }
    const int fd = (*opened)->completion_fd();
    if (fd >= 0 && !watch(epoll_.get(), fd)) {
        spdlog::error("{}", Error::from_errno(port.nexus->unit().options().name + ": watching its storage").message);
        return false;
    }
    port.batch.reserve(depth_);
    port.storage = *std::move(opened);
    return true;
}

// ---- Tasks end

/// NACA of the CONTROL byte (SAM-5 5.2, 5.9.2)
bool TaskQueue::asks_for_aca(const Operation& operation) noexcept {
    if (operation.command_ == nullptr) {
        return false;
    }
    const std::size_t bytes = operation.command_->cdb_bytes;
    return (operation.byte(bytes == Command::cdb_bytes_max ? 1 : bytes - 1) & control_usage) != 0;
}

void TaskQueue::finish(Operation& operation) noexcept {
    Task& task = *operation.task_;
    if (operation.cancelled_) {
        task.outcome = operation.cancelled_as_;
    }
    operation.exclusion.reset();
    operation.companion.reset();
    if (operation.port_ != nullptr) {
        set_storage_port(operation, operation.port_);
    }
    if (operation.command_ != nullptr && operation.command_->direction == Direction::in) {
        task.transferred_in = true;
        // What a read that did not go well has left in the buffers, nobody knows.
        if (task.outcome != Outcome::completed ||
            (task.status != Status::good && task.status != Status::condition_met)) {
            task.transferred_bytes = 0;
        }
    }
    if (operation.counted_) {
        TaskPort& port = *operation.port_;
        --port.running;
        if (task.attribute == TaskAttribute::ordered) {
            port.ordered_running = false;
        }
        if (task.outcome == Outcome::completed && task.status == Status::check_condition && asks_for_aca(operation)) {
            port.nexus->set_aca(true);
        }
    }
    operation.place_ = Operation::Place::finished;
    operation.buffer_.reset();
    operation.buffer_bytes_ = 0;
    operation.shared.reset();
    ended_.push(operation);
}

std::size_t TaskQueue::reap(std::span<Task*> completed) noexcept {
    work();
    std::array<Operation*, 64> ended;
    std::size_t count = 0;
    while (const std::size_t some =
               ended_.pop(std::span(ended).first(std::min(ended.size(), completed.size() - count)))) {
        for (Operation* operation : std::span(ended).first(some)) {
            completed[count++] = operation->task_;
            ++operation->generation_;
            operation->place_ = Operation::Place::free;
            operation->next_ = std::exchange(free_, operation);
        }
    }
    under_way_ -= static_cast<std::uint32_t>(count);
    return count;
}

void TaskQueue::make_busy(TaskPort& port) noexcept {
    if (!port.busy) {
        port.busy = true;
        busy_.push_back(&port);
    }
}

/// Everything that can go on without the caller, until nothing changes any more.
void TaskQueue::work() noexcept {
    for (bool changed = true; changed;) {
        changed = false;
        for (std::size_t i = 0; i < busy_.size();) {
            TaskPort& port = *busy_[i];
            changed |= work_on(port);
            if (port.in_storage == 0 && port.batch.empty() && port.held_first == nullptr) {
                port.busy = false;
                busy_[i] = busy_.back();
                busy_.pop_back();
                if (port.nexus->gone()) {
                    seen_generation_ = 0;  // find_port() or attend() will let go of it
                }
            } else {
                ++i;
            }
        }
    }
}

/// Whether anything has ended in the storage, so that there may be more to do.
bool TaskQueue::work_on(TaskPort& port) noexcept {
    release_held(port);
    if (!port.batch.empty()) {
        port.in_storage += static_cast<std::uint32_t>(port.batch.size());
        port.storage->submit(port.batch);
        port.batch.clear();
    }
    bool any = false;
    std::array<storage::BlockRequest*, 64> done;
    while (port.in_storage != 0) {
        const std::size_t count = port.storage->reap(done);
        if (count == 0) {
            break;
        }
        any = true;
        port.in_storage -= static_cast<std::uint32_t>(count);
        for (storage::BlockRequest* request : std::span(done).first(count)) {
            Operation& operation = static_cast<Operation&>(*request);
            ++operation.stage_;
            if (!drains_.empty()) {
                drained(operation);
            }
            if (operation.cancelled_) {
                finish(operation);
            } else {
                run(operation);
            }
        }
    }
    return any;
}

}  // namespace sidecore::scsi
