// SPDX-License-Identifier: Apache-2.0
#include "storage/memory_backend.hh"

#include "base/bounded_fifo.hh"
#include "base/format.hh"
#include "storage/argument_check.hh"
#include "storage/request_check.hh"

namespace sidecore::storage {

namespace {

class MemoryQueue final : public BlockQueue {
public:
    MemoryQueue(SparseMemory& memory, bool read_only, std::uint32_t depth)
        : memory_(memory), read_only_(read_only), completed_(depth) {}

    void submit(std::span<BlockRequest* const> batch) noexcept override {
        const std::uint64_t capacity_bytes = memory_.size_bytes();
        for (BlockRequest* request : batch) {
            request->result = check_request(*request, capacity_bytes, sector_bytes, read_only_);
            if (request->result == 0) {
                execute(*request);
            }
            completed_.push(*request);
        }
    }

    std::size_t reap(std::span<BlockRequest*> completed) noexcept override { return completed_.pop(completed); }

    int completion_fd() const noexcept override { return -1; }

private:
    void execute(const BlockRequest& request) noexcept {
        switch (request.operation) {
            case BlockOperation::read:
                memory_.read(request.offset_bytes, request.length_bytes, request.segments);
                break;
            case BlockOperation::write:
                memory_.write(request.offset_bytes, request.length_bytes, request.segments);
                break;
            case BlockOperation::flush:
                break;
            case BlockOperation::discard:
            case BlockOperation::write_zeroes:
            case BlockOperation::write_zeroes_unmap:
                memory_.zero(request.offset_bytes, request.length_bytes);
                break;
        }
    }

    SparseMemory& memory_;
    const bool read_only_;
    BoundedFifo<BlockRequest> completed_;
};

}  // namespace

Result<std::unique_ptr<MemoryBackend>> MemoryBackend::create(const MemoryOptions& options) {
    SIDECORE_TRY(check_capacity(options.capacity_bytes, sector_bytes));
    SIDECORE_TRY_ASSIGN(auto memory, SparseMemory::create(options.capacity_bytes));
    return std::unique_ptr<MemoryBackend>(new MemoryBackend(std::move(memory), options.read_only));
}

std::string MemoryBackend::description() const {
    return fmt::format("memory, {}{}", format_size(memory_->size_bytes()), read_only_ ? ", read-only" : "");
}

BlockGeometry MemoryBackend::geometry() const {
    BlockGeometry geometry;
    geometry.capacity_bytes = memory_->size_bytes();
    geometry.discard_granularity_bytes = 4096;
    geometry.read_only = read_only_;
    geometry.can_discard = !read_only_;
    geometry.can_write_zeroes = !read_only_;
    geometry.write_zeroes_may_unmap = !read_only_;
    geometry.volatile_write_cache = false;
    return geometry;
}

Result<std::unique_ptr<BlockQueue>> MemoryBackend::open_queue(std::uint32_t depth) {
    SIDECORE_TRY(check_depth(depth));
    return std::make_unique<MemoryQueue>(*memory_, read_only_, depth);
}

Result<void> MemoryBackend::resize(std::uint64_t capacity_bytes) {
    SIDECORE_TRY(check_capacity(capacity_bytes, sector_bytes));
    return memory_->resize(capacity_bytes);
}

}  // namespace sidecore::storage
