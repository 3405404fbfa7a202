// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "memory/memory_map.hh"
#include "vhost_user/messages.hh"

// Payloads as types. Each function checks by itself that the payload is long enough for what it says it
// holds; the request table's rules come on top. Errors are protocol_violation and name the field; the caller
// adds the request. Nothing here has a state; any thread may use it.

namespace sidecore::vhost_user {

/// SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR.
struct VringDescriptor {
    std::uint32_t index = 0;  ///< 0 to 255
    Fd fd;                    ///< none: the "no fd" flag was set
};

/// GET_CONFIG, SET_CONFIG. `data` lies in the message: header.size bytes, or none.
struct ConfigAccess {
    ConfigHeader header;
    std::span<const std::byte> data;
};

Result<std::uint64_t> decode_u64(const Message& message);
Result<VringState> decode_vring_state(const Message& message);
Result<VringAddr> decode_vring_addr(const Message& message);

/// Takes the descriptor out of the message; it and the flag must agree.
Result<VringDescriptor> decode_vring_descriptor(Message& message);

/// Takes the descriptors out of the message: one for each region ("The size and ordering of the fds matches
/// the number and ordering of memory regions"), 1 to limits::fds.
Result<std::vector<memory::RegionFile>> decode_memory_table(Message& message);

/// ADD_MEM_REG, REM_MEM_REG. Takes the first descriptor, if there is one, out of the message.
Result<memory::RegionFile> decode_memory_region(Message& message);

/// The bytes must be as many as the header says; a GET_CONFIG may also come as a bare header.
Result<ConfigAccess> decode_config(const Message& message);

}  // namespace sidecore::vhost_user
