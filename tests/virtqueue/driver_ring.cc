// SPDX-License-Identifier: Apache-2.0
#include "virtqueue/driver_ring.hh"

namespace sidecore::test {

namespace {

std::uint64_t up_to(std::uint64_t value, std::uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

DriverRing::DriverRing(GuestRam& ram, const Options& options)
    : ram_(ram),
      options_(options),
      size_(options.size),
      table_(options.base),
      available_(up_to(table_ + 16 * std::uint64_t{size_}, 2)),
      used_(up_to(available_ + 6 + 2 * std::uint64_t{size_}, 4)),
      next_available_(options.start),
      published_(options.start),
      next_used_(options.start) {
    ram_.clear(table_, end() - table_);
    ram_.store<std::uint16_t>(available_ + 2, options.start);
    ram_.store<std::uint16_t>(used_ + 2, options.start);
}

std::uint64_t DriverRing::end() const {
    return used_ + 6 + 8 * std::uint64_t{size_};
}

bool DriverRing::in_used_ring(std::uint64_t guest) const {
    const std::uint64_t bytes = 4 + 8 * std::uint64_t{size_} + (options_.event_index ? 2 : 0);
    return guest >= used_ && guest - used_ < bytes;
}

void DriverRing::set_entry(std::uint64_t place, std::uint64_t address, std::uint32_t length, std::uint16_t flags,
                           std::uint16_t next) {
    const auto put = [&](std::uint64_t where, std::uint64_t value, unsigned bytes) {
        for (unsigned i = 0; i < bytes; ++i) {
            ram_.store<std::uint8_t>(where + i, static_cast<std::uint8_t>(value >> (8 * i)));
        }
    };
    put(place, address, 8);
    put(place + 8, length, 4);
    put(place + 12, flags, 2);
    put(place + 14, next, 2);
}

void DriverRing::set_chain(std::uint32_t head, std::span<const Part> parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const bool last = i + 1 == parts.size();
        const auto index = static_cast<std::uint32_t>((head + i) % size_);
        const auto flags = static_cast<std::uint16_t>((parts[i].writable ? write_flag : 0) | (last ? 0 : next_flag));
        set_descriptor(index, parts[i].address, parts[i].length, flags,
                       static_cast<std::uint16_t>(last ? 0 : (index + 1) % size_));
    }
}

std::uint32_t DriverRing::set_table(std::uint64_t table, std::span<const Part> parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const bool last = i + 1 == parts.size();
        const auto flags = static_cast<std::uint16_t>((parts[i].writable ? write_flag : 0) | (last ? 0 : next_flag));
        set_entry(table + 16 * i, parts[i].address, parts[i].length, flags,
                  static_cast<std::uint16_t>(last ? 0 : i + 1));
    }
    return static_cast<std::uint32_t>(16 * parts.size());
}

void DriverRing::offer(std::uint16_t head) {
    ram_.store<std::uint16_t>(available_ + 4 + 2 * std::uint64_t{next_available_ % size_}, head);
    ++next_available_;
}

bool DriverRing::publish() {
    const std::uint16_t before = published_;
    published_ = next_available_;
    // An exchange is a barrier on both of its sides: what was filled in is seen before the index, and the index
    // before the device's wish is read.
    std::atomic_ref<std::uint16_t>(*reinterpret_cast<std::uint16_t*>(ram_.at(available_ + 2, 2)))
        .exchange(next_available_, std::memory_order_seq_cst);
    if (!options_.event_index) {
        return used_flags() == 0;
    }
    // "If the idx field (which determined where that descriptor index was placed) was equal to avail_event":
    // asked for each entry of the batch.
    const std::uint16_t event = avail_event();
    for (std::uint16_t index = before; index != next_available_; ++index) {
        if (index == event) {
            return true;
        }
    }
    return false;
}

void DriverRing::set_available_index(std::uint16_t index) {
    ram_.store<std::uint16_t>(available_ + 2, index, std::memory_order_release);
}

std::vector<UsedEntry> DriverRing::take_used() {
    std::vector<UsedEntry> all;
    for (const std::uint16_t now = used_index(); next_used_ != now; ++next_used_) {
        const std::uint64_t place = used_ + 4 + 8 * std::uint64_t{next_used_ % size_};
        all.push_back({ram_.load<std::uint32_t>(place), ram_.load<std::uint32_t>(place + 4)});
    }
    return all;
}

std::uint32_t DriverRing::count_used() {
    const auto count = static_cast<std::uint16_t>(used_index() - next_used_);
    next_used_ = static_cast<std::uint16_t>(next_used_ + count);
    return count;
}

bool DriverRing::sleep_until_called() {
    const std::uint64_t wish = options_.event_index ? used_event_at() : available_;
    const std::uint16_t value = options_.event_index ? next_used_ : 0;
    std::atomic_ref<std::uint16_t>(*reinterpret_cast<std::uint16_t*>(ram_.at(wish, 2)))
        .exchange(value, std::memory_order_seq_cst);
    return used_index() == next_used_;
}

virtqueue::SplitQueue::Setup DriverRing::setup() const {
    virtqueue::SplitQueue::Setup setup;
    setup.size = size_;
    setup.descriptor = memory::UserAddress{table_ + GuestRam::user_offset};
    setup.available = memory::UserAddress{available_ + GuestRam::user_offset};
    setup.used = memory::UserAddress{used_ + GuestRam::user_offset};
    setup.next_available = options_.start;
    setup.event_index = options_.event_index;
    setup.indirect = options_.indirect;
    return setup;
}

}  // namespace sidecore::test
