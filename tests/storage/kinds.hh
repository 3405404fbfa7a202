// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "storage/block_backend.hh"

namespace sidecore::storage::test {

/// A storage back-end and what it stands on.
struct Disk {
    std::shared_ptr<void> ground;  // goes last
    std::unique_ptr<BlockBackend> backend;
};

/// A way to make one. Every kind starts out full of zeroes.
struct Kind {
    std::string name;
    bool keeps_data = true;  ///< false: reads leave memory alone
    bool can_resize = true;
    std::function<Disk(std::uint64_t capacity_bytes, bool read_only)> open;
};

/// All kinds that work on this host: without io_uring, direct I/O or loop devices there are fewer.
std::vector<Kind> all_kinds();

std::ostream& operator<<(std::ostream& out, const Kind& kind);

}  // namespace sidecore::storage::test
