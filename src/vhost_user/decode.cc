// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/decode.hh"

#include <utility>

#include "base/format.hh"

namespace sidecore::vhost_user {

namespace {

template <WirePayload T>
Result<T> decode_start(const Message& message) {
    if (message.payload.size() < sizeof(T)) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("a payload of {} bytes, expected at least {}", message.payload.size(), sizeof(T)));
    }
    return read_payload<T>(message.payload);
}

memory::RegionDescription describe(const MemoryRegion& region) {
    return {memory::GuestAddress{region.guest_address}, region.size, memory::UserAddress{region.user_address},
            region.mmap_offset};
}

}  // namespace

Result<std::uint64_t> decode_u64(const Message& message) {
    return decode_start<std::uint64_t>(message);
}

Result<VringState> decode_vring_state(const Message& message) {
    return decode_start<VringState>(message);
}

Result<VringAddr> decode_vring_addr(const Message& message) {
    return decode_start<VringAddr>(message);
}

Result<VringDescriptor> decode_vring_descriptor(Message& message) {
    SIDECORE_TRY_ASSIGN(const std::uint64_t value, decode_u64(message));
    if ((value & ~(vring_fd::index_mask | vring_fd::no_fd)) != 0) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("payload {:#x}, expected a vring index in bits 0 to 7 and a flag in bit 8", value));
    }
    const bool no_fd = (value & vring_fd::no_fd) != 0;
    if (message.fds.size() != (no_fd ? 0U : 1U)) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{} file descriptors, expected {} as the \"no fd\" flag is {}", message.fds.size(),
                                   no_fd ? 0 : 1, no_fd ? "set" : "not set"));
    }
    VringDescriptor descriptor;
    descriptor.index = static_cast<std::uint32_t>(value & vring_fd::index_mask);
    if (!no_fd) {
        descriptor.fd = std::move(message.fds.front());
    }
    return descriptor;
}

Result<std::vector<memory::RegionFile>> decode_memory_table(Message& message) {
    SIDECORE_TRY_ASSIGN(const auto header, decode_start<MemoryTableHeader>(message));
    // More than the 8 regions of the specification come from rust-vmm's front-ends (Cloud Hypervisor): up
    // to 32.
    if (header.region_count < 1 || header.region_count > limits::fds) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{} regions, expected 1 to {}", header.region_count, limits::fds));
    }
    const std::size_t needed = sizeof(MemoryTableHeader) + header.region_count * sizeof(MemoryRegion);
    if (message.payload.size() < needed) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("a payload of {} bytes, expected at least {} for {} regions", message.payload.size(),
                                   needed, header.region_count));
    }
    if (message.fds.size() != header.region_count) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{} file descriptors, expected {}, one for each region", message.fds.size(),
                                   header.region_count));
    }
    std::vector<memory::RegionFile> table;
    table.reserve(header.region_count);
    for (std::size_t i = 0; i < header.region_count; ++i) {
        const auto region =
            read_payload<MemoryRegion>(message.payload, sizeof(MemoryTableHeader) + i * sizeof(MemoryRegion));
        table.push_back({describe(region), std::move(message.fds[i])});
    }
    message.fds.clear();
    return table;
}

Result<memory::RegionFile> decode_memory_region(Message& message) {
    SIDECORE_TRY_ASSIGN(const auto single, decode_start<SingleMemoryRegion>(message));
    memory::RegionFile region{describe(single.region), Fd()};
    if (!message.fds.empty()) {
        region.file = std::move(message.fds.front());
        message.fds.clear();
    }
    return region;
}

Result<ConfigAccess> decode_config(const Message& message) {
    SIDECORE_TRY_ASSIGN(const auto header, decode_start<ConfigHeader>(message));
    const auto data = std::span<const std::byte>(message.payload).subspan(sizeof(ConfigHeader));
    const bool bare = data.empty() && message.header.request == static_cast<std::uint32_t>(Request::get_config);
    if (data.size() != header.size && !bare) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{} bytes of configuration, expected {} as size says", data.size(), header.size));
    }
    return ConfigAccess{header, data};
}

}  // namespace sidecore::vhost_user
