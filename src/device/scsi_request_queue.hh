// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>
#include <utility>

#include "device/device_queue.hh"
#include "device/scsi_layout.hh"
#include "scsi/command.hh"
#include "scsi/domain.hh"
#include "scsi/task.hh"
#include "scsi/task_queue.hh"

namespace sidecore::device {

/// What the driver has chosen. Written by control threads, read by workers.
struct ScsiChoices {
    std::atomic<bool> both_directions{false};  ///< VIRTIO_SCSI_F_INOUT
    // What it has written to the configuration space:
    std::atomic<std::uint32_t> sense{scsi_host::default_sense_size};
    std::atomic<std::uint32_t> cdb{scsi_host::default_cdb_size};

    static constexpr std::uint32_t sense_max = 252;  ///< SPC-4 4.5.1
    static constexpr std::uint32_t cdb_min = 6;
    static constexpr std::uint32_t cdb_max = 260;  ///< SPC-4 4.2.3
};

/// A request queue of a SCSI device (VIRTIO 1.3, 5.6.6.1): ring → tasks → the domain's logical units, in batches, and back.
///
/// Thread: as DeviceQueue. No lock or system call of its own per request.
///
/// Invariants:
///  1. A slot is free, or holds exactly one request of the driver, whose task is under way. There are as many as chains in the ring.
///  2. Whatever a request says, its response is written once; only a request that has no room for header or response breaks the queue.
///  3. Before the tasks that somebody wants to end are looked for, every request that the driver has made available is taken: none that was
///     sent before a task management function begins after it has been answered.
///  4. A queue that no worker has holds nobody up: task management functions do not wait for it.
class ScsiRequestQueue final : public DeviceQueue {
public:
    /// Data segments of one request.
    static constexpr std::size_t seg_max_possible = 1024;

    /// `choices` and `domain` outlive the queue.
    static Result<std::unique_ptr<ScsiRequestQueue>> create(std::string name, virtqueue::SplitQueue ring,
                                                            Notifiers notifiers, const ScsiChoices& choices,
                                                            scsi::Domain& domain);

    engine::Turn serve(std::uint32_t budget) noexcept override;
    engine::Reaped reap() noexcept override;
    std::uint32_t in_flight() const noexcept override { return slot_count_ - static_cast<std::uint32_t>(free_count_); }
    int completion_fd() const noexcept override { return tasks_->completion_fd(); }
    engine::Turn done_elsewhere() noexcept override { return std::exchange(elsewhere_, {}); }
    void entered() noexcept override;
    void left() noexcept override;

private:
    static constexpr std::size_t response_bytes_max = sizeof(scsi_host::ResponseHeader) + ScsiChoices::sense_max;
    /// Data, and the headers in as many pieces as they have bytes.
    static constexpr std::size_t segments_per_slot =
        seg_max_possible + sizeof(scsi_host::RequestHeader) + ScsiChoices::cdb_max + response_bytes_max;
    static constexpr std::uint32_t batch_size = 32;

    struct Slot : scsi::Task {
        std::uint64_t taken_at = 0;  // cycles
        std::uint16_t head = 0;
        std::uint16_t response_pieces = 0;
        std::uint32_t sense_size = 0;
        std::array<std::byte, scsi::Command::cdb_bytes_max> cdb_copy;
    };

    ScsiRequestQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers, const ScsiChoices& choices,
                     std::unique_ptr<scsi::TaskQueue> tasks);

    std::uint32_t take(std::uint32_t limit, engine::Turn& turn) noexcept;
    bool start(Slot& slot, virtqueue::DescriptorChain& chain, engine::Turn& turn) noexcept;
    void finish(engine::Turn& turn) noexcept;
    void attend() noexcept;
    void reap_tasks() noexcept;
    void complete(Slot& slot, scsi_host::Response response) noexcept;

    std::span<iovec> segments_of(const Slot& slot) noexcept;
    std::span<iovec> response_of(const Slot& slot) noexcept;

    const ScsiChoices& choices_;
    const std::unique_ptr<scsi::TaskQueue> tasks_;
    const std::uint32_t slot_count_;
    std::size_t free_count_;
    std::unique_ptr<Slot*[]> free_;
    std::unique_ptr<Slot[]> slots_;
    std::uint32_t completed_ = 0;  // since the last publish
    engine::Turn elsewhere_;       // taken outside of a turn, not told to the engine yet
    std::uint32_t taken_since_turn_ = 0;
    // Large, and touched only as far as requests are large.
    std::unique_ptr<iovec[]> segments_;
    std::unique_ptr<iovec[]> responses_;
};

}  // namespace sidecore::device
