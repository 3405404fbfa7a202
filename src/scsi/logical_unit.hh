// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "scsi/codes.hh"
#include "scsi/sense.hh"
#include "scsi/task.hh"
#include "storage/block_backend.hh"

namespace sidecore::scsi {

class Nexus;

/// A disk as SCSI sees it: the device server of a logical unit (SAM-5 4.8) over a storage back-end. Several domains, that is
/// devices, may have it at the same time, each through a nexus of its own.
///
/// Thread: any. What all commands look at is atomic; the rest is guarded by mutexes that are held for no I/O.
class LogicalUnit {
public:
    struct Options {
        std::string name = "disk";             ///< for the log; the unit's identity if there is no serial
        std::string serial{};                  ///< UNIT SERIAL NUMBER, up to 32 printable characters; empty: the name
        std::string vendor = "SIDECORE";       ///< up to 8 printable characters
        std::string product = "virtual disk";  ///< up to 16
        std::string revision = "0001";         ///< up to 4
        bool read_only = false;                ///< also if the storage back-end is
        bool rotational = false;               ///< what MEDIUM ROTATION RATE says
        std::string reservations_file{};  ///< where persistent reservations are kept with APTPL; empty: they cannot be
    };

    static constexpr std::size_t serial_bytes_max = 32;

    /// Error: invalid_argument names the option.
    static Result<std::shared_ptr<LogicalUnit>> create(std::unique_ptr<storage::BlockBackend> backend, Options options);
    ~LogicalUnit();
    LogicalUnit(const LogicalUnit&) = delete;
    LogicalUnit& operator=(const LogicalUnit&) = delete;

    const Options& options() const noexcept { return options_; }
    const std::string& serial() const noexcept { return options_.serial; }

    /// NAA of the logical unit: what guests know the disk by.
    std::uint64_t identity() const noexcept { return identity_; }

    // The medium.
    const storage::BlockBackend& backend() const noexcept { return *backend_; }
    const storage::BlockGeometry& geometry() const noexcept {
        return geometry_;
    }  ///< at create(); the capacity is capacity_blocks()

    /// One line for a person.
    std::string description() const;

    std::uint32_t block_bytes() const noexcept { return geometry_.logical_block_bytes; }
    std::uint64_t capacity_blocks() const noexcept { return capacity_blocks_.load(std::memory_order_relaxed); }
    bool in_range(std::uint64_t lba, std::uint64_t blocks) const noexcept {
        const std::uint64_t capacity = capacity_blocks();
        return lba <= capacity && blocks <= capacity - lba;
    }

    /// Makes the disk longer or shorter; 0: takes over what the storage has become. Every nexus gets CAPACITY DATA HAS CHANGED, and
    /// every domain hears of it.
    Result<void> resize(std::uint64_t capacity_bytes);

    /// For one more task queue.
    Result<std::unique_ptr<storage::BlockQueue>> open_queue(std::uint32_t depth);

    // What every command looks at.
    bool read_only() const noexcept { return read_only_; }
    bool write_protected() const noexcept {
        return read_only_ || software_write_protected.load(std::memory_order_relaxed);
    }
    SenseFormat sense_format() const noexcept {
        return descriptor_sense.load(std::memory_order_relaxed) ? SenseFormat::descriptor : SenseFormat::fixed;
    }
    /// Whether a write has to be stable when it ends.
    bool durable(bool force_unit_access) const noexcept {
        return force_unit_access || !write_cache.load(std::memory_order_relaxed);
    }
    std::atomic<bool> write_cache{true};                ///< WCE of the caching mode page
    std::atomic<bool> descriptor_sense{false};          ///< D_SENSE of the control mode page
    std::atomic<bool> software_write_protected{false};  ///< SWP of the control mode page
    std::atomic<bool> stopped{false};                   ///< by START STOP UNIT
    std::atomic<bool> sanitizing{false};                ///< commands that need the medium fail

    // Nexuses.
    void attach(const std::shared_ptr<Nexus>& nexus);
    void detach(const Nexus& nexus);  ///< its reservations and its share in everything else are forgotten
    std::vector<std::shared_ptr<Nexus>> nexuses() const;

    /// A unit attention for every nexus but one.
    void raise(AdditionalSense code, const Nexus* except = nullptr);

    /// Ends all tasks of the nexuses that `of` picks (null: of all), and calls `done`, on any thread and maybe at once, when all of them are with
    /// their initiators again.
    void abort_tasks(Outcome outcome, const std::function<bool(const Nexus&)>& of, std::function<void()> done);

    /// LOGICAL UNIT RESET (SAM-5 6.3.3), without the end of its tasks.
    void reset();

    /// I_T NEXUS LOSS for one of them (SAM-5 6.3.4), likewise.
    void nexus_lost(Nexus& nexus);

private:
    LogicalUnit(std::unique_ptr<storage::BlockBackend> backend, Options options,
                const storage::BlockGeometry& geometry);

    const std::unique_ptr<storage::BlockBackend> backend_;
    mutable std::mutex backend_mutex_;  // its control calls come one at a time
    const storage::BlockGeometry geometry_;
    const Options options_;
    const std::uint64_t identity_;
    const bool read_only_;
    std::atomic<std::uint64_t> capacity_blocks_;

    mutable std::mutex nexuses_mutex_;
    std::vector<std::shared_ptr<Nexus>> nexuses_;
};

}  // namespace sidecore::scsi
