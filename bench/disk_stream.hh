// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "arrivals.hh"
#include "base/error.hh"
#include "frontend/disk_load.hh"
#include "latency_histogram.hh"
#include "verifier.hh"

namespace sidecore::bench {

/// The load of one queue. Closed loop: keeps the queue at its depth. Open loop: requests arrive by themselves,
/// and their latency counts from then, also while they wait for a slot.
///
/// Thread: one.
class DiskStream {
public:
    /// Blocks of a disk, by their size.
    struct Blocks {
        std::uint64_t first_sector = 0;
        std::uint32_t count = 0;
    };
    struct Options {
        frontend::DiskProtocol protocol = frontend::DiskProtocol::blk;
        std::uint16_t depth = 32;          ///< requests in flight, at most
        std::uint32_t block_bytes = 4096;  ///< of a request
        unsigned write_percent = 0;
        bool sequential = false;  ///< one block after the other, round and round; else at random
        Arrivals::Options arrivals{};
        bool indirect = false;
        bool rewrite_descriptors = false;  ///< see DiskLoad
        std::uint64_t kick_cost_ns = 0;    ///< spent on each kick, beside what it costs: as if it were a VM exit
        bool verify = false;               ///< nobody else writes to the blocks, and there are more than the depth
        std::uint64_t seed = 0;
    };

    /// A load on `queue`, whose calls are suppressed from now on.
    static Result<DiskStream> create(frontend::GuestMemoryFile& memory, frontend::DriverQueue& queue, Blocks blocks,
                                     const Options& options);

    /// What has ended and what is to begin at `now`, in cycles.
    void turn(std::uint64_t now);

    /// Takes back what is in flight. Errors: the ring is violated, or the back-end does not finish within 5 s.
    Result<void> finish_all();

    /// Counts from here on; arrivals of an open loop, too.
    void forget(std::uint64_t now);

    std::uint64_t operations() const noexcept { return operations_; }
    std::uint64_t errors() const noexcept { return errors_; }
    std::uint64_t wrong_blocks() const noexcept { return wrong_; }  ///< read, with other data than were written
    std::uint64_t kicks() const noexcept { return queue_->statistics().kicks_sent - kicks_before_; }
    /// How far an open loop is behind at `now`, in cycles: requests have arrived for which there was no slot.
    std::uint64_t behind(std::uint64_t now) const noexcept {
        return arrivals_.closed() || arrivals_.next() > now ? 0 : now - arrivals_.next();
    }
    const LatencyHistogram& histogram() const noexcept { return histogram_; }

private:
    struct Started {
        std::uint64_t at = 0;  ///< cycles
        std::uint32_t block = 0;
        bool write = false;
    };

    DiskStream(frontend::DiskLoad load, Blocks blocks, const Options& options);
    void start(std::uint64_t at);
    void let_arrive(std::uint64_t now);
    void publish();
    std::size_t take_finished();

    frontend::DriverQueue* queue_;
    frontend::DiskLoad load_;
    std::vector<Started> started_;  // by slot
    Blocks blocks_;
    std::uint64_t sectors_per_block_;
    FastRandom random_;
    Arrivals arrivals_;
    std::optional<Verifier> verifier_;
    unsigned write_percent_;
    bool sequential_;
    std::uint32_t next_block_ = 0;
    std::uint64_t kick_cost_;  // cycles
    std::uint64_t operations_ = 0;
    std::uint64_t errors_ = 0;
    std::uint64_t wrong_ = 0;
    std::uint64_t kicks_before_ = 0;
    std::array<frontend::DiskLoad::Finished, 64> finished_{};
    LatencyHistogram histogram_;
};

}  // namespace sidecore::bench
