// SPDX-License-Identifier: Apache-2.0
#include "scsi/sanitizer.hh"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <utility>

#include "base/log.hh"
#include "base/thread.hh"
#include "scsi/logical_unit.hh"

namespace sidecore::scsi {

namespace {

constexpr std::uint64_t write_bytes = 1U << 20U;
constexpr std::uint64_t erase_bytes = 64U << 20U;

}  // namespace

Result<void> Sanitizer::start(SanitizeJob job, std::function<void()> done) {
    const std::lock_guard lock(mutex_);
    if (unit_.sanitizing.load(std::memory_order_acquire)) {
        return failure(ErrorKind::already_exists, unit_.options().name + " is being sanitized already");
    }
    if (thread_.joinable()) {
        thread_.join();  // it has nothing left to do
    }
    SIDECORE_TRY_ASSIGN(auto opened, unit_.open_queue(1));
    const auto queue = std::make_shared<std::unique_ptr<storage::BlockQueue>>(std::move(opened));
    unit_.sanitize_progress = 0;
    unit_.sanitizing.store(true, std::memory_order_release);
    auto thread = start_thread("sidecore-wipe", [this, queue, job = std::move(job), done = std::move(done)]() mutable {
        run(job, **queue);
        queue->reset();
        unit_.sanitizing.store(false, std::memory_order_release);
        job.hold.reset();
        done();
    });
    if (!thread) {
        unit_.sanitizing.store(false, std::memory_order_release);
        return tl::unexpected(std::move(thread.error()));
    }
    thread_ = *std::move(thread);
    return {};
}

void Sanitizer::stop() {
    stopping_ = true;
    const std::lock_guard lock(mutex_);
    if (thread_.joinable()) {
        thread_.join();
    }
}

void Sanitizer::run(const SanitizeJob& job, storage::BlockQueue& queue) {
    std::vector<std::byte> memory;
    bool good = true;
    for (unsigned pass = 0; good && pass < job.passes; ++pass) {
        good = do_pass(job, pass, queue, memory);
    }
    if (good) {
        storage::BlockRequest request;
        request.operation = storage::BlockOperation::flush;
        good = carry_out(queue, request);
    }
    if (!good && !stopping_) {
        spdlog::error("{}: a SANITIZE command has failed; its contents are neither gone nor whole",
                      unit_.options().name);
    }
    unit_.sanitize_failed.store(good               ? SanitizeFailure::none
                                : job.unrestricted ? SanitizeFailure::unrestricted
                                                   : SanitizeFailure::restricted,
                                std::memory_order_release);
}

/// Up to the capacity as it is by then: a disk that grows meanwhile is done to its new end.
bool Sanitizer::do_pass(const SanitizeJob& job, unsigned pass, storage::BlockQueue& queue,
                        std::vector<std::byte>& memory) {
    if (!job.pattern.empty()) {
        // The last pass leaves the pattern as it was given.
        const bool inverted = job.invert && (job.passes - 1 - pass) % 2 == 1;
        memory.resize(std::max<std::size_t>(write_bytes / job.pattern.size(), 1) * job.pattern.size());
        for (std::size_t i = 0; i < memory.size(); ++i) {
            const std::byte byte = job.pattern[i % job.pattern.size()];
            memory[i] = inverted ? ~byte : byte;
        }
    }
    const std::uint64_t step = job.pattern.empty() ? erase_bytes : memory.size();
    std::uint64_t total = 0;
    for (std::uint64_t offset = 0; offset < (total = unit_.capacity_blocks() * unit_.block_bytes()); offset += step) {
        if (stopping_) {
            return false;
        }
        storage::BlockRequest request;
        iovec segment{memory.data(), static_cast<std::size_t>(std::min(step, total - offset))};
        request.offset_bytes = offset;
        request.length_bytes = std::min(step, total - offset);
        if (job.pattern.empty()) {
            request.operation = storage::BlockOperation::write_zeroes_unmap;
        } else {
            request.operation = storage::BlockOperation::write;
            request.segments = {&segment, 1};
        }
        // One whose end has been cut off meanwhile is out of reach, not left over.
        if (!carry_out(queue, request) && offset < unit_.capacity_blocks() * unit_.block_bytes()) {
            return false;
        }
        const double done = (pass + static_cast<double>(offset) / static_cast<double>(total)) / job.passes;
        unit_.sanitize_progress.store(static_cast<std::uint16_t>(std::min(done * 65536, 65535.0)),
                                      std::memory_order_relaxed);
    }
    return true;
}

/// What has been submitted has to come back, stopping or not: it uses our memory.
bool Sanitizer::carry_out(storage::BlockQueue& queue, storage::BlockRequest& request) const {
    storage::BlockRequest* batch[] = {&request};
    queue.submit(batch);
    storage::BlockRequest* ended[1];
    for (bool cancelled = false; queue.reap(ended) == 0;) {
        if (stopping_ && !cancelled) {
            cancelled = true;
            queue.cancel(request);
            continue;
        }
        pollfd watched{queue.completion_fd(), POLLIN, 0};
        ::poll(&watched, 1, cancelled ? -1 : 100);
    }
    return request.result == 0;
}

}  // namespace sidecore::scsi
