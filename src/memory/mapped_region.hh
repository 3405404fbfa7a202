// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "memory/fault_guard.hh"
#include "memory/memory_map.hh"

namespace sidecore::memory {

/// A piece of this process's address space, reserved and inaccessible until regions are mapped into it.
/// Thread: immutable after create(); freed with its last region.
class Reservation {
public:
    /// `size` bytes (not 0) whose start is `phase` modulo `alignment` (a power of two, at least the page
    /// size; `phase` in whole pages).
    static Result<std::shared_ptr<Reservation>> create(std::size_t size, std::size_t alignment, std::size_t phase = 0);
    ~Reservation();
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;

    HostPointer start() const noexcept { return start_; }
    std::size_t size() const noexcept { return size_; }

private:
    Reservation(HostPointer start, std::size_t size) noexcept : start_(start), size_(size) {}
    HostPointer start_;
    std::size_t size_;
};

/// Which file it is, whatever descriptor it came with.
struct FileIdentity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;

    static Result<FileIdentity> of(int fd);
    friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

/// One region of guest memory, mapped shared and writable. Its memory goes with it, even while neighbours in
/// the same reservation stay. Thread: immutable.
class MappedRegion {
public:
    /// Maps regions that came in one table, neighbours side by side where possible (MemoryMap invariant 3).
    /// `regions` are in order of guest address and do not overlap.
    static Result<std::vector<std::shared_ptr<MappedRegion>>> map_all(std::span<const RegionFile> regions);

    ~MappedRegion();
    MappedRegion(const MappedRegion&) = delete;
    MappedRegion& operator=(const MappedRegion&) = delete;

    const RegionDescription& description() const noexcept { return description_; }
    const FileIdentity& file() const noexcept { return file_; }
    HostPointer host() const noexcept { return host_; }
    bool damaged() const noexcept { return guard_.damaged(); }

    /// Whether `next` begins where this one ends: in guest, user and host addresses.
    bool continues_into(const MappedRegion& next) const noexcept;

private:
    MappedRegion(const RegionDescription& description, const FileIdentity& file, HostPointer mapping,
                 std::size_t mapping_size, std::size_t block_bytes, std::size_t lead,
                 std::shared_ptr<Reservation> reservation);

    RegionDescription description_;
    FileIdentity file_;
    HostPointer mapping_;  // block-aligned; at most one block before host_
    std::size_t mapping_size_;
    HostPointer host_;
    std::shared_ptr<Reservation> reservation_;
    GuardedRange guard_;
};

}  // namespace sidecore::memory
