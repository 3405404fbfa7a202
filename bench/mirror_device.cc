// SPDX-License-Identifier: Apache-2.0
#include "mirror_device.hh"

#include <algorithm>
#include <array>
#include <cstring>

#include "frontend/blk_format.hh"
#include "ping_pong.hh"

namespace sidecore::bench {

namespace {

using frontend::Descriptor;
using frontend::DiskProtocol;
using frontend::GuestBuffer;
using frontend::UsedElement;
using Word = LittleEndian<std::uint16_t>;

constexpr std::uint16_t batch = 32;

std::atomic_ref<Word> word(const GuestBuffer& area, std::size_t offset) noexcept {
    return std::atomic_ref(*reinterpret_cast<Word*>(area.host + offset));
}

}  // namespace

MirrorDevice::MirrorDevice(const frontend::GuestMemoryFile& memory, const frontend::DriverQueue& queue,
                           frontend::DiskProtocol protocol, int cpu)
    : memory_(memory),
      ring_(queue.ring()),
      event_index_(queue.event_index()),
      protocol_(protocol),
      next_(queue.available_index()) {
    thread_ = std::thread([this, cpu] {
        // A thread that may not stay there serves from where it is.
        static_cast<void>(pin_this_thread(cpu));
        serve();
    });
}

MirrorDevice::~MirrorDevice() {
    stop_ = true;
    thread_.join();
}

void MirrorDevice::serve() {
    word(ring_.used_area(), 0).store(event_index_ ? 0 : frontend::used_no_notify, std::memory_order_relaxed);
    while (!stop_.load(std::memory_order_relaxed)) {
        const std::uint16_t available = word(ring_.available_area(), 2).load(std::memory_order_acquire);
        const std::uint16_t waiting = frontend::index_distance(available, next_);
        if (waiting != 0) {
            serve_batch(std::min(waiting, batch));
        }
    }
}

/// Whether the answer lies there: behind a block device's data, and before the data that a SCSI device writes.
bool MirrorDevice::is_answer(const Descriptor& descriptor) const noexcept {
    return protocol_ == DiskProtocol::scsi && (descriptor.flags & frontend::descriptor_device_writable) != 0;
}

void MirrorDevice::answer(const std::byte* request, std::byte* to) const noexcept {
    if (protocol_ == DiskProtocol::scsi) {
        // The operation code decides, as a target's would.
        const bool known = (request[sizeof(frontend::ScsiHeader)] & std::byte{0xfd}) == std::byte{0x28};
        frontend::ScsiAnswer answer{};
        answer.response =
            static_cast<std::uint8_t>(known ? frontend::ScsiResponse::ok : frontend::ScsiResponse::failure);
        std::memcpy(to, &answer, sizeof answer);
        return;
    }
    frontend::BlkHeader header;
    std::memcpy(&header, request, sizeof header);
    *to = static_cast<std::byte>(header.type <= 1 ? frontend::BlkStatus::ok : frontend::BlkStatus::unsupported);
}

void MirrorDevice::serve_batch(std::uint16_t count) {
    struct Request {
        std::byte* header;
        std::byte* answer;  // a block device's status, a SCSI device's answer
        std::uint16_t head;
    };
    std::array<Request, batch> requests{};
    const auto mask = static_cast<std::uint16_t>(ring_.size() - 1U);
    for (std::uint16_t i = 0; i < count; ++i) {
        const auto slot = static_cast<std::uint16_t>((next_ + i) & mask);
        const std::uint16_t head = word(ring_.available_area(), 4U + 2U * slot).load(std::memory_order_relaxed);
        const auto* table = reinterpret_cast<const Descriptor*>(ring_.descriptor_area().host);
        std::uint16_t index = head;
        if ((table[head].flags & frontend::descriptor_indirect) != 0) {
            table = reinterpret_cast<const Descriptor*>(memory_.host({table[head].address}, table[head].length));
            index = 0;
        }
        std::byte* const header = memory_.host({table[index].address}, sizeof(frontend::BlkHeader));
        __builtin_prefetch(header, 1);
        while ((table[index].flags & frontend::descriptor_next) != 0 && !is_answer(table[index])) {
            index = table[index].next;
        }
        std::byte* const answer = memory_.host({table[index].address}, table[index].length);
        __builtin_prefetch(answer, 1);
        requests[i] = {.header = header, .answer = answer, .head = head};
    }
    for (std::uint16_t i = 0; i < count; ++i) {
        answer(requests[i].header, requests[i].answer);
        const UsedElement element{.id = std::uint32_t{requests[i].head}, .length = std::uint32_t{1}};
        const auto slot = static_cast<std::uint16_t>((next_ + i) & mask);
        std::memcpy(ring_.used_area().host + 4 + std::size_t{8} * slot, &element, sizeof element);
    }
    next_ = static_cast<std::uint16_t>(next_ + count);
    if (event_index_) {
        word(ring_.used_area(), 4U + 8U * ring_.size())
            .store(static_cast<std::uint16_t>(next_ - 1U), std::memory_order_relaxed);
    }
    word(ring_.used_area(), 2).store(next_, std::memory_order_release);
}

}  // namespace sidecore::bench
