// SPDX-License-Identifier: Apache-2.0
#include "storage/io_uring_queue.hh"

#include <algorithm>
#include <array>
#include <cassert>
#include <liburing.h>
#include <sched.h>
#include <string_view>
#include <vector>

#include "base/bounded_fifo.hh"
#include "base/format.hh"
#include "storage/argument_check.hh"
#include "storage/bounce_buffers.hh"
#include "storage/execute_step.hh"
#include "storage/file_operation.hh"

namespace sidecore::storage {

namespace {

/// An io_uring. Made and unmade by one owner; liburing's functions take the pointer.
class Ring {
public:
    Ring() = default;
    ~Ring() {
        if (ready_) {
            // The kernel takes a ring apart later, in its own time. It must not hold the file open, and with it the
            // lock, until then. Without registered files this fails, which is fine.
            ::io_uring_unregister_files(&ring_);
            ::io_uring_queue_exit(&ring_);
        }
    }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    /// 0 or a negative errno.
    int init(std::uint32_t entries, std::uint32_t completion_entries) noexcept {
        // Completions are posted by the submitting thread as it passes through the kernel. By default the kernel
        // interrupts a thread that spins in user space to make it do so; with these flags (Linux 5.19) it sets a flag
        // in the ring, which reap() sees. Not IORING_SETUP_SINGLE_ISSUER: a queue may move to another worker.
        int result = init_with(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, entries, completion_entries);
        if (result == -EINVAL) {
            result = init_with(0, entries, completion_entries);
        }
        ready_ = result == 0;
        return result;
    }

    io_uring* get() noexcept { return &ring_; }
    const io_uring* get() const noexcept { return &ring_; }

private:
    int init_with(std::uint32_t flags, std::uint32_t entries, std::uint32_t completion_entries) noexcept {
        io_uring_params parameters{};
        parameters.flags = flags | IORING_SETUP_CQSIZE;
        parameters.cq_entries = completion_entries;
        return ::io_uring_queue_init_params(entries, &ring_, &parameters);
    }

    io_uring ring_{};
    bool ready_ = false;
};

/// Steps handed to the kernel by one system call at most; what a batch has beyond it takes another. Bounds the memory of
/// deep queues, which old kernels want in one piece.
constexpr std::uint32_t submission_entries_max = 1024;

/// Buffers for requests that direct I/O cannot do in place. More such requests than this wait for each other.
constexpr std::size_t bounce_buffers_per_queue = 16;

/// Lengths that IORING_OP_READ and WRITE can tell; a longer segment goes as a list of one.
constexpr std::size_t single_bytes_max = 0x7ffff000;

/// A longer request to a file in memory would hold up the worker's other queues.
constexpr std::uint64_t at_once_bytes_max = 1U << 20U;

/// How often a submission that the kernel cannot take just now is tried again before its requests fail.
constexpr unsigned submit_attempts_max = 1000;

/// A request in flight and what belongs to it. The slot's address is the user_data of its SQEs.
struct Slot {
    FileOperation operation;
    Slot* next = nullptr;  // in the list of free slots, or of those that wait for a bounce buffer
    std::byte* bounce = nullptr;
    bool in_flight = false;
};

class IoUringQueue final : public BlockQueue {
public:
    IoUringQueue(DiskFile& file, std::uint32_t depth, std::unique_ptr<Ring> ring, BounceBuffers bounce_buffers)
        : file_(file),
          ring_owner_(std::move(ring)),
          ring_(ring_owner_->get()),
          bounce_buffers_(std::move(bounce_buffers)),
          finished_(depth),
          slots_(depth) {
        for (Slot& slot : slots_) {
            slot.next = std::exchange(free_, &slot);
        }
    }

    IoUringQueue(const IoUringQueue&) = delete;
    IoUringQueue& operator=(const IoUringQueue&) = delete;

    ~IoUringQueue() override { assert(in_flight_ == 0); }

    void submit(std::span<BlockRequest* const> batch) noexcept override;
    std::size_t reap(std::span<BlockRequest*> completed) noexcept override;
    void cancel(BlockRequest& request) noexcept override;
    int completion_fd() const noexcept override { return ring_->ring_fd; }

private:
    void carry_on(Slot& slot) noexcept;
    bool never_waits(const Slot& slot, const FileStep& step) const noexcept;
    void prepare(Slot& slot, const FileStep& step) noexcept;
    void prepare_or_wait(Slot& slot) noexcept;
    void prepare_waiting() noexcept;
    bool stop_waiting(Slot& slot) noexcept;
    io_uring_sqe& next_entry() noexcept;
    void submit_prepared() noexcept;
    void take_back_prepared(int result) noexcept;
    void release(Slot& slot) noexcept;

    DiskFile& file_;
    const std::unique_ptr<Ring> ring_owner_;
    io_uring* const ring_;
    BounceBuffers bounce_buffers_;
    BoundedFifo<BlockRequest> finished_;  // without io_uring: see carry_on() and take_back_prepared()
    std::vector<Slot> slots_;
    Slot* free_ = nullptr;
    Slot* waiting_first_ = nullptr;  // for a bounce buffer, first come first served
    Slot* waiting_last_ = nullptr;
    std::uint32_t in_flight_ = 0;  // slots in use
};

void IoUringQueue::submit(std::span<BlockRequest* const> batch) noexcept {
    for (BlockRequest* request : batch) {
        assert(free_ != nullptr);
        Slot& slot = *free_;
        free_ = slot.next;
        ++in_flight_;
        slot.in_flight = true;
        request->slot = static_cast<std::uint32_t>(&slot - slots_.data());
        slot.operation.start(*request, file_.traits());
        prepare_or_wait(slot);
    }
    submit_prepared();
}

std::size_t IoUringQueue::reap(std::span<BlockRequest*> completed) noexcept {
    std::size_t count = finished_.pop(completed);
    std::array<io_uring_cqe*, 64> entries;
    while (count < completed.size()) {
        const auto wanted = static_cast<unsigned>(std::min(entries.size(), completed.size() - count));
        const unsigned found = ::io_uring_peek_batch_cqe(ring_, entries.data(), wanted);
        if (found == 0) {
            break;
        }
        for (const io_uring_cqe* entry : std::span(entries).first(found)) {
            if (::io_uring_cqe_get_data(entry) == nullptr) {
                continue;  // of cancel(): what has come of it, the request itself will tell
            }
            Slot& slot = *static_cast<Slot*>(::io_uring_cqe_get_data(entry));
            if (slot.operation.complete(entry->res)) {
                completed[count++] = &slot.operation.request();
                release(slot);
            } else {
                carry_on(slot);
            }
        }
        ::io_uring_cq_advance(ring_, found);
    }
    if (waiting_first_ != nullptr) {
        prepare_waiting();
    }
    submit_prepared();
    return count + finished_.pop(completed.subspan(count));
}

void IoUringQueue::cancel(BlockRequest& request) noexcept {
    Slot& slot = slots_[request.slot];
    if (!slot.in_flight || &slot.operation.request() != &request) {
        return;  // it has come to its end, and its slot may have begun another
    }
    slot.operation.cancel();
    if (stop_waiting(slot)) {
        request.result = -ECANCELED;
        finished_.push(request);
        release(slot);
        return;
    }
    io_uring_sqe& entry = next_entry();
    ::io_uring_prep_cancel(&entry, &slot, 0);
    ::io_uring_sqe_set_data(&entry, nullptr);
    submit_prepared();
}

/// Whether the slot was among those that wait for a bounce buffer.
bool IoUringQueue::stop_waiting(Slot& slot) noexcept {
    Slot* before = nullptr;
    for (Slot* each = waiting_first_; each != nullptr; before = std::exchange(each, each->next)) {
        if (each == &slot) {
            (before == nullptr ? waiting_first_ : before->next) = slot.next;
            if (waiting_last_ == &slot) {
                waiting_last_ = before;
            }
            return true;
        }
    }
    return false;
}

void IoUringQueue::prepare_or_wait(Slot& slot) noexcept {
    if (slot.operation.needs_bounce()) {
        slot.bounce = bounce_buffers_.take();
        if (slot.bounce == nullptr) {
            // All buffers are with requests in flight; the reap() that ends one of them comes back to this list.
            slot.next = nullptr;
            (waiting_first_ == nullptr ? waiting_first_ : waiting_last_->next) = &slot;
            waiting_last_ = &slot;
            return;
        }
        slot.operation.use_bounce(slot.bounce);
    }
    carry_on(slot);
}

void IoUringQueue::prepare_waiting() noexcept {
    while (waiting_first_ != nullptr && bounce_buffers_.available()) {
        Slot& slot = *waiting_first_;
        waiting_first_ = slot.next;
        prepare_or_wait(slot);
    }
}

io_uring_sqe& IoUringQueue::next_entry() noexcept {
    if (::io_uring_sq_space_left(ring_) == 0) {
        submit_prepared();
    }
    return *::io_uring_get_sqe(ring_);  // submit_prepared() leaves nothing behind
}

/// io_uring hands reads and writes of a tmpfs to threads of the kernel, which takes several times as long as to copy a few pages here.
bool IoUringQueue::never_waits(const Slot& slot, const FileStep& step) const noexcept {
    const BlockRequest& request = slot.operation.request();
    return file_.traits().in_memory && !step.again && request.length_bytes <= at_once_bytes_max &&
           (request.operation == BlockOperation::read || request.operation == BlockOperation::write) &&
           (step.kind == FileStep::Kind::read || step.kind == FileStep::Kind::write);
}

/// Does the next steps of a request, as far as none has to wait, and prepares the first one that may.
void IoUringQueue::carry_on(Slot& slot) noexcept {
    FileStep step = slot.operation.next();
    while (never_waits(slot, step)) {
        if (slot.operation.complete(execute_step(step, file_.fd()))) {
            finished_.push(slot.operation.request());
            release(slot);
            return;
        }
        step = slot.operation.next();
    }
    prepare(slot, step);
}

void IoUringQueue::prepare(Slot& slot, const FileStep& step) noexcept {
    io_uring_sqe* entry = &next_entry();
    const int fd = 0;  // of the registered files
    const bool one = step.segments.size() == 1 && step.segments.front().iov_len <= single_bytes_max;
    const auto count = static_cast<unsigned>(step.segments.size());
    switch (step.kind) {
        case FileStep::Kind::nothing:
            ::io_uring_prep_nop(entry);
            break;
        case FileStep::Kind::read:
            if (one) {
                const iovec& segment = step.segments.front();
                ::io_uring_prep_read(entry, fd, segment.iov_base, static_cast<unsigned>(segment.iov_len),
                                     step.offset_bytes);
            } else {
                ::io_uring_prep_readv(entry, fd, step.segments.data(), count, step.offset_bytes);
            }
            break;
        case FileStep::Kind::write:
            if (one) {
                const iovec& segment = step.segments.front();
                ::io_uring_prep_write(entry, fd, segment.iov_base, static_cast<unsigned>(segment.iov_len),
                                      step.offset_bytes);
                entry->rw_flags = step.flags;
            } else {
                ::io_uring_prep_writev2(entry, fd, step.segments.data(), count, step.offset_bytes, step.flags);
            }
            break;
        case FileStep::Kind::fallocate:
            ::io_uring_prep_fallocate(entry, fd, step.flags, static_cast<off_t>(step.offset_bytes),
                                      static_cast<off_t>(step.length_bytes));
            break;
        case FileStep::Kind::sync:
            ::io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
            break;
    }
    if (step.kind != FileStep::Kind::nothing) {
        ::io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE | (step.again ? IOSQE_ASYNC : 0U));
    }
    ::io_uring_sqe_set_data(entry, &slot);
}

void IoUringQueue::submit_prepared() noexcept {
    for (unsigned attempt = 0; ::io_uring_sq_ready(ring_) != 0;) {
        const int result = ::io_uring_submit(ring_);
        if (result > 0) {
            attempt = 0;
            continue;
        }
        // The kernel is short of memory (EAGAIN) or of completion entries (EBUSY): both pass.
        const bool passes = result == 0 || result == -EAGAIN || result == -EBUSY || result == -EINTR;
        if (!passes || ++attempt == submit_attempts_max) {
            take_back_prepared(result < 0 ? result : -EIO);
            return;
        }
        ::sched_yield();
    }
}

/// The kernel does not take what is prepared: fails those requests, so that nobody waits for them.
void IoUringQueue::take_back_prepared(int result) noexcept {
    io_uring_sq& queue = ring_->sq;
    const unsigned begin = *queue.khead;
    for (unsigned i = begin; i != queue.sqe_tail; ++i) {
        const std::uint64_t data = queue.sqes[i & queue.ring_mask].user_data;
        if (data == 0) {
            continue;  // of cancel(): the request goes on as if nobody had asked
        }
        Slot& slot = *reinterpret_cast<Slot*>(data);  // NOLINT(performance-no-int-to-ptr): from prepare()
        slot.operation.request().result = result;
        finished_.push(slot.operation.request());
        release(slot);
    }
    // Without SQPOLL the kernel looks at the tail only inside the system call that has just failed.
    queue.sqe_head = queue.sqe_tail = begin;
    *queue.ktail = begin;
}

void IoUringQueue::release(Slot& slot) noexcept {
    if (slot.bounce != nullptr) {
        bounce_buffers_.give_back(std::exchange(slot.bounce, nullptr));
    }
    slot.in_flight = false;
    slot.next = std::exchange(free_, &slot);
    --in_flight_;
}

}  // namespace

Result<void> probe_io_uring() {
    Ring ring;
    if (const int result = ring.init(2, 4); result < 0) {
        return failure_from_errno("io_uring is not available", -result);
    }
    if ((ring.get()->features & IORING_FEAT_NODROP) == 0 || (ring.get()->features & IORING_FEAT_SUBMIT_STABLE) == 0) {
        return failure(ErrorKind::unsupported, "io_uring of this kernel is too old");
    }
    const std::unique_ptr<io_uring_probe, decltype(&::io_uring_free_probe)> probe(::io_uring_get_probe_ring(ring.get()),
                                                                                  &::io_uring_free_probe);
    if (probe == nullptr) {
        return failure(ErrorKind::unsupported, "io_uring of this kernel cannot say what it can do");
    }
    static constexpr std::array<std::pair<int, std::string_view>, 8> needed{{
        {IORING_OP_NOP, "NOP"},
        {IORING_OP_READ, "READ"},
        {IORING_OP_READV, "READV"},
        {IORING_OP_WRITE, "WRITE"},
        {IORING_OP_WRITEV, "WRITEV"},
        {IORING_OP_FSYNC, "FSYNC"},
        {IORING_OP_FALLOCATE, "FALLOCATE"},
        {IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL"},
    }};
    for (const auto& [operation, name] : needed) {
        if (::io_uring_opcode_supported(probe.get(), operation) == 0) {
            return failure(ErrorKind::unsupported, fmt::format("io_uring of this kernel has no {}", name));
        }
    }
    return {};
}

Result<std::unique_ptr<BlockQueue>> open_io_uring_queue(DiskFile& file, std::uint32_t depth) {
    SIDECORE_TRY(check_depth(depth));
    auto ring = std::make_unique<Ring>();
    if (const int result = ring->init(std::min(depth, submission_entries_max), depth); result < 0) {
        return failure_from_errno(fmt::format("making an io_uring of {} entries for {}", depth, file.path()), -result);
    }
    const int fd = file.fd();
    if (const int result = ::io_uring_register_files(ring->get(), &fd, 1); result < 0) {
        return failure_from_errno(fmt::format("registering {} with io_uring", file.path()), -result);
    }
    SIDECORE_TRY_ASSIGN(auto bounce_buffers,
                        BounceBuffers::create(file.traits().direct ? bounce_buffers_per_queue : 0));
    return std::make_unique<IoUringQueue>(file, depth, std::move(ring), std::move(bounce_buffers));
}

}  // namespace sidecore::storage
