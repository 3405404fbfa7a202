// SPDX-License-Identifier: Apache-2.0
#include "scsi/provisioning.hh"

#include <algorithm>
#include <array>

#include "base/big_endian.hh"
#include "scsi/block_functions.hh"
#include "scsi/limits.hh"
#include "scsi/operation.hh"

namespace sidecore::scsi {

namespace {

constexpr std::size_t unmap_header_bytes = 8;
constexpr std::size_t descriptor_bytes = 16;

Progress out_of_range(Operation& operation, std::uint64_t lba) noexcept {
    Sense sense{SenseKey::illegal_request, AdditionalSense::lba_out_of_range};
    sense.information = lba;
    return operation.fail(sense);
}

struct UnmapDescriptor {
    std::uint64_t lba;
    std::uint32_t blocks;
};

UnmapDescriptor read_descriptor(std::span<const std::byte> list, std::size_t index) noexcept {
    const auto bytes = list.subspan(index * descriptor_bytes, descriptor_bytes);
    return {load_big_endian(bytes.first<8>()), load_big_endian<std::uint32_t>(bytes.subspan(8, 4))};
}

/// All descriptors before any block is unmapped. Progress::done: they have been refused.
Progress check_descriptors(Operation& operation, std::span<const std::byte> list) noexcept {
    const LogicalUnit& unit = operation.unit();
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < list.size() / descriptor_bytes; ++i) {
        const UnmapDescriptor descriptor = read_descriptor(list, i);
        if (!unit.in_range(descriptor.lba, descriptor.blocks)) {
            return out_of_range(operation, descriptor.lba);
        }
        total += descriptor.blocks;
        if (total > unmap_blocks_max(unit.block_bytes())) {
            return operation.invalid_parameter(
                static_cast<std::uint16_t>(unmap_header_bytes + i * descriptor_bytes + 8));
        }
    }
    return Progress::storage;
}

/// The next descriptor that has any blocks; operation.position counts them, and remaining is where the list ends.
Progress next_unmap(Operation& operation) noexcept {
    const LogicalUnit& unit = operation.unit();
    const auto list = operation.buffer(operation.remaining);
    while (operation.position < operation.remaining / descriptor_bytes) {
        const UnmapDescriptor descriptor = read_descriptor(list, operation.position++);
        if (descriptor.blocks != 0) {
            const std::uint64_t block = unit.block_bytes();
            return operation.ask(unmapped_reads_zero(unit) ? storage::BlockOperation::write_zeroes_unmap
                                                           : storage::BlockOperation::discard,
                                 descriptor.lba * block, descriptor.blocks * block, unit.durable(false));
        }
    }
    return operation.good();
}

}  // namespace

/// UNMAP (SBC-3 5.25). ANCHOR is no bit that we know.
Progress unmap(Operation& operation) noexcept {
    if (operation.stage() != 0) {
        return operation.result == 0 ? next_unmap(operation) : operation.storage_failed();
    }
    if (!provisioned_thinly(operation.unit())) {
        return operation.fail(SenseKey::illegal_request, AdditionalSense::invalid_command_operation_code);
    }
    const std::uint64_t length = operation.field(7, 2);
    if (length == 0) {
        return operation.good();
    }
    if (length < unmap_header_bytes) {
        return operation.fail(SenseKey::illegal_request, AdditionalSense::parameter_list_length_error);
    }
    if (length > operation.task().data_out_bytes) {
        return operation.overrun();
    }
    std::array<std::byte, unmap_header_bytes> header;
    operation.take_parameters(header);
    const std::uint64_t data_bytes = load_big_endian(std::span(header).first(2));
    const std::uint64_t list_bytes = load_big_endian(std::span(header).subspan(2, 2));
    if (data_bytes > length - 2 || list_bytes > length - unmap_header_bytes) {
        return operation.fail(SenseKey::illegal_request, AdditionalSense::parameter_list_length_error);
    }
    if (data_bytes < unmap_header_bytes - 2 || list_bytes > data_bytes - (unmap_header_bytes - 2)) {
        return operation.invalid_parameter(2);
    }
    const std::uint64_t descriptors = list_bytes / descriptor_bytes;  // what is left over is no descriptor
    if (descriptors > unmap_descriptors_max) {
        return operation.invalid_parameter(2);
    }
    operation.task().transferred_bytes = length;
    if (descriptors == 0) {
        return operation.good();
    }
    operation.remaining = descriptors * descriptor_bytes;
    const auto list = operation.buffer(operation.remaining);
    if (list.empty()) {
        return operation.end(Status::busy);
    }
    operation.take_parameters(list);
    operation.task().transferred_bytes = length;
    if (check_descriptors(operation, list) == Progress::done) {
        return Progress::done;
    }
    return next_unmap(operation);
}

namespace {

/// As many descriptors as GET LBA STATUS answers with at most, and as many runs as it asks the storage for: more take another command, which begins
/// where the first has ended.
constexpr std::size_t status_descriptors_max = 64;
constexpr std::size_t runs_max = 256;

struct StatusRun {
    std::uint64_t blocks = 0;
    bool mapped = true;
};

/// What is known of the blocks from `lba` on. A hole that has only a part of a block does not make it unmapped.
StatusRun status_at(const LogicalUnit& unit, std::uint64_t lba) noexcept {
    const std::uint64_t left = unit.capacity_blocks() - lba;
    if (!provisioned_thinly(unit)) {
        return {left, true};
    }
    const std::uint64_t block = unit.block_bytes();
    const storage::AllocatedRun run = unit.backend().allocated_run(lba * block);
    const std::uint64_t whole = run.length_bytes / block;
    if (!run.allocated && whole != 0) {
        return {std::min(whole, left), false};
    }
    return {std::clamp<std::uint64_t>((run.length_bytes + block - 1) / block, 1, left), true};
}

}  // namespace

/// GET LBA STATUS(16) (SBC-3 5.4)
Progress get_lba_status(Operation& operation) noexcept {
    const LogicalUnit& unit = operation.unit();
    std::uint64_t lba = operation.field(2, 8);
    const std::uint64_t capacity = unit.capacity_blocks();
    if (lba >= capacity) {
        return out_of_range(operation, lba);
    }
    const std::uint64_t allocation_length = operation.field(10, 4);
    // At least one descriptor, whether or not it can be sent whole.
    const std::size_t wanted = static_cast<std::size_t>(
        std::clamp<std::uint64_t>(allocation_length / descriptor_bytes, 1, status_descriptors_max));
    std::array<std::byte, unmap_header_bytes + status_descriptors_max * descriptor_bytes> data{};
    std::size_t count = 0;
    StatusRun last;
    for (std::size_t runs = 0; lba < capacity && runs < runs_max; ++runs) {
        StatusRun run = status_at(unit, lba);
        if (count == 0 || run.mapped != last.mapped || last.blocks == UINT32_MAX) {
            if (count == wanted) {
                break;
            }
            ++count;
            last = {0, run.mapped};
            const auto descriptor =
                std::span(data).subspan(unmap_header_bytes + (count - 1) * descriptor_bytes, descriptor_bytes);
            store_big_endian(descriptor.first(8), lba);
            descriptor[12] = static_cast<std::byte>(run.mapped ? 0 : 1);
        }
        run.blocks = std::min<std::uint64_t>(run.blocks, UINT32_MAX - last.blocks);
        last.blocks += run.blocks;
        lba += run.blocks;
        store_big_endian(std::span(data).subspan(unmap_header_bytes + (count - 1) * descriptor_bytes + 8, 4),
                         last.blocks);
    }
    const std::size_t bytes = unmap_header_bytes + count * descriptor_bytes;
    store_big_endian(std::span(data).first(4), bytes - 4);
    return operation.reply(std::span(data).first(bytes), allocation_length);
}

}  // namespace sidecore::scsi
