// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>
#include <variant>

#include "base/error.hh"
#include "frontend/blk_driver.hh"
#include "frontend/disk_load.hh"
#include "frontend/scsi_driver.hh"

namespace sidecore::bench {

/// A virtual machine as its disk sees it: a driver that has started its queues, and how large the disk is.
///
/// Thread: one, but that each queue may be used by a thread of its own.
class DiskVm {
public:
    struct Options {
        std::uint16_t queues = 1;
        frontend::QueueOptions queue{};
        std::uint64_t load_bytes = 0;  ///< guest memory for what the load has in flight
    };

    /// Connects to a block device, or to a SCSI device whose target 0 has a unit 0 with blocks of 512 bytes.
    static Result<DiskVm> start(frontend::DiskProtocol protocol, const std::filesystem::path& socket,
                                const Options& options);

    /// Those for requests.
    std::span<frontend::DriverQueue> queues();
    frontend::GuestMemoryFile& memory();
    std::uint64_t capacity_sectors() const noexcept { return capacity_sectors_; }

    /// Stops the queues: nothing is in flight afterwards.
    Result<void> stop();

private:
    using Driver = std::variant<frontend::BlkDriver, frontend::ScsiDriver>;

    DiskVm(Driver driver, std::uint64_t capacity_sectors)
        : driver_(std::move(driver)), capacity_sectors_(capacity_sectors) {}
    static Result<DiskVm> start_blk(const std::filesystem::path& socket, const Options& options);
    static Result<DiskVm> start_scsi(const std::filesystem::path& socket, const Options& options);

    Driver driver_;
    std::uint64_t capacity_sectors_;
};

}  // namespace sidecore::bench
