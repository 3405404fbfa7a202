// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/error.hh"
#include "memory/address.hh"

namespace sidecore::memory {

/// Keeps a front-end that truncates its memory file from taking the process down: the SIGBUS of an access
/// beyond the file's end is caught, zero pages are put in the place of the rest of that region, and the
/// region is marked. Its device then breaks its queues; nobody else notices (design invariant 3).
///
/// Thread: everything here may be called from any thread.

/// Installs the SIGBUS handler; once per process, by the program's main. Faults outside of guarded ranges end
/// the process as they would without it.
Result<void> install_fault_guard();

/// How often a guarded range has been found damaged, in the whole process: one cheap load that tells a worker
/// whether a closer look (MemoryMap::damaged) is due.
std::uint64_t damage_count() noexcept;

/// One range that the handler knows. The object's address must not change: no copy, no move.
class GuardedRange {
public:
    /// `block_bytes`: page size of the mapping (huge pages have their own), a power of two.
    GuardedRange(HostPointer start, std::size_t size, std::size_t block_bytes);
    ~GuardedRange();
    GuardedRange(const GuardedRange&) = delete;
    GuardedRange& operator=(const GuardedRange&) = delete;

    bool damaged() const noexcept;

    struct Slot;

private:
    Slot* slot_;
};

}  // namespace sidecore::memory
