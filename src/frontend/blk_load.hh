// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/error.hh"
#include "frontend/blk_format.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"

namespace sidecore::frontend {

/// Reads and writes of one size on one queue, as fast as one core can ask for them.
///
/// Each slot is one request that may be in flight, formatted when the load is made: its descriptors stay as they are,
/// so the device finds them in its own cache, and header and status share one cache line, which travels to the device
/// and back once per request. Nothing here allocates or enters the kernel; publishing and kicking are the queue's.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions.
class BlkLoad {
public:
    struct Options {
        std::uint16_t depth = 32;          ///< slots
        std::uint32_t block_bytes = 4096;  ///< data of each request; a multiple of 512
        bool indirect = false;             ///< one descriptor of the ring per request instead of three

        /// Write the three descriptors again for each request, as a guest's driver does, which has other buffers each
        /// time. They then travel to the device too: one or two cache lines more.
        bool rewrite_descriptors = false;
    };

    struct Finished {
        std::uint16_t slot = 0;
        BlkStatus status = BlkStatus::not_written;
    };

    static Result<BlkLoad> create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options);

    std::size_t idle() const noexcept { return idle_count_; }
    std::size_t depth() const noexcept { return slots_.size(); }

    /// Offers a request from an idle slot (there must be one) and returns which. `type` is read or write.
    std::uint16_t start(BlkType type, std::uint64_t sector) noexcept {
        const std::uint16_t index = idle_[--idle_count_];
        Slot& slot = slots_[index];
        if (slot.type != type) {
            turn(slot, type);
        }
        const BlkHeader header{
            .type = static_cast<std::uint32_t>(type), .reserved = std::uint32_t{0}, .sector = sector};
        std::memcpy(slot.line, &header, sizeof header);
        slot.line[status_offset] = static_cast<std::byte>(BlkStatus::not_written);
        if (rewrite_descriptors_) {
            for (std::size_t i = 0; i < slot.shared.size(); ++i) {
                std::memcpy(slot.shared[i], &slot.descriptors[i], sizeof(Descriptor));
            }
        }
        queue_->offer(slot.head);
        return index;
    }

    /// Takes up to finished.size() requests that the device has finished, whose slots are idle again; returns how many.
    std::size_t finish(std::span<Finished> finished) noexcept;

    std::span<std::byte> data(std::uint16_t slot) const noexcept { return slots_[slot].data.bytes(); }
    DriverQueue& queue() noexcept { return *queue_; }

private:
    static constexpr std::size_t status_offset = sizeof(BlkHeader);
    static constexpr std::size_t batch = 64;

    struct Slot {
        std::byte* line = nullptr;  ///< header, status
        std::uint16_t head = 0;
        BlkType type = BlkType::read;
        GuestBuffer data;
        std::array<Descriptor*, 3> shared{};      ///< header, data, status: where the device sees them
        std::array<Descriptor, 3> descriptors{};  ///< and what is there
    };

    BlkLoad(DriverQueue& queue, const Options& options)
        : queue_(&queue), rewrite_descriptors_(options.rewrite_descriptors) {}
    Result<void> add_slot(GuestMemoryFile& memory, const GuestBuffer& line, const Options& options);
    static void turn(Slot& slot, BlkType type) noexcept;

    DriverQueue* queue_;
    bool rewrite_descriptors_;
    std::vector<Slot> slots_;
    std::vector<std::uint16_t> slot_of_head_;
    std::vector<std::uint16_t> idle_;
    std::size_t idle_count_ = 0;
    std::array<Used, batch> used_{};
};

}  // namespace sidecore::frontend
