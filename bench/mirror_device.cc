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
using frontend::GuestBuffer;
using frontend::UsedElement;
using Word = LittleEndian<std::uint16_t>;

constexpr std::uint16_t batch = 32;

std::atomic_ref<Word> word(const GuestBuffer& area, std::size_t offset) noexcept {
    return std::atomic_ref(*reinterpret_cast<Word*>(area.host + offset));
}

}  // namespace

MirrorDevice::MirrorDevice(const frontend::GuestMemoryFile& memory, const frontend::DriverQueue& queue, int cpu)
    : memory_(memory), ring_(queue.ring()), event_index_(queue.event_index()), next_(queue.available_index()) {
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

void MirrorDevice::serve_batch(std::uint16_t count) {
    struct Request {
        std::byte* header;
        std::byte* status;
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
        while ((table[index].flags & frontend::descriptor_next) != 0) {
            index = table[index].next;
        }
        requests[i] = {.header = header, .status = memory_.host({table[index].address}, 1), .head = head};
    }
    for (std::uint16_t i = 0; i < count; ++i) {
        frontend::BlkHeader header;
        std::memcpy(&header, requests[i].header, sizeof header);
        *requests[i].status =
            static_cast<std::byte>(header.type <= 1 ? frontend::BlkStatus::ok : frontend::BlkStatus::unsupported);
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
