// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sidecore::vhost_user {

/// What a front-end may pass where it notifies or is notified: an eventfd or a pipe ("Support for platforms
/// other than Linux"), or a socket, which is what user-mode Linux has for a pipe. Anything else is refused: a
/// write to a file of a FUSE server, for one, could make a worker wait for ever.
enum class DescriptorKind : std::uint8_t { eventfd, pipe, socket, other };

/// Asks the kernel only, never a file system. Any thread.
DescriptorKind kind_of(int fd) noexcept;

}  // namespace sidecore::vhost_user
