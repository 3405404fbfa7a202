// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace sidecore::frontend::test {

/// How often the calling thread has allocated memory, in the program that this is linked into.
std::size_t allocations_in_this_thread() noexcept;

}  // namespace sidecore::frontend::test
