// SPDX-License-Identifier: Apache-2.0
#include "frontend/blk_load.hh"

#include <algorithm>
#include <cstring>

namespace sidecore::frontend {

namespace {

// One line for each slot, and the next one left free: CPUs fetch lines in pairs, and two slots are at different stages.
constexpr std::uint64_t line_stride = 128;
constexpr std::uint64_t data_alignment = 4096;

}  // namespace

Result<BlkLoad> BlkLoad::create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options) {
    if (options.depth == 0 || options.block_bytes == 0 || options.block_bytes % blk_sector_bytes != 0) {
        return failure(ErrorKind::invalid_argument, "a load needs a depth and whole sectors");
    }
    BlkLoad load(queue, options);
    load.slot_of_head_.resize(queue.size());
    load.slots_.reserve(options.depth);
    SIDECORE_TRY_ASSIGN(const GuestBuffer lines, memory.allocate(options.depth * line_stride, line_stride));
    for (std::uint64_t i = 0; i < options.depth; ++i) {
        const GuestBuffer line{
            .address = lines.address + i * line_stride, .host = lines.host + i * line_stride, .size = line_stride};
        SIDECORE_TRY(load.add_slot(memory, line, options));
    }
    return load;
}

Result<void> BlkLoad::add_slot(GuestMemoryFile& memory, const GuestBuffer& line, const Options& options) {
    Slot slot;
    slot.line = line.host;
    SIDECORE_TRY_ASSIGN(slot.data, memory.allocate(options.block_bytes, data_alignment));
    const std::array<Piece, 3> pieces{
        Piece{.address = line.address, .length = sizeof(BlkHeader), .device_writable = false},
        Piece{.address = slot.data.address, .length = options.block_bytes, .device_writable = true},
        Piece{.address = line.address + status_offset, .length = 1, .device_writable = true},
    };
    std::optional<std::uint16_t> head;
    Descriptor* table = nullptr;
    std::uint16_t index = 0;
    if (options.indirect) {
        SIDECORE_TRY_ASSIGN(const GuestBuffer place, memory.allocate(pieces.size() * sizeof(Descriptor), 64));
        head = queue_->format({}, pieces, place);
        table = reinterpret_cast<Descriptor*>(place.host);
    } else {
        head = queue_->format(pieces);
        table = reinterpret_cast<Descriptor*>(queue_->ring().descriptor_area().host);
        index = head.value_or(0);
    }
    if (!head) {
        return failure(ErrorKind::out_of_range, "the queue has too few descriptors for this depth");
    }
    slot.head = *head;
    for (std::size_t i = 0; i < slot.shared.size(); ++i) {
        slot.shared[i] = &table[index];
        slot.descriptors[i] = *slot.shared[i];
        index = slot.descriptors[i].next;
    }
    slot_of_head_[slot.head] = static_cast<std::uint16_t>(slots_.size());
    idle_.push_back(static_cast<std::uint16_t>(slots_.size()));
    ++idle_count_;
    slots_.push_back(slot);
    return {};
}

void BlkLoad::turn(Slot& slot, BlkType type) noexcept {
    Descriptor& data = slot.descriptors[1];
    const std::uint16_t flags = data.flags;
    data.flags = static_cast<std::uint16_t>(type == BlkType::read ? flags | descriptor_device_writable
                                                                  : flags & ~unsigned{descriptor_device_writable});
    *slot.shared[1] = data;
    slot.type = type;
}

std::size_t BlkLoad::finish(std::span<Finished> finished) noexcept {
    const std::size_t count = queue_->reap(std::span(used_).first(std::min<std::size_t>(batch, finished.size())));
    // The device has just written these lines. All are asked for before the first is looked at, and for writing: the
    // slots' next headers go there.
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint16_t index = slot_of_head_[used_[i].head];
        __builtin_prefetch(slots_[index].line, 1);
        finished[i].slot = index;
    }
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint16_t index = finished[i].slot;
        finished[i].status = static_cast<BlkStatus>(std::to_integer<std::uint8_t>(slots_[index].line[status_offset]));
        idle_[idle_count_++] = index;
    }
    return count;
}

}  // namespace sidecore::frontend
