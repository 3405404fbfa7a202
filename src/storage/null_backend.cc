// SPDX-License-Identifier: Apache-2.0
#include "storage/null_backend.hh"

#include "base/bounded_fifo.hh"
#include "base/format.hh"
#include "storage/argument_check.hh"
#include "storage/request_check.hh"

namespace sidecore::storage {

namespace {

class NullQueue final : public BlockQueue {
public:
    NullQueue(const std::atomic<std::uint64_t>& capacity_bytes, bool read_only, std::uint32_t depth)
        : capacity_bytes_(capacity_bytes), read_only_(read_only), completed_(depth) {}

    void submit(std::span<BlockRequest* const> batch) noexcept override {
        const std::uint64_t capacity_bytes = capacity_bytes_.load(std::memory_order_relaxed);
        for (BlockRequest* request : batch) {
            request->result = check_request(*request, capacity_bytes, sector_bytes, read_only_);
            completed_.push(*request);
        }
    }

    std::size_t reap(std::span<BlockRequest*> completed) noexcept override { return completed_.pop(completed); }

    int completion_fd() const noexcept override { return -1; }

private:
    const std::atomic<std::uint64_t>& capacity_bytes_;
    const bool read_only_;
    BoundedFifo<BlockRequest> completed_;
};

}  // namespace

Result<std::unique_ptr<NullBackend>> NullBackend::create(const NullOptions& options) {
    SIDECORE_TRY(check_capacity(options.capacity_bytes, sector_bytes));
    return std::unique_ptr<NullBackend>(new NullBackend(options));
}

std::string NullBackend::description() const {
    return fmt::format("null, {}{}", format_size(geometry().capacity_bytes), read_only_ ? ", read-only" : "");
}

BlockGeometry NullBackend::geometry() const {
    BlockGeometry geometry;
    geometry.capacity_bytes = capacity_bytes_.load(std::memory_order_relaxed);
    geometry.read_only = read_only_;
    geometry.can_discard = !read_only_;
    geometry.can_write_zeroes = !read_only_;
    geometry.write_zeroes_may_unmap = !read_only_;
    geometry.volatile_write_cache = false;
    return geometry;
}

Result<std::unique_ptr<BlockQueue>> NullBackend::open_queue(std::uint32_t depth) {
    SIDECORE_TRY(check_depth(depth));
    return std::make_unique<NullQueue>(capacity_bytes_, read_only_, depth);
}

Result<void> NullBackend::resize(std::uint64_t capacity_bytes) {
    SIDECORE_TRY(check_capacity(capacity_bytes, sector_bytes));
    capacity_bytes_.store(capacity_bytes, std::memory_order_relaxed);
    return {};
}

}  // namespace sidecore::storage
