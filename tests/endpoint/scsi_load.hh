// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "base/error.hh"
#include "frontend/scsi_requests.hh"

namespace sidecore::endpoint {

/// Reads and writes at random on a part of a logical unit that belongs to it alone, each read compared with what was written, while others may abort
/// them: then it is not known what a write has left, until it is written again.
///
/// Thread: the queue's; the counts and `tags` from any.
class ScsiLoad {
public:
    static constexpr std::uint32_t cells = 128;
    static constexpr std::uint16_t blocks_per_cell = 8;

    /// Tags are `first_tag` to first_tag + tags - 1, again and again: so that somebody who aborts finds one now and then.
    static constexpr std::uint64_t tags = 64;

    /// `blank`: its part of the disk is all zero.
    ScsiLoad(std::uint32_t first_block, std::uint64_t first_tag, std::uint64_t seed, bool blank);

    /// Makes `count` requests, or goes on until `stop`.
    Result<void> run(frontend::ScsiRequests& requests, std::uint64_t count, std::size_t depth,
                     const std::atomic<bool>* stop = nullptr);

    /// Compares all that is known.
    Result<void> compare_all(frontend::ScsiRequests& requests);

    std::atomic<std::uint64_t> good{0};
    std::atomic<std::uint64_t> ended_by_others{0};  ///< aborted, reset, or told of a reset

private:
    static constexpr std::size_t cell_bytes = blocks_per_cell * 512U;

    struct InFlight {
        std::uint32_t cell = 0;
        bool write = false;
        std::vector<std::byte> data;
    };
    struct Cell {
        std::vector<std::byte> bytes = std::vector<std::byte>(cell_bytes);
        bool known = false;
        bool busy = false;
    };

    Result<bool> start(frontend::ScsiRequests& requests);
    Result<void> finish(const frontend::ScsiFinished& finished);

    const std::uint32_t first_block_;
    const std::uint64_t first_tag_;
    std::mt19937_64 random_;
    std::vector<Cell> cells_;
    std::map<std::uint64_t, InFlight> in_flight_;  // by ticket
    std::uint64_t next_tag_ = 0;
};

}  // namespace sidecore::endpoint
