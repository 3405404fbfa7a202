// SPDX-License-Identifier: Apache-2.0
#include "virtqueue/guest_ram.hh"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

namespace sidecore::test {

namespace {

[[noreturn]] void give_up(const char* what, std::uint64_t number) {
    std::fprintf(stderr, "guest memory of the test: %s (%#lx)\n", what, static_cast<unsigned long>(number));
    std::abort();
}

}  // namespace

GuestRam::GuestRam(const std::vector<Region>& regions) {
    for (const Region& region : regions) {
        Fd file(::memfd_create("sidecore-test-ram", MFD_CLOEXEC));
        if (!file || ::ftruncate(file.get(), static_cast<off_t>(region.size)) != 0) {
            give_up("cannot make a file", region.size);
        }
        void* const host = ::mmap(nullptr, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
        if (host == MAP_FAILED) {
            give_up("cannot map a file", region.size);
        }
        mapped_.push_back({region, std::move(file), static_cast<std::byte*>(host)});
    }
}

GuestRam::~GuestRam() {
    for (const Mapped& mapped : mapped_) {
        ::munmap(mapped.host, mapped.region.size);
    }
}

std::shared_ptr<const memory::MemoryMap> GuestRam::map() const {
    std::vector<memory::RegionFile> regions;
    for (const Mapped& mapped : mapped_) {
        regions.push_back({{memory::GuestAddress{mapped.region.guest}, mapped.region.size,
                            memory::UserAddress{mapped.region.user}, 0},
                           Fd(::dup(mapped.file.get()))});
    }
    auto made = memory::MemoryMap::create(std::move(regions));
    if (!made) {
        give_up(made.error().message.c_str(), 0);
    }
    return *made;
}

void GuestRam::share_addresses_with(std::shared_ptr<const memory::MemoryMap> map) {
    shared_ = std::move(map);
}

std::byte* GuestRam::at(std::uint64_t guest, std::size_t bytes) const {
    for (const Mapped& mapped : mapped_) {
        const std::uint64_t offset = guest - mapped.region.guest;
        if (guest >= mapped.region.guest && offset < mapped.region.size && bytes <= mapped.region.size - offset) {
            return shared_ ? shared_->translate(memory::GuestAddress{guest}, bytes) : mapped.host + offset;
        }
    }
    give_up("no such guest address", guest);
}

void GuestRam::clear(std::uint64_t guest, std::uint64_t bytes) {
    while (bytes != 0) {
        const std::uint64_t here = std::min(bytes, 4096 - guest % 4096);
        std::memset(at(guest, here), 0, here);
        guest += here;
        bytes -= here;
    }
}

void GuestRam::snapshot(std::vector<std::byte>& all) const {
    all.clear();
    for (const Mapped& mapped : mapped_) {
        all.insert(all.end(), mapped.host, mapped.host + mapped.region.size);
    }
}

std::vector<std::uint64_t> GuestRam::changed_since(const std::vector<std::byte>& before) const {
    std::vector<std::uint64_t> addresses;
    std::size_t start = 0;
    for (const Mapped& mapped : mapped_) {
        if (std::memcmp(before.data() + start, mapped.host, mapped.region.size) != 0) {
            for (std::uint64_t i = 0; i < mapped.region.size; ++i) {
                if (before[start + i] != mapped.host[i]) {
                    addresses.push_back(mapped.region.guest + i);
                }
            }
        }
        start += mapped.region.size;
    }
    return addresses;
}

bool GuestRam::never_touched(std::size_t region) const {
    return ::lseek(mapped_[region].file.get(), 0, SEEK_DATA) == -1 && errno == ENXIO;
}

void GuestRam::truncate(std::size_t region, std::uint64_t size) {
    if (::ftruncate(mapped_[region].file.get(), static_cast<off_t>(size)) != 0) {
        give_up("cannot truncate", size);
    }
}

}  // namespace sidecore::test
