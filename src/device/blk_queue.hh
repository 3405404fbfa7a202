// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device/blk_device.hh"
#include "device/blk_layout.hh"
#include "device/device_queue.hh"
#include "storage/block_backend.hh"

namespace sidecore::device {

/// One request queue of a block device: ring → requests → storage back-end, in batches, and back.
///
/// Thread: as DeviceQueue. No allocation, lock or system call of its own per request.
///
/// Invariants:
///  1. A slot is free, or holds exactly one request of the driver, which is in the storage back-end's hands.
///  2. Whatever a request says, its slot comes back and its status is written once; only a request that has
///  no room for
///     header or status breaks the queue.
///  3. With all slots taken, a turn ends as held; the completion of any request owes the resume.
class BlkQueue final : public DeviceQueue {
public:
    /// Requests in flight: what the storage back-end gets at a time, whatever the ring's size.
    static constexpr std::uint32_t max_in_flight = 256;

    static Result<std::unique_ptr<BlkQueue>> create(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers,
                                                    const BlkShared& shared, storage::BlockBackend& backend);

    engine::Turn serve(std::uint32_t budget) noexcept override;
    engine::Reaped reap() noexcept override;
    std::uint32_t in_flight() const noexcept override { return slot_count_ - static_cast<std::uint32_t>(free_count_); }
    int completion_fd() const noexcept override { return storage_->completion_fd(); }

private:
    /// The data of seg_max_possible segments, and header and status in as many pieces as they have bytes.
    static constexpr std::size_t segments_per_slot = BlkDevice::seg_max_possible + sizeof(blk::RequestHeader) + 1;
    static constexpr std::uint32_t batch_size = 32;

    struct Slot : storage::BlockRequest {
        std::uint64_t taken_at = 0;  // cycles
        std::uint16_t head = 0;
        std::uint16_t ranges = 0;       // discard and write zeroes: segments of the request
        std::uint16_t ranges_done = 0;  // of them, the one in the storage back-end's hands
        std::uint32_t used_if_ok = 0;   // the used length if all goes well
        std::uint32_t used_if_failed = 0;
        std::byte* status = nullptr;
    };
    using Ranges = std::array<blk::RangeSegment, BlkDevice::max_range_segments>;

    BlkQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers, const BlkShared& shared,
             std::unique_ptr<storage::BlockQueue> storage, std::uint32_t slots);

    std::uint32_t serve_batch(std::uint32_t limit, engine::Turn& turn) noexcept;
    void start(Slot& slot, virtqueue::DescriptorChain& chain, engine::Turn& turn) noexcept;
    void start_transfer(Slot& slot, std::uint64_t sector, std::span<iovec> data, std::uint64_t bytes) noexcept;
    void start_ranges(Slot& slot, blk::RequestType type, std::span<iovec> data, std::uint64_t bytes) noexcept;
    void start_range(Slot& slot) noexcept;
    void answer_id(Slot& slot, std::span<iovec> room) noexcept;
    bool reap_storage() noexcept;
    void complete(Slot& slot, blk::Status status) noexcept;
    void submit() noexcept;
    void finish(engine::Turn& turn) noexcept;

    bool in_range(std::uint64_t sector, std::uint64_t sectors) const noexcept;
    std::span<iovec> segments_of(const Slot& slot) noexcept;
    Ranges& ranges_of(const Slot& slot) noexcept { return ranges_[static_cast<std::size_t>(&slot - slots_.get())]; }

    const BlkShared& shared_;
    std::unique_ptr<storage::BlockQueue> storage_;
    const std::uint32_t slot_count_;
    std::size_t free_count_;
    std::unique_ptr<Slot*[]> free_;
    std::unique_ptr<Slot[]> slots_;
    std::array<storage::BlockRequest*, batch_size> batch_{};
    std::size_t batched_ = 0;
    std::uint32_t completed_ = 0;  // since the last publish
    // Large, and touched only as far as requests are large.
    std::unique_ptr<iovec[]> segments_;
    std::unique_ptr<Ranges[]> ranges_;
};

}  // namespace sidecore::device
