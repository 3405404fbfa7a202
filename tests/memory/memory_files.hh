// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "base/fd.hh"
#include "memory/memory_map.hh"

/// What the tests of guest memory share: files as a front-end would pass them, and looks at this process.
namespace sidecore::memory {

inline constexpr std::uint64_t page = 4096;

/// A memory file; `name` shows in /proc/self/maps.
inline Fd make_file(std::uint64_t size, const std::string& name = "sidecore-test", unsigned flags = 0) {
    Fd file(::memfd_create(name.c_str(), MFD_CLOEXEC | flags));
    EXPECT_TRUE(file.valid()) << name;
    EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
    return file;
}

inline RegionFile region_of(const Fd& file, std::uint64_t guest, std::uint64_t user, std::uint64_t size,
                            std::uint64_t offset = 0) {
    return {{GuestAddress{guest}, size, UserAddress{user}, offset}, Fd(::dup(file.get()))};
}

template <typename... Regions>
std::vector<RegionFile> table(Regions... regions) {
    std::vector<RegionFile> all;
    (all.push_back(std::move(regions)), ...);
    return all;
}

/// A byte of guest memory, read or written where it is.
inline std::uint8_t peek(const std::byte* place) {
    return std::atomic_ref<std::uint8_t>(*reinterpret_cast<std::uint8_t*>(const_cast<std::byte*>(place)))
        .load(std::memory_order_relaxed);
}
inline void poke(std::byte* place, std::uint8_t value) {
    std::atomic_ref<std::uint8_t>(*reinterpret_cast<std::uint8_t*>(place)).store(value, std::memory_order_relaxed);
}

inline std::uint8_t file_byte(const Fd& file, std::uint64_t offset) {
    std::uint8_t value = 0;
    EXPECT_EQ(::pread(file.get(), &value, 1, static_cast<off_t>(offset)), 1) << "at " << offset;
    return value;
}
inline void set_file_byte(const Fd& file, std::uint64_t offset, std::uint8_t value) {
    EXPECT_EQ(::pwrite(file.get(), &value, 1, static_cast<off_t>(offset)), 1) << "at " << offset;
}

/// How many mappings of this process show `name`.
inline std::size_t mappings_named(const std::string& name) {
    std::ifstream maps("/proc/self/maps");
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);) {
        count += line.find(name) != std::string::npos ? 1 : 0;
    }
    return count;
}

/// The line of /proc/self/maps that holds `place`, or "".
inline std::string mapping_at(const std::byte* place) {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::size_t used = 0;
        const auto start = std::stoull(line, &used, 16);
        const auto end = std::stoull(line.substr(used + 1), nullptr, 16);
        const auto address = reinterpret_cast<std::uintptr_t>(place);
        if (address >= start && address < end) {
            return line;
        }
    }
    return "";
}

}  // namespace sidecore::memory
