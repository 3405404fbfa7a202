// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "memory/address.hh"

namespace sidecore::frontend {

/// A region of guest memory as a test wants it. Sizes in bytes, multiples of the page size.
struct RegionPlan {
    memory::GuestAddress guest_address;
    std::uint64_t size = 0;
    std::optional<memory::UserAddress> user_address;  ///< what the back-end is told; none: where it is mapped here
    std::uint64_t file_gap = 0;                       ///< bytes of the file left unused before this region
};

/// A run of guest memory that lies in one region, by both its names.
struct GuestBuffer {
    memory::GuestAddress address;
    std::byte* host = nullptr;
    std::uint64_t size = 0;  ///< bytes

    std::span<std::byte> bytes() const noexcept { return {host, size}; }
};

/// A guest's memory as the front-end makes and shares it: regions of memfds, mapped here, and an allocator that hands
/// out pieces of them to rings and buffers.
///
/// Thread: allocation and truncation from one thread; everything else from any. Outlives the queues placed in it.
/// Moving it keeps the mappings where they are.
class GuestMemoryFile {
public:
    enum class Files : std::uint8_t {
        one,         ///< all regions in one file, one behind the other (with their gaps), as user-mode Linux does
        per_region,  ///< a file for each, as a VMM with several memory back-ends does
    };

    struct Region {
        memory::GuestAddress guest_address;
        memory::UserAddress user_address;
        std::uint64_t size = 0;
        std::uint64_t mmap_offset = 0;  ///< where it starts in the file
        std::byte* host = nullptr;
        int file = -1;  ///< owned by the GuestMemoryFile
    };

    /// Memory of at least `size` bytes as one region at `start`: what most tests need.
    static Result<GuestMemoryFile> create(std::uint64_t size,
                                          memory::GuestAddress start = memory::GuestAddress{0x10'0000});

    /// Regions as planned, in the order planned; overlaps are the caller's right (a back-end has to refuse them).
    static Result<GuestMemoryFile> create(std::span<const RegionPlan> plan, Files files = Files::one);

    GuestMemoryFile(GuestMemoryFile&&) noexcept = default;
    GuestMemoryFile& operator=(GuestMemoryFile&&) noexcept = default;
    GuestMemoryFile(const GuestMemoryFile&) = delete;
    GuestMemoryFile& operator=(const GuestMemoryFile&) = delete;
    ~GuestMemoryFile() = default;

    std::span<const Region> regions() const noexcept { return regions_; }

    /// `size` bytes, zero since the file was made or left from an earlier use, aligned in guest *and* host addresses to
    /// `alignment` (a power of two up to the page size), from `region` or from the first one with room.
    Result<GuestBuffer> allocate(std::uint64_t size, std::uint64_t alignment = 64,
                                 std::optional<std::size_t> region = std::nullopt);

    /// Frees in one go all that was allocated after the mark was taken.
    using Mark = std::vector<std::uint64_t>;
    Mark mark() const { return used_; }
    void rewind(const Mark& mark) { used_ = mark; }

    /// Where `length` bytes of guest memory lie here, or nullptr: not inside one region.
    std::byte* host(memory::GuestAddress start, std::uint64_t length) const noexcept;

    /// The back-end's name for a place in a region; 0 if it lies in none.
    memory::UserAddress user(memory::GuestAddress start) const noexcept;

    /// Copies from and to guest memory, across regions that follow each other. False: some of it is no memory.
    bool read(memory::GuestAddress start, std::span<std::byte> out) const noexcept;
    bool write(memory::GuestAddress start, std::span<const std::byte> data) const noexcept;

    /// Cuts the file of `region` to `size` bytes, as a front-end may do that means harm. Whoever touches what was cut
    /// off gets SIGBUS, this process too.
    Result<void> truncate_file(std::size_t region, std::uint64_t size);

private:
    /// Owns one mapping.
    class Mapping {
    public:
        Mapping(std::byte* start, std::uint64_t size) noexcept : start_(start), size_(size) {}
        Mapping(Mapping&& other) noexcept;
        Mapping& operator=(Mapping&& other) noexcept;
        Mapping(const Mapping&) = delete;
        Mapping& operator=(const Mapping&) = delete;
        ~Mapping();

    private:
        std::byte* start_;
        std::uint64_t size_;
    };

    GuestMemoryFile() = default;
    const Region* find(memory::GuestAddress start) const noexcept;

    std::vector<Fd> files_;
    std::vector<Mapping> mappings_;
    std::vector<Region> regions_;
    std::vector<std::uint64_t> used_;  // per region, bytes handed out
};

}  // namespace sidecore::frontend
