// SPDX-License-Identifier: Apache-2.0
// A driver that changes its ring while the device reads it. What pop() gives must be what it has checked: a
// second look at a length or an address would show as memory that is not the guest's, or as sums that are wrong.
#include <thread>

#include <gtest/gtest.h>

#include "virtqueue/queue_world.hh"

namespace sidecore::test {
namespace {

using virtqueue::PopResult;
using virtqueue::SplitQueue;

constexpr std::uint32_t size = 16;
constexpr std::uint64_t tables[] = {0x30000, 0x30108, 0x30203, QueueWorld::seam - 40, QueueWorld::seam - 24};
constexpr std::uint64_t table_entries = 6;

/// The other thread: writes over everything that the device reads, with values that are mostly right.
class Changer {
public:
    Changer(GuestRam& ram, DriverRing& ring, const std::vector<GuestRam::Region>& regions)
        : ram_(ram), ring_(ring), regions_(regions) {}

    void set_up() {
        for (std::uint32_t i = 0; i < size; ++i) {
            change_entry(ring_.descriptor_at(i), size, true);
            ram_.store<std::uint16_t>(ring_.available_at() + 4 + 2 * i, static_cast<std::uint16_t>(i));
        }
        for (const std::uint64_t table : tables) {
            for (std::uint64_t i = 0; i < table_entries; ++i) {
                change_entry(table + 16 * i, table_entries, false);
            }
        }
    }

    void run(const std::atomic<bool>& stop) {
        while (!stop.load(std::memory_order_relaxed)) {
            switch (dice(8)) {
                case 0:
                    ram_.store<std::uint16_t>(ring_.available_at() + 4 + 2 * dice(size),
                                              static_cast<std::uint16_t>(dice(64) == 0 ? dice(65536) : dice(size)));
                    break;
                case 1:
                    ring_.set_used_event(static_cast<std::uint16_t>(dice(65536)));
                    ring_.set_available_flags(static_cast<std::uint16_t>(dice(2)));
                    break;
                case 2:
                case 3:
                    change_entry(tables[dice(std::size(tables))] + 16 * dice(table_entries), table_entries, false);
                    break;
                default:
                    change_entry(ring_.descriptor_at(dice(size)), size, true);
            }
        }
    }

private:
    std::uint32_t dice(std::uint64_t bound) {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return static_cast<std::uint32_t>((state_ >> 33U) % bound);
    }

    /// Each field by itself, as stores of a CPU are.
    void change_entry(std::uint64_t place, std::uint64_t entries, bool direct) {
        const auto& region = regions_[dice(regions_.size())];
        // Sometimes close to a region's end, so that length and address fit only together.
        const std::uint64_t offset = dice(3) == 0 ? region.size - 1 - dice(64) : dice(region.size);
        std::uint32_t length = 1 + dice(64);
        if (dice(50) == 0) {
            length = dice(2) == 0 ? 0 : 0x80000000U + dice(0x7fffffff);
        }
        std::uint16_t flags = static_cast<std::uint16_t>(dice(3) == 0 ? next_flag : 0);
        flags |= static_cast<std::uint16_t>(dice(2) == 0 ? write_flag : 0);
        std::uint64_t address = region.guest + offset;
        if (direct && dice(4) == 0) {
            flags = dice(20) == 0 ? indirect_flag | next_flag : indirect_flag;
            address = tables[dice(std::size(tables))];
            length = 16 * (1 + dice(table_entries));
        }
        const std::uint64_t next = dice(60) == 0 ? dice(65536) : dice(entries);
        store(place, address, 8);
        store(place + 8, length, 4);
        store(place + 12, flags, 2);
        store(place + 14, next, 2);
    }

    /// In one access where the place allows it, in bytes else.
    void store(std::uint64_t place, std::uint64_t value, unsigned bytes) {
        if (place % 16 < 8 && bytes == 8 && place % 8 == 0) {
            return ram_.store<std::uint64_t>(place, value);
        }
        if (bytes == 4 && place % 4 == 0) {
            return ram_.store<std::uint32_t>(place, static_cast<std::uint32_t>(value));
        }
        if (bytes == 2 && place % 2 == 0) {
            return ram_.store<std::uint16_t>(place, static_cast<std::uint16_t>(value));
        }
        for (unsigned i = 0; i < bytes; ++i) {
            ram_.store<std::uint8_t>(place + i, static_cast<std::uint8_t>(value >> (8 * i)));
        }
    }

    GuestRam& ram_;
    DriverRing& ring_;
    std::vector<GuestRam::Region> regions_;
    std::uint64_t state_ = 7;
};

class ChangingMemory : public testing::TestWithParam<bool> {
protected:
    static constexpr int pops = 200'000;

    /// Every piece in one of the regions, whole; the sums right.
    void check(const virtqueue::DescriptorChain& chain, std::size_t limit) {
        std::uint64_t readable = 0;
        std::uint64_t writable = 0;
        for (const iovec& segment : chain.readable) {
            expect_in_memory(segment);
            readable += segment.iov_len;
        }
        for (const iovec& segment : chain.writable) {
            expect_in_memory(segment);
            writable += segment.iov_len;
        }
        ASSERT_EQ(readable, chain.readable_bytes);
        ASSERT_EQ(writable, chain.writable_bytes);
        ASSERT_LE(chain.readable.size() + chain.writable.size(), limit);
        ASSERT_LT(chain.head, size);
    }

    void expect_in_memory(const iovec& segment) {
        const auto* const start = static_cast<const std::byte*>(segment.iov_base);
        bool inside = false;
        for (std::size_t i = 0; i < regions.size(); ++i) {
            inside = inside || (start >= hosts[i] && start < hosts[i] + regions[i].size &&
                                segment.iov_len <= static_cast<std::size_t>(hosts[i] + regions[i].size - start));
        }
        ASSERT_TRUE(inside) << segment.iov_base << " + " << segment.iov_len;
        ASSERT_GT(segment.iov_len, 0U);
    }

    std::vector<GuestRam::Region> regions = QueueWorld::regions();
    GuestRam ram{regions};
    std::shared_ptr<const memory::MemoryMap> map = ram.map();
    std::vector<const std::byte*> hosts;
};

INSTANTIATE_TEST_SUITE_P(Suppression, ChangingMemory, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "event_index" : "flags"; });

TEST_P(ChangingMemory, never_brings_pop_to_give_what_it_has_not_checked) {
    for (const auto& region : regions) {
        hosts.push_back(map->translate(memory::GuestAddress{region.guest}, region.size));
        ASSERT_NE(hosts.back(), nullptr);
    }
    ram.share_addresses_with(map);
    DriverRing ring(ram, {.size = size, .event_index = GetParam()});
    Changer changer(ram, ring, regions);
    changer.set_up();
    auto setup = ring.setup();
    auto queue = SplitQueue::create(map, setup).value();

    std::atomic<bool> stop{false};
    std::thread other([&] { changer.run(stop); });
    std::array<iovec, 24> segments;
    virtqueue::DescriptorChain chain;
    int chains = 0;
    int broken = 0;
    for (int i = 0; i < pops && !HasFatalFailure(); ++i) {
        // The index is this thread's, so that there is always a next chain; else the queue would soon starve.
        ring.set_available_index(static_cast<std::uint16_t>(queue.next_available() + 1));
        if (queue.pop(segments, chain) == PopResult::chain) {
            ++chains;
            check(chain, segments.size());
            queue.push(chain.head, 0);
            queue.publish();
            if (chains % 64 == 0) {
                queue.arm();
                queue.disarm();
            }
            continue;
        }
        ASSERT_TRUE(queue.broken());
        ++broken;
        setup.next_available = static_cast<std::uint16_t>(i);
        ring.set_available_index(setup.next_available);
        queue = SplitQueue::create(map, setup).value();
    }
    stop = true;
    other.join();
    EXPECT_GT(chains, pops / 20);
    EXPECT_GT(broken, pops / 20);
}

}  // namespace
}  // namespace sidecore::test
