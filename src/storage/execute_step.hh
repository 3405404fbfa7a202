// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "storage/file_operation.hh"

namespace sidecore::storage {

/// Does what a step says, by system calls that return when it is done: the result that FileOperation::complete() wants. Any thread.
std::int64_t execute_step(const FileStep& step, int fd) noexcept;

}  // namespace sidecore::storage
