// SPDX-License-Identifier: Apache-2.0
#include "disk_stream.hh"

#include <utility>

#include "base/clock.hh"

namespace sidecore::bench {

using frontend::DiskLoad;

DiskStream::DiskStream(DiskLoad load, Blocks blocks, const Options& options)
    : queue_(&load.queue()),
      load_(std::move(load)),
      started_(load_.depth()),
      blocks_(blocks),
      sectors_per_block_(options.block_bytes / frontend::blk_sector_bytes),
      random_(options.seed),
      arrivals_(options.arrivals, options.seed),
      write_percent_(options.write_percent),
      sequential_(options.sequential),
      kick_cost_(ns_to_cycles(options.kick_cost_ns)) {
    if (options.verify) {
        verifier_.emplace(blocks.first_sector, blocks.count, options.block_bytes, cycles());
    }
    forget(cycles());
}

Result<DiskStream> DiskStream::create(frontend::GuestMemoryFile& memory, frontend::DriverQueue& queue, Blocks blocks,
                                      const Options& options) {
    if (blocks.count == 0 || (options.verify && blocks.count <= options.depth)) {
        return failure(ErrorKind::out_of_range, "the disk, or what of it is to be used, is too small for this load");
    }
    queue.suppress_calls();
    SIDECORE_TRY_ASSIGN(DiskLoad load, DiskLoad::create(memory, queue,
                                                        {.protocol = options.protocol,
                                                         .depth = options.depth,
                                                         .block_bytes = options.block_bytes,
                                                         .indirect = options.indirect,
                                                         .rewrite_descriptors = options.rewrite_descriptors}));
    return DiskStream(std::move(load), blocks, options);
}

std::size_t DiskStream::take_finished() {
    const std::size_t count = load_.finish(finished_);
    for (const DiskLoad::Finished& one : std::span(finished_).first(count)) {
        const bool well = one.status == 0;
        errors_ += well ? 0 : 1;
        if (verifier_) {
            const Started& started = started_[one.slot];
            if (started.write) {
                verifier_->written(started.block, well);
            } else if (!well) {
                verifier_->give_back(started.block);
            } else {
                wrong_ += verifier_->read(started.block, load_.data(one.slot)) ? 0 : 1;
            }
        }
    }
    return count;
}

void DiskStream::turn(std::uint64_t now) {
    const std::size_t count = take_finished();
    for (const DiskLoad::Finished& one : std::span(finished_).first(count)) {
        histogram_.record(now - started_[one.slot].at);
    }
    operations_ += count;
    if (!arrivals_.closed()) {
        let_arrive(now);
        return;
    }
    while (load_.idle() != 0) {
        start(now);
    }
    publish();
}

void DiskStream::publish() {
    if (queue_->publish() && kick_cost_ != 0) {
        const std::uint64_t end = cycles() + kick_cost_;
        while (cycles() < end) {
        }
    }
}

void DiskStream::start(std::uint64_t at) {
    std::uint32_t block = 0;
    if (sequential_) {
        block = next_block_;
        next_block_ = block + 1 == blocks_.count ? 0 : block + 1;
    } else {
        block = static_cast<std::uint32_t>(random_.below(blocks_.count));
    }
    const bool write = random_.chance(write_percent_);
    if (verifier_) {
        block = verifier_->claim(block);
    }
    const std::uint16_t slot = load_.start(write ? DiskLoad::Access::write : DiskLoad::Access::read,
                                           blocks_.first_sector + block * sectors_per_block_);
    if (verifier_ && write) {
        verifier_->fill(block, load_.data(slot));  // the device sees it when it is published
    }
    started_[slot] = {.at = at, .block = block, .write = write};
}

void DiskStream::let_arrive(std::uint64_t now) {
    bool any = false;
    while (arrivals_.next() <= now && load_.idle() != 0) {
        start(arrivals_.next());
        arrivals_.advance();
        any = true;
    }
    if (any) {
        publish();
    }
}

Result<void> DiskStream::finish_all() {
    const std::uint64_t end = cycles() + ns_to_cycles(5'000'000'000);
    while (load_.idle() != load_.depth() && cycles() < end) {
        take_finished();
    }
    if (!queue_->violation().empty()) {
        return failure(ErrorKind::protocol_violation, queue_->violation());
    }
    if (load_.idle() != load_.depth()) {
        return failure(ErrorKind::timed_out, "the back-end lost requests, or a wake-up: it does not finish them");
    }
    return {};
}

void DiskStream::forget(std::uint64_t now) {
    operations_ = 0;
    histogram_.clear();
    kicks_before_ = queue_->statistics().kicks_sent;
    arrivals_.restart(now);
}

}  // namespace sidecore::bench
