// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string_view>

namespace sidecore::storage::test {

/// Runs `body` in a thread of its own, where these system calls fail with EPERM (as in a container that forbids
/// them). What the thread starts inherits that.
void run_without_system_calls(std::initializer_list<long> forbidden, const std::function<void()>& body);

/// Runs `body` in a thread of its own; returns how many system calls it tried to make that do I/O, or that read from or
/// write to `fd` (none is executed).
int count_io_system_calls(int fd, const std::function<void()>& body);

/// Runs `body` in a thread that has the rights of the user nobody, if it has more now.
void run_as_nobody(const std::function<void()>& body);

/// Context switches so far of all threads of this process with that name.
std::uint64_t context_switches(std::string_view thread_name);

/// How many there are.
std::size_t count_threads(std::string_view thread_name);

}  // namespace sidecore::storage::test
