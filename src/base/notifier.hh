// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sidecore {

/// What a descriptor is through which another process notifies us, or we it.
enum class NotifierKind : std::uint8_t { eventfd, pipe, socket };

/// Asks the kernel only. What is neither eventfd nor socket counts as a pipe. Any thread.
NotifierKind notifier_kind(int fd) noexcept;

/// Both functions are for threads that must never wait, on descriptors whose O_NONBLOCK belongs to another process, which
/// may change it at any moment: on pipes and sockets they use calls that do not wait whatever it says. (No such call
/// exists for an eventfd. A write to one waits only at a count of 2^64 - 2, and its reading end is never read here.)
/// Any thread.

/// Makes the descriptor readable for the other side; one that is full counts as signalled.
void signal_notifier(int fd, NotifierKind kind) noexcept;

/// Takes out what the other side has written to a pipe or socket, so that it does not fill up: up to 64 KiB, because it
/// may be written faster than we read. Nothing to do for an eventfd, whose count may stay.
void empty_notifier(int fd, NotifierKind kind) noexcept;

}  // namespace sidecore
