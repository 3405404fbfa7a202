// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "storage/block_backend.hh"

namespace sidecore::storage {

struct NullOptions {
    std::uint64_t capacity_bytes = 0;  ///< a multiple of sector_bytes, not 0
    bool read_only = false;
};

/// A disk that moves no data: what is left when storage costs nothing, for measuring everything around it.
///
/// Every request is checked like any other and then succeeds inside submit(). A read leaves the guest's buffers as
/// they were, so it shows the guest nothing that it did not have; a write is forgotten. No system call, lock or
/// allocation after open_queue().
class NullBackend final : public BlockBackend {
public:
    static Result<std::unique_ptr<NullBackend>> create(const NullOptions& options);

    std::string_view kind() const noexcept override { return "null"; }
    std::string description() const override;
    BlockGeometry geometry() const override;
    Result<std::unique_ptr<BlockQueue>> open_queue(std::uint32_t depth) override;
    Result<void> resize(std::uint64_t capacity_bytes) override;

private:
    explicit NullBackend(const NullOptions& options)
        : capacity_bytes_(options.capacity_bytes), read_only_(options.read_only) {}

    std::atomic<std::uint64_t> capacity_bytes_;  // written by resize(), read by the queues
    const bool read_only_;
};

}  // namespace sidecore::storage
