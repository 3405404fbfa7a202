// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <sys/uio.h>

#include "scsi/command.hh"
#include "scsi/exclusion.hh"
#include "scsi/task.hh"
#include "storage/block_backend.hh"

namespace sidecore::scsi {

class Domain;
class LogicalUnit;
class Nexus;

/// A task being carried out: what a command's function works with. The function is called with stage() 0; each time it returns
/// Progress::storage, it is called again, one stage on, when that is done.
///
/// Thread: the task queue's owner. What the logical unit and the nexus share with other queues is guarded there.
class Operation final : public storage::BlockRequest {
public:
    Operation() = default;
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

    // What it is about.
    Task& task() noexcept { return *task_; }
    Domain& domain() noexcept { return *domain_; }
    LogicalUnit& unit() noexcept { return *unit_; }  ///< if has_unit()
    Nexus& nexus() noexcept { return *nexus_; }      ///< likewise
    bool has_unit() const noexcept { return unit_ != nullptr; }
    bool on_report_luns_unit() const noexcept { return task_->lun && task_->lun->well_known(); }
    const Command& command() const noexcept { return *command_; }

    // Fields of the CDB. Bytes that it lacks are zero.
    std::uint8_t byte(std::size_t at) const noexcept { return std::to_integer<std::uint8_t>(cdb_[at]); }
    bool bit(std::size_t at, unsigned number) const noexcept { return (byte(at) >> number & 1U) != 0; }
    /// Bits `high` to `low` of byte `at`.
    std::uint8_t bits(std::size_t at, unsigned high, unsigned low) const noexcept {
        return static_cast<std::uint8_t>(byte(at) >> low & ((1U << (high - low + 1U)) - 1U));
    }
    std::uint64_t field(std::size_t at, std::size_t bytes) const noexcept;

    // Ends of it. Each returns Progress::done, so that a function can return what they return.
    Progress good() noexcept { return end(Status::good); }
    Progress end(Status status) noexcept;
    Progress fail(const Sense& sense) noexcept;  ///< CHECK CONDITION
    Progress fail(SenseKey key, AdditionalSense code) noexcept { return fail(Sense{key, code}); }
    Progress invalid_field(std::uint16_t byte, std::optional<std::uint8_t> bit = {}) noexcept;
    Progress invalid_parameter(std::uint16_t byte, std::optional<std::uint8_t> bit = {}) noexcept;
    Progress overrun() noexcept;

    /// What a failed storage request means to the initiator. The result is not 0.
    Progress storage_failed() noexcept;

    /// Sends the first `allocation_length` bytes of `data` and ends well; one whose buffer is shorter than that is an overrun.
    Progress reply(std::span<const std::byte> data, std::uint64_t allocation_length) noexcept;

    /// Copies the next bytes of the data-out buffer and takes them off. False: there are not so many; overrun() is due.
    bool take_parameters(std::span<std::byte> out) noexcept;

    // The storage request. Each returns Progress::storage.
    Progress read(std::uint64_t offset, std::uint64_t length, std::span<iovec> pieces) noexcept;
    Progress write(std::uint64_t offset, std::uint64_t length, std::span<iovec> pieces, bool stable) noexcept;
    Progress read(std::uint64_t offset, std::span<std::byte> host) noexcept;
    Progress write(std::uint64_t offset, std::span<std::byte> host, bool stable) noexcept;
    Progress flush() noexcept { return ask(storage::BlockOperation::flush, 0, 0); }
    Progress ask(storage::BlockOperation what, std::uint64_t offset, std::uint64_t length,
                 bool stable = false) noexcept;

    // The function's own, from one stage to the next. All zero at first.
    unsigned stage() const noexcept { return stage_; }
    std::uint64_t position = 0;
    std::uint64_t remaining = 0;

    std::shared_ptr<void> shared;  ///< with others that may outlast the operation; let go of at its end

    /// Memory of at least `bytes`, the same at each stage; contents are not set at first. Empty: there is none, and TASK SET FULL is due.
    std::span<std::byte> buffer(std::size_t bytes) noexcept;

    /// A part of the unit's medium that this task has to itself, until it ends or lets go.
    std::shared_ptr<Exclusions::Hold> exclusion;

    /// Whether the task has this part of the medium to itself and no request of others changes it any more. If not so, Progress::waiting
    /// is due, and then the same question again.
    bool have_alone(const MediumRange& range);

    /// Whatever else goes when the task ends, in whatever manner.
    std::shared_ptr<void> companion;

    /// Storage requests go to another logical unit of the domain from now on, or back to the task's own. False: it is not there any more.
    bool use_storage_of(const Nexus& nexus) noexcept;

    /// For Progress::waiting: what to call, from any thread, when the function is to be called again. It may be called late or more
    /// than once.
    std::function<void()> waker();

private:
    friend class TaskQueue;
    enum class Place : std::uint8_t { free, held, storage, kept_out, waiting, finished };

    void count_error() noexcept;

    Task* task_ = nullptr;
    Domain* domain_ = nullptr;
    LogicalUnit* unit_ = nullptr;
    Nexus* nexus_ = nullptr;
    const Command* command_ = nullptr;
    class TaskQueue* queue_ = nullptr;
    struct TaskPort* port_ = nullptr;
    struct TaskPort* storage_port_ = nullptr;  // whose storage the requests go to; counted as running there as well
    Operation* next_ = nullptr;                // among the free ones, or those held
    std::uint64_t generation_ = 0;
    Place place_ = Place::free;
    bool counted_ = false;  // among those that run on their port
    bool cancelled_ = false;
    Outcome cancelled_as_ = Outcome::aborted;
    unsigned stage_ = 0;
    iovec single_{};
    std::unique_ptr<std::byte[]> buffer_;
    std::size_t buffer_bytes_ = 0;
    std::array<std::byte, Command::cdb_bytes_max> cdb_{};
};

}  // namespace sidecore::scsi
