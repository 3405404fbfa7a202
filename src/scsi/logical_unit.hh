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
#include "scsi/copy_results.hh"
#include "scsi/error_counters.hh"
#include "scsi/exclusion.hh"
#include "scsi/mode_pages.hh"
#include "scsi/reservations.hh"
#include "scsi/sense.hh"
#include "scsi/task.hh"
#include "storage/block_backend.hh"

namespace sidecore::scsi {

class Nexus;
class Sanitizer;

/// What a SANITIZE command that failed has left (SBC-3 4.11.4): a medium that nothing but another one may touch.
enum class SanitizeFailure : std::uint8_t {
    none,
    unrestricted,  ///< EXIT FAILURE MODE ends it
    restricted,    ///< nothing else does
};

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
        std::string state_file{};              ///< where saved mode pages are kept; empty: they cannot be saved
        std::string reservations_file{};  ///< where persistent reservations are kept with APTPL; empty: they cannot be
    };

    static constexpr std::size_t serial_bytes_max = 32;

    /// Error: invalid_argument names the option, or says what is wrong with the state file.
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
    std::atomic<bool> write_cache{true};                                  ///< WCE of the caching mode page
    std::atomic<bool> descriptor_sense{false};                            ///< D_SENSE of the control mode page
    std::atomic<bool> software_write_protected{false};                    ///< SWP of the control mode page
    std::atomic<bool> stopped{false};                                     ///< by START STOP UNIT
    std::atomic<bool> sanitizing{false};                                  ///< commands that need the medium fail
    std::atomic<std::uint16_t> sanitize_progress{0};                      ///< of 65536, while sanitizing
    std::atomic<SanitizeFailure> sanitize_failed{SanitizeFailure::none};  ///< likewise

    // Mode pages.
    ModeSettings mode_settings() const;
    ModeSettings default_mode_settings() const noexcept { return {geometry_.volatile_write_cache, false, false}; }
    ModeSettings saved_mode_settings() const;  ///< the defaults, if none have been saved
    bool can_save_mode_settings() const noexcept { return !options_.state_file.empty(); }

    struct ModeTransition {
        ModeSettings before;
        ModeSettings after;
    };
    /// `save`: writes the state file first, or nothing is changed. Waits for that, as other savers do meanwhile, and nobody else.
    Result<ModeTransition> change_mode(const ModeChanges& changes, bool save);

    // What log pages tell.
    ErrorCounters& error_counters() noexcept { return error_counters_; }

    // Nexuses.
    void attach(const std::shared_ptr<Nexus>& nexus);
    void detach(const Nexus& nexus);  ///< its reservations and its share in everything else are forgotten
    std::vector<std::shared_ptr<Nexus>> nexuses() const;
    void visit(const std::function<void(Nexus&)>& visitor) const;  ///< calls it for each, with the list locked

    Reservations& reservations() noexcept { return reservations_; }
    const Reservations& reservations() const noexcept { return reservations_; }

    /// A unit attention for every nexus but one.
    void raise(AdditionalSense code, const Nexus* except = nullptr);

    /// Ends all tasks of the nexuses that `of` picks (null: of all), and calls `done`, on any thread and maybe at once, when all of them are with
    /// their initiators again. Not `except`, a task that waits for that.
    void abort_tasks(Outcome outcome, const std::function<bool(const Nexus&)>& of, std::function<void()> done,
                     const Task* except = nullptr);

    /// Parts of the medium that one command has to itself.
    Exclusions& exclusions() noexcept { return exclusions_; }

    Sanitizer& sanitizer() noexcept { return *sanitizer_; }
    CopyResults& copy_results() noexcept { return copy_results_; }

    /// Calls `done` when all requests of task queues that change this part of the medium now are over; on any thread and maybe at once. Those to
    /// come are the caller's to keep out, by a hold of exclusions().
    void settle_changes(const MediumRange& range, std::function<void()> done);

    /// LOGICAL UNIT RESET (SAM-5 6.3.3), without the end of its tasks.
    void reset();

    /// I_T NEXUS LOSS for one of them (SAM-5 6.3.4), likewise.
    void nexus_lost(Nexus& nexus);

private:
    LogicalUnit(std::unique_ptr<storage::BlockBackend> backend, Options options, const storage::BlockGeometry& geometry,
                ReservationFile reservation_file, ReservationState reserved);

    ModeSettings current_mode_settings() const noexcept;
    void set_mode_settings(const ModeSettings& settings) noexcept;

    const std::unique_ptr<storage::BlockBackend> backend_;
    mutable std::mutex backend_mutex_;  // its control calls come one at a time
    const storage::BlockGeometry geometry_;
    const Options options_;
    const std::uint64_t identity_;
    const bool read_only_;
    std::atomic<std::uint64_t> capacity_blocks_;

    Exclusions exclusions_;
    CopyResults copy_results_;
    mutable std::mutex mode_mutex_;  // guards changes of the settings above, and what follows
    std::optional<ModeSettings> saved_mode_;
    std::mutex state_file_mutex_;  // one writer at a time
    ErrorCounters error_counters_;

    // Held while a nexus's domain is called, which may be taken away otherwise. So it comes before a domain's mutexes.
    mutable std::mutex nexuses_mutex_;
    std::vector<std::shared_ptr<Nexus>> nexuses_;

    // The last ones: at the end they may still be at work.
    const std::unique_ptr<Sanitizer> sanitizer_;
    Reservations reservations_;
};

}  // namespace sidecore::scsi
