// SPDX-License-Identifier: Apache-2.0
#include "storage/thread_pool_queue.hh"

#include <algorithm>
#include <atomic>
#include <cassert>

#include "base/bounded_fifo.hh"
#include "base/fd.hh"
#include "base/format.hh"
#include "base/thread.hh"
#include "storage/argument_check.hh"
#include "storage/bounce_buffers.hh"
#include "storage/execute_step.hh"

namespace sidecore::storage {

/// completion_fd() is an eventfd that is readable exactly while completed_ holds something: both change together under
/// the mutex.
class ThreadPoolQueue final : public BlockQueue {
public:
    ThreadPoolQueue(FileThreadPool& pool, DiskFile& file, Fd completion, std::uint32_t depth)
        : pool_(pool), file_(file), completion_(std::move(completion)), jobs_(depth), completed_(depth) {
        for (FileThreadPool::Job& job : jobs_) {
            job.queue = this;
            job.next = std::exchange(free_, &job);
        }
    }
    ThreadPoolQueue(const ThreadPoolQueue&) = delete;
    ThreadPoolQueue& operator=(const ThreadPoolQueue&) = delete;

    ~ThreadPoolQueue() override { assert(in_flight_ == 0); }

    void submit(std::span<BlockRequest* const> batch) noexcept override;
    std::size_t reap(std::span<BlockRequest*> completed) noexcept override;
    void cancel(BlockRequest& request) noexcept override;
    int completion_fd() const noexcept override { return completion_.get(); }

    /// By a thread of the pool.
    void finish(FileThreadPool::Job& job) noexcept {
        const std::lock_guard lock(mutex_);
        add_completed(job);
    }

private:
    void add_completed(FileThreadPool::Job& job) noexcept;

    FileThreadPool& pool_;
    DiskFile& file_;
    const Fd completion_;
    std::vector<FileThreadPool::Job> jobs_;
    std::uint32_t in_flight_ = 0;  // the worker's own

    std::atomic<std::uint32_t> completed_count_{0};  // what reap() looks at before it takes the mutex
    std::mutex mutex_;                               // guards all below
    BoundedFifo<BlockRequest> completed_;
    FileThreadPool::Job* free_ = nullptr;
};

void ThreadPoolQueue::submit(std::span<BlockRequest* const> batch) noexcept {
    FileThreadPool::Job* first = nullptr;
    FileThreadPool::Job* last = nullptr;
    std::uint32_t count = 0;
    {
        const std::lock_guard lock(mutex_);
        for (BlockRequest* request : batch) {
            assert(free_ != nullptr);
            FileThreadPool::Job& job = *std::exchange(free_, free_->next);
            job.next = nullptr;
            job.in_flight = true;
            request->slot = static_cast<std::uint32_t>(&job - jobs_.data());
            job.operation.start(*request, file_.traits());
            if (job.operation.finished()) {
                add_completed(job);
                continue;
            }
            (first == nullptr ? first : last->next) = &job;
            last = &job;
            ++count;
        }
    }
    in_flight_ += static_cast<std::uint32_t>(batch.size());
    if (first != nullptr) {
        pool_.push(*first, *last, count);
    }
}

std::size_t ThreadPoolQueue::reap(std::span<BlockRequest*> completed) noexcept {
    if (completed_count_.load(std::memory_order_acquire) == 0) {
        return 0;
    }
    const std::lock_guard lock(mutex_);
    const std::size_t count = completed_.pop(completed);
    completed_count_.store(completed_.size(), std::memory_order_release);
    if (completed_.empty()) {
        drain_eventfd(completion_.get());
    }
    in_flight_ -= static_cast<std::uint32_t>(count);
    return count;
}

void ThreadPoolQueue::add_completed(FileThreadPool::Job& job) noexcept {
    completed_.push(job.operation.request());
    // Before the signal: whoever it wakes finds the count without the mutex.
    completed_count_.store(completed_.size(), std::memory_order_release);
    if (completed_.size() == 1) {
        signal_eventfd(completion_.get());
    }
    job.in_flight = false;
    job.next = std::exchange(free_, &job);
}

void ThreadPoolQueue::cancel(BlockRequest& request) noexcept {
    FileThreadPool::Job& job = jobs_[request.slot];
    {
        const std::lock_guard lock(mutex_);
        if (!job.in_flight || &job.operation.request() != &request) {
            return;  // it has come to its end, and its job may have begun another
        }
        job.operation.cancel();
    }
    // Nobody but us can make a new one of the job meanwhile.
    if (pool_.take_out(job)) {
        request.result = -ECANCELED;
        finish(job);
    }
}

Result<std::unique_ptr<FileThreadPool>> FileThreadPool::create(DiskFile& file, std::uint32_t threads) {
    SIDECORE_TRY_ASSIGN(auto bounce_buffers, BounceBuffers::create(file.traits().direct ? threads : 0));
    std::unique_ptr<FileThreadPool> pool(new FileThreadPool(file, threads, std::move(bounce_buffers)));
    if (const std::lock_guard lock(pool->mutex_); !pool->add_thread()) {
        return failure_from_errno(fmt::format("starting an I/O thread for {}", file.path()), EAGAIN);
    }
    return pool;
}

FileThreadPool::~FileThreadPool() {
    std::vector<std::thread> threads;
    {
        const std::lock_guard lock(mutex_);
        assert(first_ == nullptr);
        stopping_ = true;
        threads.swap(threads_);
    }
    work_arrived_.notify_all();
    for (std::thread& thread : threads) {
        thread.join();
    }
}

Result<std::unique_ptr<BlockQueue>> FileThreadPool::open_queue(std::uint32_t depth) {
    SIDECORE_TRY(check_depth(depth));
    SIDECORE_TRY_ASSIGN(auto completion, make_eventfd());
    return std::make_unique<ThreadPoolQueue>(*this, file_, std::move(completion), depth);
}

std::uint32_t FileThreadPool::thread_count() const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::uint32_t>(threads_.size());
}

void FileThreadPool::push(Job& first, Job& last, std::uint32_t count) noexcept {
    std::uint32_t wake = 0;
    {
        const std::lock_guard lock(mutex_);
        (first_ == nullptr ? first_ : last_->next) = &first;
        last_ = &last;
        wake = std::min(count, idle_);
    }
    for (; wake != 0; --wake) {
        work_arrived_.notify_one();
    }
}

bool FileThreadPool::take_out(Job& job) noexcept {
    const std::lock_guard lock(mutex_);
    Job* before = nullptr;
    for (Job* each = first_; each != nullptr; before = std::exchange(each, each->next)) {
        if (each == &job) {
            (before == nullptr ? first_ : before->next) = job.next;
            if (last_ == &job) {
                last_ = before;
            }
            return true;
        }
    }
    return false;
}

/// With the mutex held.
bool FileThreadPool::add_thread() {
    auto thread = start_thread("sidecore-file", [this] { run(); });
    if (thread) {
        threads_.push_back(std::move(*thread));
    }
    return thread.has_value();
}

void FileThreadPool::run() noexcept {
    std::unique_lock lock(mutex_);
    std::byte* const bounce = bounce_buffers_.take();  // for good; there is one for each thread if the I/O is direct
    for (;;) {
        ++idle_;
        work_arrived_.wait(lock, [this] { return first_ != nullptr || stopping_; });
        --idle_;
        if (stopping_) {
            return;
        }
        Job& job = *first_;
        first_ = job.next;
        if (first_ != nullptr) {
            // push() can only count on threads that were idle then; nobody else looks after the rest.
            if (idle_ != 0) {
                work_arrived_.notify_one();
            } else if (threads_.size() < limit_) {
                add_thread();
            }
        }
        lock.unlock();
        execute(job, bounce);
        lock.lock();
    }
}

void FileThreadPool::execute(Job& job, std::byte* bounce) noexcept {
    FileOperation& operation = job.operation;
    if (operation.needs_bounce()) {
        operation.use_bounce(bounce);
    }
    while (!operation.complete(execute_step(operation.next(), file_.fd()))) {
    }
    job.queue->finish(job);
}

}  // namespace sidecore::storage
