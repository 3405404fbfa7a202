// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "device/blk_layout.hh"
#include "device/device.hh"
#include "storage/block_backend.hh"

namespace sidecore::device {

/// What all queues of one disk look at while they run. Written by control threads, read by workers.
struct BlkShared {
    std::atomic<std::uint64_t> capacity_sectors{0};
    std::atomic<bool> durable_writes{false};  ///< write-through: a write is stable before it completes
    bool read_only = false;
    bool can_discard = false;
    bool can_write_zeroes = false;
    std::string serial;
};

/// A virtio block device (VIRTIO 1.3, 5.2) over a storage back-end.
class BlkDevice final : public Device {
public:
    struct Options {
        std::string name = "blk";     ///< for the log
        std::uint16_t queues = 1;     ///< 1 to 64
        bool read_only = false;       ///< also if the storage back-end is
        std::string serial{};         ///< GET_ID, up to 20 bytes; empty: the name
        std::uint16_t seg_max = 126;  ///< data segments of one request: 1 to 1024
        bool event_index = true;      ///< offer VIRTIO_F_EVENT_IDX
        bool indirect = true;         ///< offer VIRTIO_F_INDIRECT_DESC
    };

    static constexpr std::uint16_t max_queues_possible = 64;
    static constexpr std::uint16_t seg_max_possible = 1024;

    /// Segments of one discard or write zeroes request.
    static constexpr std::uint32_t max_range_segments = 32;

    static Result<std::unique_ptr<BlkDevice>> create(std::unique_ptr<storage::BlockBackend> backend, Options options);

    std::string_view type() const noexcept override { return "blk"; }
    std::string description() const override;
    std::uint64_t features() const noexcept override { return features_; }
    std::uint16_t max_queues() const noexcept override { return options_.queues; }
    void accept_features(std::uint64_t features) override;
    void read_config(std::uint32_t offset, std::span<std::byte> out) const override;
    Result<void> write_config(std::uint32_t offset, std::span<const std::byte> data, bool migration) override;
    void reset() override;
    Result<std::unique_ptr<DeviceQueue>> create_queue(std::uint16_t index, virtqueue::SplitQueue ring,
                                                      Notifiers notifiers) override;

    /// Makes the disk longer or shorter; 0: take over what the storage has become. The caller announces the
    /// change. Requests beyond the new end fail from now on.
    Result<void> resize(std::uint64_t capacity_bytes);

    std::uint64_t capacity_bytes() const noexcept {
        return shared_.capacity_sectors.load(std::memory_order_relaxed) * storage::sector_bytes;
    }
    bool read_only() const noexcept { return shared_.read_only; }
    const storage::BlockBackend& backend() const noexcept { return *backend_; }

private:
    BlkDevice(std::unique_ptr<storage::BlockBackend> backend, Options options, const storage::BlockGeometry& geometry);
    blk::Config config() const noexcept;
    void choose_cache_mode() noexcept;

    const std::unique_ptr<storage::BlockBackend> backend_;
    mutable std::mutex backend_mutex_;  // its control calls come one at a time
    const Options options_;
    const storage::BlockGeometry geometry_;
    BlkShared shared_;
    std::uint64_t features_;
    std::atomic<std::uint64_t> accepted_{0};
    std::atomic<bool> writeback_{true};  // the configuration field of the same name
};

}  // namespace sidecore::device
