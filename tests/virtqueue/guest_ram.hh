// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "base/fd.hh"
#include "memory/memory_map.hh"

namespace sidecore::test {

/// The memory of a guest that tests write by hand: files as a front-end would pass them, and this side's own
/// view of them, so that a wrong MemoryMap cannot hide a wrong queue.
///
/// Thread: load() and store() any; the rest one.
class GuestRam {
public:
    struct Region {
        std::uint64_t guest = 0;
        std::uint64_t size = 0;
        std::uint64_t user = 0;
    };

    /// User addresses are the guest's plus this, unless a region says otherwise.
    static constexpr std::uint64_t user_offset = 0x7f00'0000'0000;

    explicit GuestRam(const std::vector<Region>& regions);
    /// One region from guest address 0.
    explicit GuestRam(std::uint64_t size) : GuestRam({{0, size, user_offset}}) {}
    ~GuestRam();
    GuestRam(const GuestRam&) = delete;
    GuestRam& operator=(const GuestRam&) = delete;

    /// What SET_MEM_TABLE would make of it: a new map of the same files.
    std::shared_ptr<const memory::MemoryMap> map() const;

    /// From now on this side uses the map's addresses in place of its own: ThreadSanitizer then sees both
    /// sides meet.
    void share_addresses_with(std::shared_ptr<const memory::MemoryMap> map);

    /// The byte at a guest address; the process ends if there is none.
    std::byte* at(std::uint64_t guest, std::size_t bytes = 1) const;

    /// One little-endian field, by one relaxed atomic access. Naturally aligned.
    template <typename T>
    void store(std::uint64_t guest, T value, std::memory_order order = std::memory_order_relaxed) {
        std::atomic_ref<T>(*reinterpret_cast<T*>(at(guest, sizeof(T)))).store(value, order);
    }
    template <typename T>
    T load(std::uint64_t guest, std::memory_order order = std::memory_order_relaxed) const {
        return std::atomic_ref<T>(*reinterpret_cast<T*>(at(guest, sizeof(T)))).load(order);
    }

    /// Zeroes, over as many regions as it takes (whole pages of 4096 each).
    void clear(std::uint64_t guest, std::uint64_t bytes);

    /// All bytes of all regions.
    void snapshot(std::vector<std::byte>& all) const;
    std::vector<std::byte> snapshot() const {
        std::vector<std::byte> all;
        snapshot(all);
        return all;
    }
    /// Guest addresses of the bytes that differ from `before`.
    std::vector<std::uint64_t> changed_since(const std::vector<std::byte>& before) const;

    /// Whether no page of a region has ever been written, by whomever: for regions too large to look at.
    bool never_touched(std::size_t region) const;

    /// What a hostile front-end does to the file of a region.
    void truncate(std::size_t region, std::uint64_t size);

private:
    struct Mapped {
        Region region;
        Fd file;
        std::byte* host;
    };
    std::vector<Mapped> mapped_;
    std::shared_ptr<const memory::MemoryMap> shared_;
};

}  // namespace sidecore::test
