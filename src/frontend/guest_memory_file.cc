// SPDX-License-Identifier: Apache-2.0
#include "frontend/guest_memory_file.hh"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "base/format.hh"

namespace sidecore::frontend {

namespace {

std::uint64_t page_bytes() noexcept {
    static const auto size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return size;
}

std::uint64_t round_up(std::uint64_t value, std::uint64_t alignment) noexcept {
    return (value + alignment - 1) / alignment * alignment;
}

Result<Fd> make_file(std::uint64_t size) {
    Fd file(::memfd_create("guest-memory", MFD_CLOEXEC));
    if (!file) {
        return failure_from_errno("creating a file for guest memory");
    }
    if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
        return failure_from_errno(fmt::format("giving the guest memory file {} bytes", size));
    }
    return file;
}

}  // namespace

GuestMemoryFile::Mapping::Mapping(Mapping&& other) noexcept
    : start_(std::exchange(other.start_, nullptr)), size_(other.size_) {}

GuestMemoryFile::Mapping& GuestMemoryFile::Mapping::operator=(Mapping&& other) noexcept {
    std::swap(start_, other.start_);
    std::swap(size_, other.size_);
    return *this;
}

GuestMemoryFile::Mapping::~Mapping() {
    if (start_ != nullptr) {
        ::munmap(start_, size_);
    }
}

Result<GuestMemoryFile> GuestMemoryFile::create(std::uint64_t size, memory::GuestAddress start) {
    const RegionPlan plan{
        .guest_address = start, .size = round_up(size, page_bytes()), .user_address = {}, .file_gap = 0};
    return create(std::span(&plan, 1));
}

Result<GuestMemoryFile> GuestMemoryFile::create(std::span<const RegionPlan> plan, Files files) {
    GuestMemoryFile made;
    std::uint64_t file_bytes = 0;
    for (const RegionPlan& region : plan) {
        if (region.size == 0 || region.size % page_bytes() != 0 || region.file_gap % page_bytes() != 0) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("guest memory region of {} bytes behind a gap of {}: whole pages are needed",
                                       region.size, region.file_gap));
        }
        if (files == Files::per_region) {
            SIDECORE_TRY_ASSIGN(Fd file, make_file(region.file_gap + region.size));
            made.files_.push_back(std::move(file));
        }
        file_bytes += region.file_gap + region.size;
    }
    if (files == Files::one) {
        SIDECORE_TRY_ASSIGN(Fd file, make_file(file_bytes));
        made.files_.push_back(std::move(file));
    }

    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < plan.size(); ++i) {
        const int file = files == Files::one ? made.files_.front().get() : made.files_[i].get();
        offset = (files == Files::one ? offset : 0) + plan[i].file_gap;
        void* const mapped =
            ::mmap(nullptr, plan[i].size, PROT_READ | PROT_WRITE, MAP_SHARED, file, static_cast<off_t>(offset));
        if (mapped == MAP_FAILED) {
            return failure_from_errno(fmt::format("mapping {} bytes of guest memory", plan[i].size));
        }
        auto* const host = static_cast<std::byte*>(mapped);
        made.mappings_.emplace_back(host, plan[i].size);
        const memory::UserAddress mapped_at{reinterpret_cast<std::uintptr_t>(host)};
        made.regions_.push_back({.guest_address = plan[i].guest_address,
                                 .user_address = plan[i].user_address.value_or(mapped_at),
                                 .size = plan[i].size,
                                 .mmap_offset = offset,
                                 .host = host,
                                 .file = file});
        offset += plan[i].size;
    }
    made.used_.assign(plan.size(), 0);
    return made;
}

Result<GuestBuffer> GuestMemoryFile::allocate(std::uint64_t size, std::uint64_t alignment,
                                              std::optional<std::size_t> region) {
    for (std::size_t i = region.value_or(0); i < regions_.size() && i <= region.value_or(i); ++i) {
        const Region& from = regions_[i];
        const std::uint64_t start = round_up(from.guest_address.value + used_[i], alignment);
        const std::uint64_t offset = start - from.guest_address.value;
        if (offset <= from.size && size <= from.size - offset) {
            used_[i] = offset + size;
            return GuestBuffer{.address = {start}, .host = from.host + offset, .size = size};
        }
    }
    return failure(ErrorKind::out_of_range,
                   fmt::format("no {} bytes of guest memory are left at an alignment of {}", size, alignment));
}

const GuestMemoryFile::Region* GuestMemoryFile::find(memory::GuestAddress start) const noexcept {
    const auto found = std::find_if(regions_.begin(), regions_.end(), [start](const Region& region) {
        return start >= region.guest_address && start - region.guest_address < region.size;
    });
    return found == regions_.end() ? nullptr : &*found;
}

std::byte* GuestMemoryFile::host(memory::GuestAddress start, std::uint64_t length) const noexcept {
    const Region* const region = find(start);
    if (region == nullptr || length > region->size - (start - region->guest_address)) {
        return nullptr;
    }
    return region->host + (start - region->guest_address);
}

memory::UserAddress GuestMemoryFile::user(memory::GuestAddress start) const noexcept {
    const Region* const region = find(start);
    return region == nullptr ? memory::UserAddress{} : region->user_address + (start - region->guest_address);
}

bool GuestMemoryFile::read(memory::GuestAddress start, std::span<std::byte> out) const noexcept {
    while (!out.empty()) {
        const Region* const region = find(start);
        if (region == nullptr) {
            return false;
        }
        const std::uint64_t offset = start - region->guest_address;
        const std::size_t length = std::min<std::uint64_t>(out.size(), region->size - offset);
        std::memcpy(out.data(), region->host + offset, length);
        out = out.subspan(length);
        start = start + length;
    }
    return true;
}

bool GuestMemoryFile::write(memory::GuestAddress start, std::span<const std::byte> data) const noexcept {
    while (!data.empty()) {
        const Region* const region = find(start);
        if (region == nullptr) {
            return false;
        }
        const std::uint64_t offset = start - region->guest_address;
        const std::size_t length = std::min<std::uint64_t>(data.size(), region->size - offset);
        std::memcpy(region->host + offset, data.data(), length);
        data = data.subspan(length);
        start = start + length;
    }
    return true;
}

Result<void> GuestMemoryFile::truncate_file(std::size_t region, std::uint64_t size) {
    if (::ftruncate(regions_.at(region).file, static_cast<off_t>(size)) != 0) {
        return failure_from_errno(fmt::format("cutting the guest memory file to {} bytes", size));
    }
    return {};
}

}  // namespace sidecore::frontend
