// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.hh"
#include "frontend/blk_load.hh"
#include "latency_histogram.hh"

namespace sidecore::bench {

/// Which sector comes next: xorshift, because a driver has no time for a better one.
class RandomBlocks {
public:
    RandomBlocks(std::uint64_t capacity_sectors, std::uint32_t block_bytes);

    std::uint64_t next() noexcept {
        step();
        return ((state_ >> 32U) * blocks_ >> 32U) * sectors_per_block_;
    }
    /// True in `percent` of all cases.
    bool chance(unsigned percent) noexcept { return percent != 0 && (state_ & 0xffffU) * 100 < percent * 0x1'0000ULL; }

    /// Uniform in (0, 1].
    double fraction() noexcept {
        step();
        return static_cast<double>((state_ >> 11U) + 1) * 0x1p-53;
    }

private:
    void step() noexcept {
        state_ ^= state_ << 13U;
        state_ ^= state_ >> 7U;
        state_ ^= state_ << 17U;
    }
    std::uint64_t state_ = 0x9e3779b97f4a7c15;
    std::uint64_t sectors_per_block_;
    std::uint64_t blocks_;
};

/// The load of one queue. Closed loop: keeps the queue at its depth. Open loop: requests arrive at a rate, at random (Poisson),
/// and their latency counts from then, also while they wait for a slot.
///
/// Thread: one.
class Stream {
public:
    struct Options {
        std::uint16_t depth = 32;          ///< requests in flight, at most
        std::uint32_t block_bytes = 4096;  ///< of a request
        unsigned write_percent = 0;
        double rate = 0;  ///< requests per second that arrive by themselves; 0: each slot asks again when it is idle
        bool indirect = false;
        bool rewrite_descriptors = false;  ///< see BlkLoad
    };

    /// A load on `queue`, whose calls are suppressed from now on.
    static Result<Stream> create(frontend::GuestMemoryFile& memory, frontend::DriverQueue& queue,
                                 std::uint64_t capacity_sectors, const Options& options);

    /// What has ended and what is to begin at `now`, in cycles.
    void turn(std::uint64_t now);

    /// Takes back what is in flight. Errors: the ring is violated, or the back-end does not finish within 5 s.
    Result<void> finish_all();

    /// Counts from here on; arrivals of an open loop, too.
    void forget(std::uint64_t now);

    std::uint64_t operations() const noexcept { return operations_; }
    std::uint64_t errors() const noexcept { return errors_; }
    std::uint64_t kicks() const noexcept { return queue_->statistics().kicks_sent - kicks_before_; }
    const LatencyHistogram& histogram() const noexcept { return histogram_; }

private:
    // Prime, so that it does not fall into step with a depth; the cost of the clock is then nothing to speak of.
    static constexpr unsigned sample_every = 13;

    Stream(frontend::BlkLoad load, RandomBlocks blocks, const Options& options);
    std::uint16_t start();
    void let_arrive(std::uint64_t now);

    frontend::DriverQueue* queue_;
    frontend::BlkLoad load_;
    std::vector<std::uint64_t> started_;  // by slot, in cycles; 0: not sampled
    RandomBlocks blocks_;
    unsigned write_percent_;
    double cycles_between_;    // arrivals of an open loop, in the mean; 0: closed
    double next_arrival_ = 0;  // cycles
    unsigned since_sample_ = 0;
    std::uint64_t operations_ = 0;
    std::uint64_t errors_ = 0;
    std::uint64_t kicks_before_ = 0;
    std::array<frontend::BlkLoad::Finished, 64> finished_{};
    LatencyHistogram histogram_;
};

/// Turns of all `streams`, round and round, for so long.
void spin_for(std::span<Stream> streams, double seconds);

/// Has the streams count from here on.
void forget(std::span<Stream> streams);

}  // namespace sidecore::bench
