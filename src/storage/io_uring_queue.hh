// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "base/error.hh"
#include "storage/block_backend.hh"
#include "storage/disk_file.hh"

namespace sidecore::storage {

/// Whether this host lets us use io_uring, with all that IoUringQueue needs of it. Containers, seccomp filters and
/// kernel.io_uring_disabled forbid it.
Result<void> probe_io_uring();

/// A queue with an io_uring of its own: one system call per submitted batch, none to find that nothing has finished.
/// completion_fd() is the ring itself, whose readiness is the state of its completion queue and not an event that
/// could get lost.
Result<std::unique_ptr<BlockQueue>> open_io_uring_queue(DiskFile& file, std::uint32_t depth);

}  // namespace sidecore::storage
