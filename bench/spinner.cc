// SPDX-License-Identifier: Apache-2.0
#include "spinner.hh"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/clock.hh"

namespace sidecore::bench {

using frontend::BlkLoad;
using frontend::BlkStatus;
using frontend::BlkType;

RandomBlocks::RandomBlocks(std::uint64_t capacity_sectors, std::uint32_t block_bytes)
    : sectors_per_block_(block_bytes / frontend::blk_sector_bytes),
      blocks_(std::min<std::uint64_t>(capacity_sectors / sectors_per_block_, UINT32_MAX)) {}

Stream::Stream(BlkLoad load, RandomBlocks blocks, const Options& options)
    : queue_(&load.queue()),
      load_(std::move(load)),
      started_(load_.depth()),
      blocks_(blocks),
      write_percent_(options.write_percent),
      cycles_between_(options.rate > 0 ? cycles_per_ns() * 1e9 / options.rate : 0) {
    forget(cycles());
}

Result<Stream> Stream::create(frontend::GuestMemoryFile& memory, frontend::DriverQueue& queue,
                              std::uint64_t capacity_sectors, const Options& options) {
    queue.suppress_calls();
    SIDECORE_TRY_ASSIGN(BlkLoad load, BlkLoad::create(memory, queue,
                                                      {.depth = options.depth,
                                                       .block_bytes = options.block_bytes,
                                                       .indirect = options.indirect,
                                                       .rewrite_descriptors = options.rewrite_descriptors}));
    return Stream(std::move(load), RandomBlocks(capacity_sectors, options.block_bytes), options);
}

void Stream::turn(std::uint64_t now) {
    const std::size_t count = load_.finish(finished_);
    for (std::size_t i = 0; i < count; ++i) {
        std::uint64_t& started = started_[finished_[i].slot];
        if (started != 0) {
            histogram_.record(now - started);
            started = 0;
        }
        errors_ += finished_[i].status != BlkStatus::ok ? 1 : 0;
    }
    operations_ += count;
    if (cycles_between_ > 0) {
        let_arrive(now);
        return;
    }
    while (load_.idle() != 0) {
        const std::uint16_t slot = start();
        if (++since_sample_ == sample_every) {
            since_sample_ = 0;
            started_[slot] = now;
        }
    }
    queue_->publish();
}

std::uint16_t Stream::start() {
    const std::uint64_t sector = blocks_.next();
    return load_.start(blocks_.chance(write_percent_) ? BlkType::write : BlkType::read, sector);
}

void Stream::let_arrive(std::uint64_t now) {
    bool any = false;
    while (next_arrival_ <= static_cast<double>(now) && load_.idle() != 0) {
        const auto arrival = static_cast<std::uint64_t>(next_arrival_);
        started_[start()] = arrival;
        next_arrival_ -= std::log(blocks_.fraction()) * cycles_between_;
        any = true;
    }
    if (any) {
        queue_->publish();
    }
}

Result<void> Stream::finish_all() {
    const std::uint64_t end = cycles() + ns_to_cycles(5'000'000'000);
    while (load_.idle() != load_.depth() && cycles() < end) {
        const std::size_t count = load_.finish(finished_);
        for (std::size_t i = 0; i < count; ++i) {
            errors_ += finished_[i].status != BlkStatus::ok ? 1 : 0;
        }
    }
    if (!queue_->violation().empty()) {
        return failure(ErrorKind::protocol_violation, queue_->violation());
    }
    if (load_.idle() != load_.depth()) {
        return failure(ErrorKind::timed_out, "the back-end lost requests, or a wake-up: it does not finish them");
    }
    return {};
}

void Stream::forget(std::uint64_t now) {
    operations_ = 0;
    histogram_.clear();
    kicks_before_ = queue_->statistics().kicks_sent;
    next_arrival_ = static_cast<double>(now);
}

void spin_for(std::span<Stream> streams, double seconds) {
    const std::uint64_t end = cycles() + ns_to_cycles(static_cast<std::uint64_t>(seconds * 1e9));
    std::uint64_t now = cycles();
    while (now < end) {
        now = cycles();
        for (Stream& stream : streams) {
            stream.turn(now);
        }
    }
}

void forget(std::span<Stream> streams) {
    const std::uint64_t now = cycles();
    for (Stream& stream : streams) {
        stream.forget(now);
    }
}

}  // namespace sidecore::bench
