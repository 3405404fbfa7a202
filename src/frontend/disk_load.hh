// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/big_endian.hh"
#include "base/error.hh"
#include "frontend/blk_format.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"
#include "frontend/scsi_format.hh"

namespace sidecore::frontend {

enum class DiskProtocol : std::uint8_t { blk, scsi };

/// Reads and writes of one size on one queue of a block or a SCSI device, as fast as one core can ask for them.
///
/// Each slot is one request that may be in flight, formatted when the load is made: its descriptors stay as they are,
/// so the device finds them in its own cache. A block request's header and status share one cache line, which travels to the device
/// and back once per request; a SCSI request's header and answer are too large for one and have a line each (the sense data, which follows
/// the answer, is not touched). Nothing here allocates or enters the kernel; publishing and kicking are the queue's.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions.
class DiskLoad {
public:
    enum class Access : std::uint8_t { read, write };

    struct Options {
        DiskProtocol protocol = DiskProtocol::blk;
        ScsiLun lun =
            scsi_lun(0, 0);  ///< a SCSI device's; its blocks have 512 bytes, and READ (10) reaches the first 2 TiB
        std::uint16_t depth = 32;          ///< slots
        std::uint32_t block_bytes = 4096;  ///< data of each request; a multiple of 512, SCSI's at most 65,535 times
        bool indirect = false;             ///< one descriptor of the ring per request instead of three

        /// Write the three descriptors again for each request, as a guest's driver does, which has other buffers each
        /// time. They then travel to the device too: one or two cache lines more.
        bool rewrite_descriptors = false;
    };

    struct Finished {
        std::uint16_t slot = 0;
        /// 0: done. A block device's status; a SCSI device's response, or else the status.
        std::uint8_t status = 0;
    };

    /// Errors: invalid_argument; out_of_range when memory or descriptors do not suffice.
    static Result<DiskLoad> create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options);

    std::size_t idle() const noexcept { return idle_count_; }
    std::size_t depth() const noexcept { return slots_.size(); }

    /// Offers a request from an idle slot (there must be one) and returns which.
    std::uint16_t start(Access access, std::uint64_t sector) noexcept {
        const std::uint16_t index = idle_[--idle_count_];
        Slot& slot = slots_[index];
        if (slot.access != access) {
            turn(slot, access);
        }
        if (protocol_ == DiskProtocol::blk) {
            const BlkHeader header{
                .type = static_cast<std::uint32_t>(access == Access::read ? BlkType::read : BlkType::write),
                .reserved = std::uint32_t{0},
                .sector = sector};
            std::memcpy(slot.line, &header, sizeof header);
        } else {
            store_big_endian({slot.line + cdb_offset + 2, 4}, sector);
        }
        slot.line[written_offset_] = not_written;
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
    static constexpr std::size_t batch = 64;
    static constexpr std::byte not_written{0xff};

    // Of a slot's lines.
    static constexpr std::size_t blk_status_offset = sizeof(BlkHeader);
    static constexpr std::size_t cdb_offset = sizeof(ScsiHeader);
    static constexpr std::size_t answer_offset = 64;

    struct Slot {
        std::byte* line = nullptr;  ///< header, answer
        std::uint16_t head = 0;
        Access access = Access::read;
        memory::GuestAddress line_address;
        GuestBuffer data;
        std::array<Descriptor*, 3> shared{};      ///< where the device sees them
        std::array<Descriptor, 3> descriptors{};  ///< and what is there
    };

    DiskLoad(DriverQueue& queue, const Options& options);
    Result<void> add_slot(GuestMemoryFile& memory, const GuestBuffer& line, const Options& options);
    std::array<Piece, 3> pieces(const Slot& slot, Access access) const noexcept;
    void prepare_header(Slot& slot, const ScsiLun& lun) noexcept;
    void turn(Slot& slot, Access access) noexcept;
    std::uint8_t status_of(const std::byte* line) const noexcept;

    DriverQueue* queue_;
    DiskProtocol protocol_;
    std::size_t written_offset_;  // what the device writes last says so, and that it has written
    bool rewrite_descriptors_;
    std::vector<Slot> slots_;
    std::vector<std::uint16_t> slot_of_head_;
    std::vector<std::uint16_t> idle_;
    std::size_t idle_count_ = 0;
    std::array<Used, batch> used_{};
};

}  // namespace sidecore::frontend
