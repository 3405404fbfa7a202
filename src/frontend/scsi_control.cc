// SPDX-License-Identifier: Apache-2.0
#include "frontend/scsi_control.hh"

#include <cstring>

#include "base/format.hh"

namespace sidecore::frontend {

namespace {

constexpr std::size_t response_bytes = 1;
constexpr std::size_t notifications_answer_bytes = 5;  // event_actual, response

}  // namespace

Result<ScsiControl> ScsiControl::create(GuestMemoryFile& memory, DriverQueue& queue, const Options& options) {
    SIDECORE_TRY_ASSIGN(auto slots, RequestSlots::create(memory, queue, options));
    return ScsiControl(std::move(slots));
}

Result<std::uint64_t> ScsiControl::submit_raw(std::span<const std::byte> request, std::size_t answer_bytes,
                                              const RequestLayout& layout) {
    SIDECORE_TRY_ASSIGN(const auto submitted,
                        slots_.submit({.header = request,
                                       .data = {},
                                       .writable_bytes = answer_bytes,
                                       .preset_at = answer_bytes == 0 ? 0 : answer_bytes - response_bytes},
                                      layout));
    return submitted.ticket;
}

Result<std::uint64_t> ScsiControl::submit(ScsiFunction function, const ScsiLun& lun, std::uint64_t id,
                                          const RequestLayout& layout) {
    const ScsiTaskManagement request{
        .type = scsi_type_task_management, .function = static_cast<std::uint32_t>(function), .lun = lun, .id = id};
    return submit_raw(std::as_bytes(std::span(&request, 1)), response_bytes, layout);
}

Result<std::uint64_t> ScsiControl::submit_notifications(std::uint32_t type, const ScsiLun& lun, std::uint32_t events,
                                                        const RequestLayout& layout) {
    const ScsiNotifications request{.type = type, .lun = lun, .events = events};
    return submit_raw(std::as_bytes(std::span(&request, 1)), notifications_answer_bytes, layout);
}

std::vector<ScsiControl::Finished> ScsiControl::read(const std::vector<RequestSlots::Finished>& all) {
    std::vector<Finished> finished;
    for (const RequestSlots::Finished& one : all) {
        Finished made{one.ticket, ScsiResponse::not_written, one.used_length, 0};
        if (!one.written.empty()) {
            made.response = static_cast<ScsiResponse>(std::to_integer<std::uint8_t>(one.written.back()));
        }
        if (one.written.size() == notifications_answer_bytes) {
            LittleEndian<std::uint32_t> events;
            std::memcpy(&events, one.written.data(), sizeof events);
            made.events = events;
        }
        finished.push_back(made);
    }
    return finished;
}

Result<std::vector<ScsiControl::Finished>> ScsiControl::take() {
    SIDECORE_TRY_ASSIGN(const auto all, slots_.take());
    return read(all);
}

Result<std::vector<ScsiControl::Finished>> ScsiControl::collect() {
    SIDECORE_TRY_ASSIGN(const auto all, slots_.collect());
    return read(all);
}

Result<ScsiResponse> ScsiControl::run(ScsiFunction function, const ScsiLun& lun, std::uint64_t id) {
    SIDECORE_TRY_ASSIGN(const std::uint64_t ticket, submit(function, lun, id));
    queue().publish();
    SIDECORE_TRY_ASSIGN(const auto finished, collect());
    if (finished.front().ticket != ticket) {
        return failure(ErrorKind::invalid_argument, "run() with other requests in flight");
    }
    return finished.front().response;
}

Result<ScsiEventBuffers> ScsiEventBuffers::create(GuestMemoryFile& memory, DriverQueue& queue, std::uint32_t buffers) {
    SIDECORE_TRY_ASSIGN(auto slots, RequestSlots::create(memory, queue, {.slots = buffers, .bytes_per_slot = 4096}));
    return ScsiEventBuffers(std::move(slots));
}

Result<void> ScsiEventBuffers::add(const RequestLayout& layout) {
    SIDECORE_TRY_ASSIGN(const auto submitted, slots_.submit({.writable_bytes = sizeof(ScsiEvent)}, layout));
    static_cast<void>(submitted);
    return {};
}

Result<std::vector<ScsiEvent>> ScsiEventBuffers::read(const std::vector<RequestSlots::Finished>& all) {
    std::vector<ScsiEvent> events;
    for (const RequestSlots::Finished& one : all) {
        if (one.used_length != sizeof(ScsiEvent)) {
            return failure(ErrorKind::protocol_violation, fmt::format("an event of {} bytes", one.used_length));
        }
        std::memcpy(&events.emplace_back(), one.written.data(), sizeof(ScsiEvent));
    }
    return events;
}

Result<std::vector<ScsiEvent>> ScsiEventBuffers::take() {
    SIDECORE_TRY_ASSIGN(const auto all, slots_.take());
    return read(all);
}

Result<std::vector<ScsiEvent>> ScsiEventBuffers::collect() {
    SIDECORE_TRY_ASSIGN(const auto all, slots_.collect());
    return read(all);
}

}  // namespace sidecore::frontend
