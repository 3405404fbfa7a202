// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.hh"
#include "storage/block_backend.hh"
#include "storage/bounce_buffers.hh"
#include "storage/disk_file.hh"
#include "storage/file_operation.hh"

namespace sidecore::storage {

class ThreadPoolQueue;

/// Threads that do a file's I/O with preadv2(), pwritev2(), fallocate() and fdatasync(), for hosts without io_uring.
///
/// Begins with one thread; one that finds more work than idle threads starts another, up to the maximum. Threads
/// without work sleep on a condition variable with no time-out. They take no signals but those that their own faults
/// raise.
///
/// Thread: create() and the destructor by a control thread; push() from any. The queues go before the pool.
class FileThreadPool {
public:
    static constexpr std::uint32_t threads_max = 256;

    /// One request on its way; linked into the pool's list of work, or into its queue's list of free jobs.
    struct Job {
        FileOperation operation;
        Job* next = nullptr;
        ThreadPoolQueue* queue = nullptr;
        bool in_flight = false;  ///< guarded by the queue's mutex
    };

    /// `threads`: 1 to threads_max.
    static Result<std::unique_ptr<FileThreadPool>> create(DiskFile& file, std::uint32_t threads);
    ~FileThreadPool();
    FileThreadPool(const FileThreadPool&) = delete;
    FileThreadPool& operator=(const FileThreadPool&) = delete;

    Result<std::unique_ptr<BlockQueue>> open_queue(std::uint32_t depth);

    /// Takes over `count` jobs that are linked from `first` to `last`.
    void push(Job& first, Job& last, std::uint32_t count) noexcept;

    /// Whether no thread has begun the job yet: then it is the caller's again.
    bool take_out(Job& job) noexcept;

    std::uint32_t thread_count() const;

private:
    FileThreadPool(DiskFile& file, std::uint32_t threads, BounceBuffers bounce_buffers)
        : file_(file), limit_(threads), bounce_buffers_(std::move(bounce_buffers)) {
        threads_.reserve(threads);
    }

    bool add_thread();
    void run() noexcept;
    void execute(Job& job, std::byte* bounce) noexcept;

    DiskFile& file_;
    const std::uint32_t limit_;

    mutable std::mutex mutex_;  // guards all below
    std::condition_variable work_arrived_;
    BounceBuffers bounce_buffers_;
    std::vector<std::thread> threads_;
    std::uint32_t idle_ = 0;
    Job* first_ = nullptr;
    Job* last_ = nullptr;
    bool stopping_ = false;
};

}  // namespace sidecore::storage
