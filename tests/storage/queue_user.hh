// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "base/fd.hh"
#include "storage/block_backend.hh"

namespace sidecore::storage::test {

/// What a worker does with a queue: submits, sleeps on completion_fd() in epoll, reaps. Finds no completion within 20 s:
/// the test fails and the program ends, since the kernel may still write to the test's memory.
class QueueUser {
public:
    QueueUser(BlockBackend& backend, std::uint32_t depth);

    BlockQueue& queue() noexcept { return *queue_; }

    void submit(std::span<BlockRequest* const> batch) { queue_->submit(batch); }
    void submit(BlockRequest& request) {
        BlockRequest* batch[] = {&request};
        queue_->submit(batch);
    }

    /// Reaps `count` requests, up to `at_once` per call; in the order of their completion.
    std::vector<BlockRequest*> wait(std::size_t count, std::size_t at_once = 64);

    /// One request from begin to end; its result.
    int run(BlockRequest& request);
    int run(BlockOperation operation, std::uint64_t offset_bytes = 0, std::uint64_t length_bytes = 0);
    int read(std::uint64_t offset_bytes, std::span<std::byte> to);
    int write(std::uint64_t offset_bytes, std::span<const std::byte> from, bool durable = false);

    /// Whether epoll reports completion_fd() as readable now.
    bool readable(int timeout_ms = 0);

private:
    std::unique_ptr<BlockQueue> queue_;
    Fd epoll_;
};

}  // namespace sidecore::storage::test
