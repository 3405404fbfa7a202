// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "storage/block_backend.hh"
#include "storage/sparse_memory.hh"

namespace sidecore::storage {

struct MemoryOptions {
    std::uint64_t capacity_bytes = 0;  ///< a multiple of sector_bytes, not 0
    bool read_only = false;
};

/// A disk in the daemon's own memory, empty at the start and gone at the end: for scratch space and swap, and for
/// measuring without a device. Memory is taken as it is written to, and given back by discards and by zeroes: none
/// was set aside, so there is none that write_zeroes could keep.
///
/// Every request completes inside submit(). Nothing is more durable than the process, so that flush has nothing to
/// do and the disk claims no volatile cache. It grows and shrinks while its queues are in use (SparseMemory says
/// how).
class MemoryBackend final : public BlockBackend {
public:
    static Result<std::unique_ptr<MemoryBackend>> create(const MemoryOptions& options);

    std::string_view kind() const noexcept override { return "memory"; }
    std::string description() const override;
    BlockGeometry geometry() const override;
    AllocatedRun allocated_run(std::uint64_t offset_bytes) const noexcept override {
        return memory_->allocated_run(offset_bytes);
    }
    Result<std::unique_ptr<BlockQueue>> open_queue(std::uint32_t depth) override;
    Result<void> resize(std::uint64_t capacity_bytes) override;

private:
    MemoryBackend(std::unique_ptr<SparseMemory> memory, bool read_only)
        : memory_(std::move(memory)), read_only_(read_only) {}

    const std::unique_ptr<SparseMemory> memory_;
    const bool read_only_;
};

}  // namespace sidecore::storage
