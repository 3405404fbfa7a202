// SPDX-License-Identifier: Apache-2.0
#include "net_mirror.hh"

#include <algorithm>
#include <cstring>

#include "frontend/net_format.hh"
#include "ping_pong.hh"

namespace sidecore::bench {

namespace {

using frontend::Descriptor;
using frontend::GuestBuffer;
using frontend::UsedElement;
using Word = LittleEndian<std::uint16_t>;

constexpr std::uint16_t frames_at_once = 32;

std::atomic_ref<Word> word_of(const GuestBuffer& area, std::size_t offset) noexcept {
    return std::atomic_ref(*reinterpret_cast<Word*>(area.host + offset));
}

/// A chain's buffers, one after the other.
class Walk {
public:
    Walk(const frontend::GuestMemoryFile& memory, const frontend::SplitRing& ring, std::uint16_t head) noexcept
        : memory_(memory), table_(reinterpret_cast<const Descriptor*>(ring.descriptor_area().host)), index_(head) {
        if ((table_[head].flags & frontend::descriptor_indirect) != 0) {
            table_ = reinterpret_cast<const Descriptor*>(memory.host({table_[head].address}, table_[head].length));
            index_ = 0;
        }
        enter();
    }

    std::byte* at() const noexcept { return at_; }
    std::uint32_t left() const noexcept { return left_; }
    void advance(std::uint32_t bytes) noexcept {
        at_ += bytes;
        left_ -= bytes;
        while (left_ == 0 && (table_[index_].flags & frontend::descriptor_next) != 0) {
            index_ = table_[index_].next;
            enter();
        }
    }

private:
    void enter() noexcept {
        left_ = table_[index_].length;
        at_ = memory_.host({table_[index_].address}, left_);
    }

    const frontend::GuestMemoryFile& memory_;
    const Descriptor* table_;
    std::uint16_t index_;
    std::byte* at_ = nullptr;
    std::uint32_t left_ = 0;
};

}  // namespace

std::uint16_t NetMirror::Side::waiting() const noexcept {
    return frontend::index_distance(word_of(ring.available_area(), 2).load(std::memory_order_acquire), next);
}

std::uint16_t NetMirror::Side::head(std::uint16_t ahead) const noexcept {
    const auto slot = static_cast<std::uint16_t>((next + ahead) & (ring.size() - 1U));
    return word_of(ring.available_area(), 4U + 2U * slot).load(std::memory_order_relaxed);
}

void NetMirror::Side::set_used(std::uint16_t ahead, std::uint16_t head, std::uint32_t length) const noexcept {
    const UsedElement element{.id = std::uint32_t{head}, .length = length};
    const auto slot = static_cast<std::uint16_t>((next + ahead) & (ring.size() - 1U));
    std::memcpy(ring.used_area().host + 4 + std::size_t{8} * slot, &element, sizeof element);
}

void NetMirror::Side::publish(std::uint16_t count) noexcept {
    next = static_cast<std::uint16_t>(next + count);
    if (event_index) {
        word_of(ring.used_area(), 4U + 8U * ring.size())
            .store(static_cast<std::uint16_t>(next - 1U), std::memory_order_relaxed);
    }
    word_of(ring.used_area(), 2).store(next, std::memory_order_release);
}

NetMirror::NetMirror(const frontend::GuestMemoryFile& memory, const frontend::DriverQueue& receive,
                     const frontend::DriverQueue& transmit, int cpu)
    : memory_(memory),
      receive_{.ring = receive.ring(), .event_index = receive.event_index(), .next = receive.used_index()},
      transmit_{.ring = transmit.ring(), .event_index = transmit.event_index(), .next = transmit.used_index()} {
    thread_ = std::thread([this, cpu] {
        // A thread that may not stay there serves from where it is.
        static_cast<void>(pin_this_thread(cpu));
        serve();
    });
}

NetMirror::~NetMirror() {
    stop_ = true;
    thread_.join();
}

void NetMirror::serve() {
    for (Side* side : {&receive_, &transmit_}) {
        word_of(side->ring.used_area(), 0)
            .store(side->event_index ? std::uint16_t{0} : frontend::used_no_notify, std::memory_order_relaxed);
        side->publish(0);
    }
    while (!stop_.load(std::memory_order_relaxed)) {
        if (const std::uint16_t waiting = transmit_.waiting(); waiting != 0) {
            serve_batch(std::min(waiting, frames_at_once));
        }
    }
}

void NetMirror::serve_batch(std::uint16_t count) {
    const std::uint16_t room = receive_.waiting();
    std::uint16_t delivered = 0;
    for (std::uint16_t i = 0; i < count; ++i) {
        const std::uint16_t head = transmit_.head(i);
        if (delivered < room) {
            const std::uint16_t into = receive_.head(delivered);
            receive_.set_used(delivered++, into, copy(head, into));
        }
        transmit_.set_used(i, head, 0);
    }
    if (delivered != 0) {
        receive_.publish(delivered);
    }
    transmit_.publish(count);
}

/// One chain to another, with num_buffers 1; as much as there is room for.
std::uint32_t NetMirror::copy(std::uint16_t from, std::uint16_t to) const noexcept {
    Walk source(memory_, transmit_.ring, from);
    Walk target(memory_, receive_.ring, to);
    std::byte* const header = target.at();
    std::uint32_t bytes = 0;
    while (const std::uint32_t step = std::min(source.left(), target.left())) {
        std::memcpy(target.at(), source.at(), step);
        source.advance(step);
        target.advance(step);
        bytes += step;
    }
    header[offsetof(frontend::NetHeader, buffers)] = std::byte{1};
    return bytes;
}

}  // namespace sidecore::bench
