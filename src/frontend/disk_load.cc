// SPDX-License-Identifier: Apache-2.0
#include "frontend/disk_load.hh"

#include <algorithm>
#include <bit>
#include <cstring>

namespace sidecore::frontend {

namespace {

// Slots are at different stages, and CPUs fetch lines in pairs: each slot has pairs of its own.
constexpr std::uint64_t blk_stride = 128;
constexpr std::uint64_t scsi_stride = 256;
constexpr std::uint64_t data_alignment = 4096;
constexpr std::uint32_t scsi_blocks_max = 0xffff;  // READ (10), SBC-3 5.8

constexpr std::byte read_10{0x28};
constexpr std::byte write_10{0x2a};

Piece device_reads(const memory::GuestAddress& address, std::uint64_t length) {
    return {.address = address, .length = static_cast<std::uint32_t>(length), .device_writable = false};
}

Piece device_writes(const memory::GuestAddress& address, std::uint64_t length) {
    return {.address = address, .length = static_cast<std::uint32_t>(length), .device_writable = true};
}

}  // namespace

DiskLoad::DiskLoad(DriverQueue& queue, const Options& options)
    : queue_(&queue),
      protocol_(options.protocol),
      written_offset_(protocol_ == DiskProtocol::blk ? blk_status_offset
                                                     : answer_offset + offsetof(ScsiAnswer, response)),
      rewrite_descriptors_(options.rewrite_descriptors) {}

Result<DiskLoad> DiskLoad::create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options) {
    if (options.depth == 0 || options.block_bytes == 0 || options.block_bytes % blk_sector_bytes != 0 ||
        (options.protocol == DiskProtocol::scsi && options.block_bytes / blk_sector_bytes > scsi_blocks_max)) {
        return failure(ErrorKind::invalid_argument, "a load needs a depth and whole sectors, SCSI's at most 65,535");
    }
    DiskLoad load(queue, options);
    load.slot_of_head_.resize(queue.size());
    load.slots_.reserve(options.depth);
    const std::uint64_t stride = options.protocol == DiskProtocol::blk ? blk_stride : scsi_stride;
    SIDECORE_TRY_ASSIGN(const GuestBuffer lines, memory.allocate(options.depth * stride, stride));
    for (std::uint64_t i = 0; i < options.depth; ++i) {
        const GuestBuffer line{.address = lines.address + i * stride, .host = lines.host + i * stride, .size = stride};
        SIDECORE_TRY(load.add_slot(memory, line, options));
    }
    return load;
}

/// The buffers of a request: a block device's status follows the data, a SCSI device's answer what the device reads (VIRTIO 5.2.6, 5.6.6.1).
std::array<Piece, 3> DiskLoad::pieces(const Slot& slot, Access access) const noexcept {
    const bool read = access == Access::read;
    const Piece data =
        read ? device_writes(slot.data.address, slot.data.size) : device_reads(slot.data.address, slot.data.size);
    if (protocol_ == DiskProtocol::blk) {
        return {device_reads(slot.line_address, sizeof(BlkHeader)), data,
                device_writes(slot.line_address + blk_status_offset, 1)};
    }
    const Piece header = device_reads(slot.line_address, sizeof(ScsiHeader) + scsi_usual_cdb_size);
    const Piece answer = device_writes(slot.line_address + answer_offset, sizeof(ScsiAnswer) + scsi_usual_sense_size);
    return read ? std::array{header, answer, data} : std::array{header, data, answer};
}

Result<void> DiskLoad::add_slot(GuestMemoryFile& memory, const GuestBuffer& line, const Options& options) {
    Slot slot;
    slot.line = line.host;
    slot.line_address = line.address;
    SIDECORE_TRY_ASSIGN(slot.data, memory.allocate(options.block_bytes, data_alignment));
    const std::array<Piece, 3> chain = pieces(slot, Access::read);
    std::optional<std::uint16_t> head;
    Descriptor* table = nullptr;
    std::uint16_t index = 0;
    if (options.indirect) {
        SIDECORE_TRY_ASSIGN(const GuestBuffer place, memory.allocate(chain.size() * sizeof(Descriptor), 64));
        head = queue_->format({}, chain, place);
        table = reinterpret_cast<Descriptor*>(place.host);
    } else {
        head = queue_->format(chain);
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
    if (protocol_ == DiskProtocol::scsi) {
        prepare_header(slot, options.lun);
    }
    slot_of_head_[slot.head] = static_cast<std::uint16_t>(slots_.size());
    idle_.push_back(static_cast<std::uint16_t>(slots_.size()));
    ++idle_count_;
    slots_.push_back(slot);
    return {};
}

/// All of a SCSI request that stays as it is.
void DiskLoad::prepare_header(Slot& slot, const ScsiLun& lun) noexcept {
    const LittleEndian<std::uint64_t> id{slots_.size()};
    const ScsiHeader header{.lun = lun,
                            .id = std::bit_cast<std::array<std::uint8_t, 8>>(id),
                            .task_attribute = scsi_simple,
                            .priority = 0,
                            .command_reference = 0};
    std::memcpy(slot.line, &header, sizeof header);
    std::byte* const cdb = slot.line + cdb_offset;
    std::memset(cdb, 0, scsi_usual_cdb_size);
    cdb[0] = read_10;
    store_big_endian({cdb + 7, 2}, slot.data.size / blk_sector_bytes);
}

void DiskLoad::turn(Slot& slot, Access access) noexcept {
    const std::array<Piece, 3> chain = pieces(slot, access);
    for (std::size_t i = 0; i < chain.size(); ++i) {
        Descriptor& descriptor = slot.descriptors[i];
        const unsigned flags = descriptor.flags & ~unsigned{descriptor_device_writable};
        descriptor.address = chain[i].address.value;
        descriptor.length = chain[i].length;
        descriptor.flags =
            static_cast<std::uint16_t>(flags | (chain[i].device_writable ? descriptor_device_writable : 0U));
        *slot.shared[i] = descriptor;
    }
    if (protocol_ == DiskProtocol::scsi) {
        slot.line[cdb_offset] = access == Access::read ? read_10 : write_10;
    }
    slot.access = access;
}

std::uint8_t DiskLoad::status_of(const std::byte* line) const noexcept {
    const auto written = std::to_integer<std::uint8_t>(line[written_offset_]);
    if (protocol_ == DiskProtocol::blk || written != 0) {
        return written;
    }
    return std::to_integer<std::uint8_t>(line[answer_offset + offsetof(ScsiAnswer, status)]);
}

std::size_t DiskLoad::finish(std::span<Finished> finished) noexcept {
    const std::size_t count = queue_->reap(std::span(used_).first(std::min<std::size_t>(batch, finished.size())));
    // The device has just written these lines, and read those of SCSI's headers. All are asked for before the first is looked at, and for
    // writing: the slots' next headers go there.
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint16_t index = slot_of_head_[used_[i].head];
        __builtin_prefetch(slots_[index].line + written_offset_, 1);
        if (protocol_ == DiskProtocol::scsi) {
            __builtin_prefetch(slots_[index].line, 1);
        }
        finished[i].slot = index;
    }
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint16_t index = finished[i].slot;
        finished[i].status = status_of(slots_[index].line);
        idle_[idle_count_++] = index;
    }
    return count;
}

}  // namespace sidecore::frontend
