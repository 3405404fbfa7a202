// SPDX-License-Identifier: Apache-2.0
// A driver that mostly keeps to the rules, and sometimes writes whatever it likes. What the queue makes of its
// memory is compared with what a second reading of the specification makes of it, which knows nothing of speed
// or of threads.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fuzzer/FuzzedDataProvider.h>
#include <optional>

#include "virtqueue/driver_ring.hh"
#include "virtqueue/split_queue.hh"

namespace sidecore::test {
namespace {

using virtqueue::PopResult;
using virtqueue::SplitQueue;

constexpr std::uint64_t tables = 0x1000;   // where indirect tables lie, up to `buffers`
constexpr std::uint64_t buffers = 0x2000;  // from here on: data
constexpr std::uint64_t seam = 0x4000;     // between two regions that do not join
constexpr std::uint64_t hole = 0x5000;
constexpr std::uint64_t far = 0x8000;
constexpr std::uint64_t far_end = 0x9000;
const std::vector<GuestRam::Region> regions{{0, seam, GuestRam::user_offset},
                                            {seam, hole - seam, GuestRam::user_offset + 0x100000},
                                            {far, far_end - far, GuestRam::user_offset + far}};

void require(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "does not hold: %s\n", what);
        std::abort();
    }
}

/// A piece of a chain in guest addresses.
struct Piece {
    std::uint64_t start;
    std::uint64_t length;
    bool writable;
};

/// Neighbours made one, so that it does not matter how they were cut.
std::vector<Piece> joined(const std::vector<Piece>& pieces) {
    std::vector<Piece> all;
    for (const Piece& piece : pieces) {
        if (!all.empty() && all.back().writable == piece.writable &&
            all.back().start + all.back().length == piece.start) {
            all.back().length += piece.length;
        } else {
            all.push_back(piece);
        }
    }
    return all;
}

/// The second reading of 2.7.5: what a chain is, or nothing if a driver may not make it.
class Reading {
public:
    Reading(const GuestRam& ram, const DriverRing& ring, std::size_t limit) : ram_(ram), ring_(ring), limit_(limit) {}

    std::optional<std::vector<Piece>> chain(std::uint16_t head) {
        const auto size = ring_.options().size;
        std::uint32_t index = head;
        for (std::uint32_t steps = 0; index < size && steps < size; ++steps) {
            const Entry entry = *read(ring_.descriptor_at(index));
            if ((entry.flags & indirect_flag) != 0) {
                const bool allowed = ring_.options().indirect && (entry.flags & next_flag) == 0;
                return allowed && table(entry) ? std::optional(pieces_) : std::nullopt;
            }
            if (!add(entry)) {
                return std::nullopt;
            }
            if ((entry.flags & next_flag) == 0) {
                return pieces_;
            }
            index = entry.next;
        }
        return std::nullopt;
    }

private:
    struct Entry {
        std::uint64_t address;
        std::uint32_t length;
        std::uint16_t flags;
        std::uint16_t next;
    };

    static const GuestRam::Region* region_of(std::uint64_t address) {
        const auto found = std::find_if(regions.begin(), regions.end(), [&](const GuestRam::Region& region) {
            return address >= region.guest && address < region.guest + region.size;
        });
        return found == regions.end() ? nullptr : &*found;
    }

    std::optional<Entry> read(std::uint64_t place) const {
        std::array<std::uint64_t, 16> bytes{};
        for (unsigned i = 0; i < 16; ++i) {
            if (region_of(place + i) == nullptr) {
                return std::nullopt;
            }
            bytes[i] = ram_.load<std::uint8_t>(place + i);
        }
        const auto field = [&](unsigned from, unsigned count) {
            std::uint64_t value = 0;
            for (unsigned i = count; i-- > 0;) {
                value = value << 8U | bytes[from + i];
            }
            return value;
        };
        return Entry{field(0, 8), static_cast<std::uint32_t>(field(8, 4)), static_cast<std::uint16_t>(field(12, 2)),
                     static_cast<std::uint16_t>(field(14, 2))};
    }

    bool add(const Entry& entry) {
        const bool writable = (entry.flags & write_flag) != 0;
        if (entry.length == 0 || (!writable && !pieces_.empty() && pieces_.back().writable)) {
            return false;
        }
        std::uint64_t address = entry.address;
        for (std::uint64_t left = entry.length; left != 0;) {
            const GuestRam::Region* const region = region_of(address);
            if (region == nullptr || pieces_.size() == limit_) {
                return false;
            }
            const std::uint64_t here = std::min(left, region->guest + region->size - address);
            pieces_.push_back({address, here, writable});
            address += here;
            left -= here;
        }
        return true;
    }

    bool table(const Entry& reference) {
        const std::uint32_t entries = reference.length / 16;
        if (reference.length % 16 != 0 || entries > 65536) {
            return false;
        }
        std::uint32_t index = 0;
        for (std::uint32_t steps = 0; index < entries && steps < entries; ++steps) {
            const auto entry = read(reference.address + 16 * std::uint64_t{index});
            if (!entry || (entry->flags & indirect_flag) != 0 || !add(*entry)) {
                return false;
            }
            if ((entry->flags & next_flag) == 0) {
                return true;
            }
            index = entry->next;
        }
        return false;
    }

    const GuestRam& ram_;
    const DriverRing& ring_;
    std::size_t limit_;
    std::vector<Piece> pieces_;
};

/// One run: a fresh ring in memory that was used before.
class Run {
public:
    Run(GuestRam& ram, FuzzedDataProvider& input)
        : input_(input),
          ram_(ram),
          ring_(ram, {.size = 1U << input.ConsumeIntegralInRange<unsigned>(0, 6),
                      .event_index = input.ConsumeBool(),
                      .indirect = input.ConsumeIntegralInRange(0, 7) != 0,
                      .start = input.PickValueInArray<std::uint16_t>({0, 1, 1000, 32767, 65530, 65535}),
                      .base = 0}),
          queue_(SplitQueue::create(map(), ring_.setup()).value()),
          segments_(input.ConsumeIntegralInRange<std::size_t>(1, 40)) {}

    void go() {
        for (int step = 0; step < 300 && input_.remaining_bytes() > 0; ++step) {
            switch (input_.ConsumeIntegralInRange(0, 15)) {
                case 0:
                case 1:
                case 2:
                    add_chain();
                    break;
                case 3:
                    ring_.publish();
                    break;
                case 4:
                    scribble();
                    break;
                case 5:
                    ring_.set_descriptor(
                        any_index(), input_.ConsumeIntegral<std::uint64_t>(), input_.ConsumeIntegral<std::uint32_t>(),
                        input_.ConsumeIntegral<std::uint16_t>(), input_.ConsumeIntegral<std::uint16_t>());
                    break;
                case 6:
                    ring_.set_available_index(
                        static_cast<std::uint16_t>(queue_.next_available() + input_.ConsumeIntegralInRange(-2, 70)));
                    break;
                case 7:
                    ring_.set_available_flags(input_.ConsumeIntegralInRange<std::uint16_t>(0, 1));
                    if (ring_.options().event_index) {
                        ring_.set_used_event(
                            static_cast<std::uint16_t>(next_used_ + input_.ConsumeIntegralInRange(-3, 8)));
                    }
                    break;
                case 8:
                case 9:
                case 10:
                    pop();
                    break;
                case 11:
                    push();
                    break;
                case 12:
                    publish();
                    break;
                case 13:
                    change_suppression();
                    break;
                case 14:
                    look();
                    break;
                default:
                    rebind();
            }
        }
    }

private:
    const std::shared_ptr<const memory::MemoryMap>& map() const {
        static const std::array<std::shared_ptr<const memory::MemoryMap>, 2> maps{ram_.map(), ram_.map()};
        return maps[second_map_ ? 1 : 0];
    }

    std::uint32_t any_index() { return input_.ConsumeIntegralInRange<std::uint32_t>(0, ring_.options().size - 1); }

    Part any_part() {
        const std::uint64_t address =
            input_.PickValueInArray({buffers, seam - 8, seam, hole - 16, far, far_end - 16, far - 4, hole + 1});
        return {address + input_.ConsumeIntegralInRange<std::uint64_t>(0, 15),
                input_.ConsumeIntegralInRange<std::uint32_t>(input_.ConsumeIntegralInRange(0, 15) == 0 ? 0 : 1, 16),
                input_.ConsumeBool()};
    }

    /// In order, mostly.
    void add_chain() {
        std::vector<Part> parts(input_.ConsumeIntegralInRange<std::size_t>(1, 5));
        std::generate(parts.begin(), parts.end(), [&] { return any_part(); });
        if (input_.ConsumeIntegralInRange(0, 15) != 0) {
            std::stable_partition(parts.begin(), parts.end(), [](const Part& part) { return !part.writable; });
        }
        const auto direct =
            input_.ConsumeBool() ? parts.size() : input_.ConsumeIntegralInRange<std::size_t>(0, parts.size() - 1);
        const std::uint32_t head = any_index();
        const std::span<const Part> all(parts);
        ring_.set_chain(head, all.first(direct));
        if (direct < parts.size()) {
            const std::uint64_t table =
                input_.PickValueInArray({tables, tables + 0x100, tables + 3, seam - 24, seam - 32});
            const auto at = static_cast<std::uint32_t>((head + direct) % ring_.options().size);
            ring_.set_descriptor(at, table, ring_.set_table(table, all.subspan(direct)), indirect_flag);
            if (direct > 0) {
                const Part& last = parts[direct - 1];
                ring_.set_descriptor((at + ring_.options().size - 1) % ring_.options().size, last.address, last.length,
                                     static_cast<std::uint16_t>(next_flag | (last.writable ? write_flag : 0)),
                                     static_cast<std::uint16_t>(at));
            }
        }
        ring_.offer(static_cast<std::uint16_t>(head));
    }

    /// A few bytes anywhere that the device may look at.
    void scribble() {
        const std::uint64_t place = input_.ConsumeBool()
                                        ? input_.ConsumeIntegralInRange<std::uint64_t>(0, ring_.end() - 1)
                                        : input_.ConsumeIntegralInRange<std::uint64_t>(tables, seam + 64);
        for (std::uint64_t i = 0; i < 4; ++i) {
            ram_.store<std::uint8_t>(place + i, input_.ConsumeIntegral<std::uint8_t>());
        }
        // Where we stand in the used ring is ours to know, so the device must not care for its index in memory.
    }

    /// Does something of the device's, and looks that it wrote where it may.
    template <typename Action>
    void watched(bool may_write_used_ring, Action action) {
        static std::vector<std::byte> before;  // one for all runs: the fuzzer's time is better spent
        ram_.snapshot(before);
        action();
        for (const std::uint64_t address : ram_.changed_since(before)) {
            require(may_write_used_ring && ring_.in_used_ring(address), "only the used ring is written");
        }
    }

    void pop() {
        const bool was_broken = queue_.broken();
        const std::uint16_t before = queue_.next_available();
        const std::uint16_t head =
            ram_.load<std::uint16_t>(ring_.available_at() + 4 + 2 * std::uint64_t{before % ring_.options().size});
        const std::uint16_t index = ram_.load<std::uint16_t>(ring_.available_at() + 2);
        virtqueue::DescriptorChain chain;
        PopResult result{};
        watched(false, [&] { result = queue_.pop(segments_, chain); });
        require((result == PopResult::broken) == queue_.broken(), "a broken queue says so");
        if (was_broken) {
            return require(result == PopResult::broken, "broken for good");
        }
        if (result == PopResult::empty) {
            return require(index == before, "empty only if the driver has nothing");
        }
        const auto expected = Reading(ram_, ring_, segments_.size()).chain(head);
        if (result == PopResult::broken) {
            const auto kind = queue_.fault().kind;
            const bool by_index = kind == virtqueue::QueueFault::Kind::available_index_jump ||
                                  kind == virtqueue::QueueFault::Kind::too_many_in_flight;
            require(by_index || !expected, "what may be made is understood");
            require(!queue_.fault().describe(queue_.size()).empty(), "a fault has words");
            return;
        }
        require(expected.has_value(), "what may not be made is refused");
        require(chain.head == head, "the head is the one that was offered");
        compare(chain, *expected);
        popped_.push_back(head);
        require(queue_.next_available() == static_cast<std::uint16_t>(before + 1), "one at a time");
        require(queue_.in_flight() == popped_.size() && popped_.size() <= queue_.size(), "no more than a ring in use");
    }

    void compare(const virtqueue::DescriptorChain& chain, const std::vector<Piece>& expected) {
        std::vector<Piece> found;
        std::uint64_t readable = 0;
        std::uint64_t writable = 0;
        for (const iovec& segment : chain.readable) {
            found.push_back({guest_address_of(segment), segment.iov_len, false});
            readable += segment.iov_len;
        }
        for (const iovec& segment : chain.writable) {
            found.push_back({guest_address_of(segment), segment.iov_len, true});
            writable += segment.iov_len;
        }
        require(found.size() <= segments_.size(), "no more pieces than room");
        require(readable == chain.readable_bytes && writable == chain.writable_bytes, "the sums are right");
        const auto a = joined(found);
        const auto b = joined(expected);
        require(std::equal(a.begin(), a.end(), b.begin(), b.end(),
                           [](const Piece& x, const Piece& y) {
                               return x.start == y.start && x.length == y.length && x.writable == y.writable;
                           }),
                "the pieces are those of the descriptors");
    }

    std::uint64_t guest_address_of(const iovec& segment) const {
        for (const GuestRam::Region& region : regions) {
            const auto* const host = map()->translate(memory::GuestAddress{region.guest}, region.size);
            const auto* const start = static_cast<const std::byte*>(segment.iov_base);
            if (start >= host && start < host + region.size) {
                const auto offset = static_cast<std::uint64_t>(start - host);
                require(segment.iov_len != 0 && segment.iov_len <= region.size - offset, "a piece is in one region");
                return region.guest + offset;
            }
        }
        require(false, "a piece is in the guest's memory");
        return 0;
    }

    void push() {
        if (popped_.empty()) {
            return;
        }
        const auto which = input_.ConsumeIntegralInRange<std::size_t>(0, popped_.size() - 1);
        const std::uint16_t head = popped_[which];
        popped_.erase(popped_.begin() + static_cast<std::ptrdiff_t>(which));
        const auto written = input_.ConsumeIntegral<std::uint32_t>();
        watched(true, [&] { queue_.push(head, written); });
        if (!queue_.broken()) {
            const std::uint64_t entry =
                ring_.used_at() + 4 + 8 * std::uint64_t{(next_used_ + pushed_) % ring_.options().size};
            require(ram_.load<std::uint32_t>(entry) == head && ram_.load<std::uint32_t>(entry + 4) == written,
                    "a used entry is where it belongs");
            ++pushed_;
        }
    }

    void publish() {
        const bool flag = (ram_.load<std::uint16_t>(ring_.available_at()) & 1U) == 0;
        const std::uint16_t event = ram_.load<std::uint16_t>(ring_.used_event_at());
        bool called = false;
        watched(true, [&] { called = queue_.publish(); });
        if (queue_.broken() || pushed_ == 0) {
            return require(!called, "no call without reason");
        }
        bool expected = ring_.options().event_index ? std::exchange(first_batch_, false) : flag;
        for (; pushed_ > 0; --pushed_, ++next_used_) {
            expected = expected || (ring_.options().event_index && next_used_ == event);
        }
        require(called == expected, "the driver is called if it wants to be");
        require(ring_.used_index() == next_used_, "the used index is shown");
    }

    void change_suppression() {
        if (input_.ConsumeBool()) {
            watched(true, [&] { queue_.disarm(); });
            return;
        }
        const bool work = ram_.load<std::uint16_t>(ring_.available_at() + 2) != queue_.next_available();
        bool armed = false;
        watched(true, [&] { armed = queue_.arm(); });
        require(armed == (queue_.broken() || !work), "armed means that nothing is there");
        if (armed && !queue_.broken()) {
            require(
                ring_.options().event_index ? ring_.avail_event() == queue_.next_available() : ring_.used_flags() == 0,
                "armed means that the driver is asked");
        }
    }

    void look() {
        watched(false, [&] {
            // A driver that takes back what was seen does so too late.
            const bool work = queue_.known_available() != 0 ||
                              ram_.load<std::uint16_t>(ring_.available_at() + 2) != queue_.next_available();
            require(queue_.has_available() == (work && !queue_.broken()), "a look sees what there is");
            const std::uint16_t count = queue_.available();
            require(count <= queue_.size(), "no more than a ring");
            require(count == 0 || !queue_.broken(), "nothing in a broken queue");
            queue_.prefetch(count);
            queue_.check_memory();
        });
    }

    void rebind() {
        // As the device would: nothing from the old map is in use.
        if (popped_.empty()) {
            second_map_ = !second_map_;
            watched(false, [&] { require(queue_.rebind(map()).has_value(), "the same memory again"); });
        }
    }

    FuzzedDataProvider& input_;
    GuestRam& ram_;
    DriverRing ring_;
    bool second_map_ = false;
    SplitQueue queue_;
    std::vector<iovec> segments_;
    std::vector<std::uint16_t> popped_;
    std::uint16_t next_used_ = ring_.options().start;
    std::uint32_t pushed_ = 0;
    bool first_batch_ = true;
};

}  // namespace
}  // namespace sidecore::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static sidecore::test::GuestRam ram(sidecore::test::regions);
    for (const auto& region : sidecore::test::regions) {
        ram.clear(region.guest, region.size);
    }
    FuzzedDataProvider input(data, size);
    sidecore::test::Run(ram, input).go();
    return 0;
}
