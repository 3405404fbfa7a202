// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <new>
#include <tuple>
#include <type_traits>

#include "base/big_endian.hh"
#include "scsi/block_functions.hh"
#include "scsi/domain.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/scratch.hh"

namespace sidecore::scsi {

namespace {

constexpr std::size_t copy_header_bytes = 16;
constexpr std::size_t target_bytes = 32;   // SPC-4 6.4.5
constexpr std::size_t segment_bytes = 28;  // SPC-4 6.4.6.4, block device to block device
constexpr std::size_t targets_max = 16;
constexpr std::size_t segments_max = 64;
constexpr std::size_t descriptors_bytes_max = targets_max * target_bytes + segments_max * segment_bytes;
constexpr std::uint8_t identification_descriptor = 0xe4;
constexpr std::uint8_t block_to_block = 0x02;

/// One of the logical units that take part. Looked for anew whenever it is used: it may have been removed.
struct Side {
    std::uint64_t identity = 0;
    Lun lun{};
    std::uint8_t target = 0;
};

struct Segment {
    std::uint16_t source;
    std::uint16_t destination;
    std::uint64_t source_offset;
    std::uint64_t destination_offset;
    std::uint64_t bytes;
};

/// The parameter list once it has been found good, and how far the copy has come.
struct Plan {
    std::array<Side, targets_max> sides;
    std::array<Segment, segments_max> segments;
    std::size_t side_count;
    std::size_t segment_count;
    std::size_t segment;     // the present one
    std::uint64_t position;  // in it
    std::uint64_t total;     // bytes of all
};
static_assert(std::is_trivially_destructible_v<Plan>, "it lies in memory of bytes");

constexpr std::size_t plan_bytes = (sizeof(Plan) + 63) / 64 * 64;

Plan& plan_of(Operation& operation) noexcept {
    return *std::launder(reinterpret_cast<Plan*>(operation.buffer(plan_bytes + scratch_bytes).data()));
}

std::uint16_t place(std::size_t at) noexcept {
    return static_cast<std::uint16_t>(at);
}

CopyResults::Entry* entry_of(const Operation& operation) noexcept {
    return static_cast<CopyResults::Entry*>(operation.companion.get());
}

/// COPY ABORTED: which segment it was is in COMMAND-SPECIFIC INFORMATION (SPC-4 6.4.3).
Progress abort_copy(Operation& operation, const Plan& plan, AdditionalSense code) noexcept {
    Sense sense{SenseKey::copy_aborted, code};
    sense.command_information = plan.segment;
    operation.fail(sense);
    if (auto* entry = entry_of(operation)) {
        entry->ended(operation.task().sense);
    }
    return Progress::done;
}

std::shared_ptr<Nexus> find_side(Operation& operation, const Side& side) {
    auto nexus = operation.domain().find(side.target, side.lun);
    return nexus != nullptr && nexus->unit().identity() == side.identity ? nexus : nullptr;
}

/// SPC-4 6.4.5.5. Progress::done: refused.
Progress read_target(Operation& operation, Plan& plan, std::span<const std::byte> bytes, std::size_t at) {
    const auto byte = [&](std::size_t i) { return std::to_integer<unsigned>(bytes[i]); };
    if (byte(0) != identification_descriptor) {
        return operation.fail(SenseKey::illegal_request, AdditionalSense::unsupported_target_descriptor_type);
    }
    if ((byte(1) & 0xe0U) != 0) {  // LU ID TYPE, NUL
        return operation.invalid_parameter(place(at + 1), 7);
    }
    if ((byte(1) & 0x1fU) != 0) {
        return abort_copy(operation, plan, AdditionalSense::incorrect_copy_target_device_type);
    }
    // A binary NAA designator of the logical unit, as the device identification VPD page has it.
    const bool naa = (byte(4) & 0x0fU) == 1 && (byte(5) & 0x3fU) == 3 && byte(7) == 8;
    const std::uint64_t identity = load_big_endian(bytes.subspan(8, 8));
    for (const auto& nexus : operation.domain().nexuses()) {
        if (naa && nexus->unit().identity() == identity) {
            if (load_big_endian(bytes.subspan(29, 3)) != nexus->unit().block_bytes()) {
                return operation.invalid_parameter(place(at + 29));
            }
            plan.sides[plan.side_count++] = {identity, nexus->lun(), nexus->target()};
            return Progress::storage;
        }
    }
    return abort_copy(operation, plan, AdditionalSense::copy_target_device_not_reachable);
}

Progress read_segment(Operation& operation, Plan& plan, std::span<const std::byte> bytes, std::size_t at) {
    if (std::to_integer<std::uint8_t>(bytes[0]) != block_to_block) {
        return operation.fail(SenseKey::illegal_request, AdditionalSense::unsupported_segment_descriptor_type);
    }
    if (load_big_endian(bytes.subspan(2, 2)) != segment_bytes - 4) {
        return operation.invalid_parameter(place(at + 2));
    }
    const auto source = load_big_endian<std::uint16_t>(bytes.subspan(4, 2));
    const auto destination = load_big_endian<std::uint16_t>(bytes.subspan(6, 2));
    for (const auto& [index, where] : {std::pair(source, at + 4), std::pair(destination, at + 6)}) {
        if (index >= plan.side_count) {
            return operation.invalid_parameter(place(where));
        }
    }
    const auto from = find_side(operation, plan.sides[source]);
    const auto to = find_side(operation, plan.sides[destination]);
    if (from == nullptr || to == nullptr) {
        return abort_copy(operation, plan, AdditionalSense::copy_target_device_not_reachable);
    }
    const std::uint64_t from_block = from->unit().block_bytes();
    const std::uint64_t to_block = to->unit().block_bytes();
    const bool counts_destination = (std::to_integer<unsigned>(bytes[1]) & 0x02U) != 0;  // DC
    const std::uint64_t size = load_big_endian(bytes.subspan(10, 2)) * (counts_destination ? to_block : from_block);
    if (size % from_block != 0 || size % to_block != 0) {
        // Nothing is left over then to be padded (PAD) or kept for the next segment (CAT).
        return operation.fail(SenseKey::illegal_request, AdditionalSense::copy_segment_granularity_violation);
    }
    const std::uint64_t from_lba = load_big_endian(bytes.subspan(12, 8));
    const std::uint64_t to_lba = load_big_endian(bytes.subspan(20, 8));
    for (const auto& [unit, lba, blocks] :
         {std::tuple(&from->unit(), from_lba, size / from_block), std::tuple(&to->unit(), to_lba, size / to_block)}) {
        if (!unit->in_range(lba, blocks)) {
            Sense sense{SenseKey::illegal_request, AdditionalSense::lba_out_of_range};
            sense.information = lba;
            sense.command_information = plan.segment_count;
            return operation.fail(sense);
        }
    }
    plan.segments[plan.segment_count++] = {source, destination, from_lba * from_block, to_lba * to_block, size};
    return Progress::storage;
}

/// SPC-4 6.4.3, 6.4.4
Progress read_list(Operation& operation, Plan& plan, std::span<const std::byte> list) {
    const auto first = std::to_integer<unsigned>(list[1]);
    const unsigned usage = first >> 3U & 3U;
    if ((first & 0xc0U) != 0) {
        return operation.invalid_parameter(1, 7);
    }
    if (usage == 1 || (usage == 3 && list[0] != std::byte{0})) {
        return operation.invalid_parameter(usage == 1 ? 1 : 0,
                                           usage == 1 ? std::optional<std::uint8_t>(4) : std::nullopt);
    }
    const std::uint64_t targets = load_big_endian(list.subspan(2, 2));
    const std::uint64_t segments = load_big_endian(list.subspan(8, 4));
    if (load_big_endian(list.subspan(12, 4)) != 0) {
        return operation.fail(SenseKey::illegal_request, AdditionalSense::inline_data_length_exceeded);
    }
    if (targets % target_bytes != 0) {
        return operation.invalid_parameter(2);
    }
    if (targets / target_bytes > targets_max) {
        return operation.fail(SenseKey::illegal_request, AdditionalSense::too_many_target_descriptors);
    }
    if (segments > segments_max * segment_bytes) {
        return operation.fail(SenseKey::illegal_request, AdditionalSense::too_many_segment_descriptors);
    }
    if (list.size() != copy_header_bytes + targets + segments) {
        return operation.fail(SenseKey::illegal_request, AdditionalSense::parameter_list_length_error);
    }
    std::size_t at = copy_header_bytes;
    for (; at < copy_header_bytes + targets; at += target_bytes) {
        if (read_target(operation, plan, list.subspan(at, target_bytes), at) == Progress::done) {
            return Progress::done;
        }
    }
    for (; at < list.size(); at += segment_bytes) {
        if (list[at] == std::byte{block_to_block} && list.size() - at < segment_bytes) {
            return operation.fail(SenseKey::illegal_request, AdditionalSense::parameter_list_length_error);
        }
        if (read_segment(operation, plan, list.subspan(at, std::min(segment_bytes, list.size() - at)), at) ==
            Progress::done) {
            return Progress::done;
        }
    }
    if (usage == 3) {
        return Progress::storage;  // nobody will ask
    }
    operation.companion =
        operation.unit().copy_results().begin(operation.nexus(), std::to_integer<std::uint8_t>(list[0]));
    return operation.companion != nullptr
               ? Progress::storage
               : operation.fail(SenseKey::illegal_request, AdditionalSense::operation_in_progress);
}

/// Whether a side is as a command of its own would want it. Nothing: it is.
std::optional<AdditionalSense> objection(const Nexus& nexus, bool writes) noexcept {
    const LogicalUnit& unit = nexus.unit();
    const unsigned barred = nexus.barred.load(std::memory_order_acquire);
    if ((barred & (Nexus::barred_by_reserve | (writes ? Nexus::barred_from_writing : Nexus::barred_from_reading))) !=
        0) {
        return AdditionalSense::third_party_device_failure;  // RESERVATION CONFLICT
    }
    if (unit.sanitizing.load(std::memory_order_acquire) || unit.stopped.load(std::memory_order_acquire) ||
        unit.sanitize_failed.load(std::memory_order_acquire) != SanitizeFailure::none) {
        return AdditionalSense::copy_target_device_not_reachable;
    }
    if (writes && unit.write_protected()) {
        return AdditionalSense::write_protected;
    }
    return std::nullopt;
}

/// Asks for the next chunk to be read, or the one that has been read to be written.
Progress go_on(Operation& operation, Plan& plan, bool writes) {
    if (!writes) {
        while (plan.segment < plan.segment_count && plan.position == plan.segments[plan.segment].bytes) {
            ++plan.segment;
            plan.position = 0;
            if (auto* entry = entry_of(operation)) {
                entry->progress(static_cast<std::uint16_t>(plan.segment), plan.total);
            }
        }
        if (plan.segment == plan.segment_count) {
            if (auto* entry = entry_of(operation)) {
                entry->ended(std::nullopt);
            }
            return operation.good();
        }
    }
    const Segment& segment = plan.segments[plan.segment];
    const auto side = find_side(operation, plan.sides[writes ? segment.destination : segment.source]);
    if (side == nullptr) {
        return abort_copy(operation, plan, AdditionalSense::copy_target_device_not_reachable);
    }
    if (const auto code = objection(*side, writes)) {
        return abort_copy(operation, plan, *code);
    }
    if (!operation.use_storage_of(*side)) {
        return abort_copy(operation, plan, AdditionalSense::copy_target_device_not_reachable);
    }
    const auto scratch =
        operation.buffer(plan_bytes + scratch_bytes)
            .subspan(plan_bytes,
                     static_cast<std::size_t>(std::min<std::uint64_t>(scratch_bytes, segment.bytes - plan.position)));
    return writes ? operation.write(segment.destination_offset + plan.position, scratch, side->unit().durable(false))
                  : operation.read(segment.source_offset + plan.position, scratch);
}

Progress begin_copy(Operation& operation) {
    const std::uint64_t length = operation.field(10, 4);
    if (length == 0) {
        return operation.good();
    }
    if (length < copy_header_bytes || length > copy_header_bytes + descriptors_bytes_max) {
        return operation.fail(SenseKey::illegal_request, AdditionalSense::parameter_list_length_error);
    }
    if (length > operation.task().data_out_bytes) {
        return operation.overrun();
    }
    const auto memory = operation.buffer(plan_bytes + scratch_bytes);
    if (memory.empty()) {
        return operation.end(Status::busy);
    }
    Plan& plan = *new (memory.data()) Plan{};
    const auto list = memory.subspan(plan_bytes, static_cast<std::size_t>(length));
    operation.take_parameters(list);
    if (read_list(operation, plan, list) == Progress::done) {
        return Progress::done;
    }
    return go_on(operation, plan, false);
}

}  // namespace

/// EXTENDED COPY(LID1) (SPC-4 6.4) between disks of the domain, through the task queue's own ways to them.
Progress extended_copy(Operation& operation) noexcept {
    if (operation.stage() == 0) {
        return begin_copy(operation);
    }
    Plan& plan = plan_of(operation);
    if (operation.result != 0) {
        return abort_copy(operation, plan, AdditionalSense::third_party_device_failure);
    }
    const bool written = operation.operation == storage::BlockOperation::write;
    if (written) {
        plan.position += operation.length_bytes;
        plan.total += operation.length_bytes;
    }
    return go_on(operation, plan, !written);
}

namespace {

// COPY COMMAND STATUS (SPC-4 6.18.2)
constexpr std::uint8_t status_under_way = 0;
constexpr std::uint8_t status_good = 1;
constexpr std::uint8_t status_failed = 2;

/// A count of bytes in the smallest unit that it fits in (SPC-4 6.18.2, TRANSFER COUNT UNITS).
void store_count(std::span<std::byte> out, std::uint64_t bytes) noexcept {
    std::uint8_t unit = 0;
    while (bytes > UINT32_MAX) {
        bytes >>= 10U;
        ++unit;
    }
    out[0] = static_cast<std::byte>(unit);
    store_big_endian(out.subspan(1, 4), bytes);
}

}  // namespace

/// RECEIVE COPY STATUS(LID1) (SPC-4 6.18.2)
Progress copy_status(Operation& operation) noexcept {
    const auto found = operation.unit().copy_results().find(operation.nexus(), operation.byte(2));
    if (!found) {
        return operation.invalid_field(2);
    }
    std::array<std::byte, 12> data{};
    store_big_endian(std::span(data).first(4), data.size() - 4);
    data[4] = static_cast<std::byte>(found->under_way ? status_under_way
                                     : found->failure ? status_failed
                                                      : status_good);
    store_big_endian(std::span(data).subspan(5, 2), found->segments);
    store_count(std::span(data).subspan(7, 5), found->bytes);
    return operation.reply(data, operation.field(10, 4));
}

/// RECEIVE COPY OPERATING PARAMETERS (SPC-4 6.18.4)
Progress copy_operating_parameters(Operation& operation) noexcept {
    std::array<std::byte, 46> data{};
    const std::span<std::byte> out(data);
    store_big_endian(out.first(4), out.size() - 4);
    out[4] = std::byte{1};  // SNLID: a command may do without a list identifier
    store_big_endian(out.subspan(8, 2), targets_max);
    store_big_endian(out.subspan(10, 2), segments_max);
    store_big_endian(out.subspan(12, 4), descriptors_bytes_max);
    store_big_endian(out.subspan(16, 4), std::uint64_t{UINT16_MAX} * operation.unit().block_bytes());
    store_big_endian(out.subspan(34, 2), 64);  // TOTAL CONCURRENT COPIES
    out[36] = std::byte{64};
    out[37] = static_cast<std::byte>(std::bit_width(operation.unit().block_bytes()) - 1);  // DATA SEGMENT GRANULARITY
    out[43] = std::byte{2};
    out[44] = std::byte{block_to_block};
    out[45] = std::byte{identification_descriptor};
    return operation.reply(out, operation.field(10, 4));
}

/// RECEIVE COPY FAILURE DETAILS(LID1) (SPC-4 6.18.5): of a command that has failed, and only once.
Progress failed_segment_details(Operation& operation) noexcept {
    CopyResults& results = operation.unit().copy_results();
    const auto found = results.find(operation.nexus(), operation.byte(2));
    if (!found || found->under_way || !found->failure) {
        return operation.invalid_field(2);
    }
    const auto sense = found->failure->bytes();
    std::array<std::byte, 60 + SenseData::bytes_max> data{};
    const auto out = std::span(data).first(60 + sense.size());
    store_big_endian(out.first(4), out.size() - 4);
    out[56] = static_cast<std::byte>(found->failure->empty() ? Status::task_aborted : Status::check_condition);
    store_big_endian(out.subspan(58, 2), sense.size());
    std::ranges::copy(sense, out.subspan(60).begin());
    const Progress progress = operation.reply(out, operation.field(10, 4));
    if (operation.task().outcome == Outcome::completed) {
        results.forget(operation.nexus(), operation.byte(2));
    }
    return progress;
}

}  // namespace sidecore::scsi
