// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "base/error.hh"
#include "frontend/blk_requests.hh"

namespace sidecore::endpoint {

/// Reads and writes at random on a part of a disk that belongs to it alone and is empty at first, each read compared with what was written.
/// Sizes, layouts and the order of completion vary; requests in flight do not overlap.
///
/// Thread: the queue's.
class VerifiedLoad {
public:
    struct Range {
        std::uint64_t first_sector = 0;
        std::uint64_t sectors = 4096;  ///< a multiple of 8
    };

    /// `indirect`: whether some requests may use an indirect table.
    VerifiedLoad(const Range& range, std::uint64_t seed, bool indirect = true);

    /// So many requests, up to `depth` at a time. Errors: a request failed, or data is not what it should be.
    Result<void> run(frontend::BlkRequests& requests, std::uint64_t count, std::size_t depth);

    /// Compares all that was ever written.
    Result<void> compare_all(frontend::BlkRequests& requests) const;

    std::uint64_t reads() const noexcept { return reads_; }
    std::uint64_t writes() const noexcept { return writes_; }

private:
    static constexpr std::uint64_t sectors_per_cell = 8;
    static constexpr std::size_t cell_bytes = sectors_per_cell * frontend::blk_sector_bytes;

    struct InFlight {
        frontend::BlkType type = frontend::BlkType::read;
        std::size_t cell = 0;
        std::size_t cells = 0;
        std::vector<std::byte> data;
    };

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    bool choose_place(InFlight& request);
    frontend::BlkLayout choose_layout(std::size_t out, std::size_t in);
    Result<bool> start(frontend::BlkRequests& requests);
    Result<void> finish(const frontend::BlkFinished& finished);

    const Range range_;
    const bool indirect_;
    std::mt19937_64 random_;
    std::vector<std::byte> model_;
    std::vector<bool> busy_;  // cells
    std::map<std::uint64_t, InFlight> in_flight_;
    std::uint64_t reads_ = 0;
    std::uint64_t writes_ = 0;
};

}  // namespace sidecore::endpoint
