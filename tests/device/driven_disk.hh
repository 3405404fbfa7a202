// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/error.hh"
#include "device/blk_device.hh"
#include "device/device_queue.hh"
#include "frontend/blk_requests.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"
#include "memory/memory_map.hh"
#include "storage/block_backend.hh"
#include "storage/fake_backend.hh"

namespace sidecore::device {

inline constexpr std::uint64_t mebibyte = 1U << 20U;

/// The value, or an exception with the error's words, which fails the test that did not expect it.
template <typename T>
T must(Result<T> result) {
    if (!result) {
        throw std::runtime_error(result.error().message);
    }
    if constexpr (!std::is_void_v<T>) {
        return std::move(*result);
    }
}

/// `bytes` bytes that differ from place to place and from seed to seed.
std::vector<std::byte> pattern(std::size_t bytes, std::uint64_t seed);

/// The guest's memory as a device sees it.
std::shared_ptr<const memory::MemoryMap> map_of(const frontend::GuestMemoryFile& memory);

/// A block device whose one queue is driven by hand, driver's side and device's side, on one thread: no socket, no worker.
class DrivenDisk {
public:
    struct Options {
        BlkDevice::Options device{};
        std::uint64_t refused_features = 0;  ///< what the driver does not accept of the offer
        frontend::QueueOptions queue{};
        frontend::BlkRequests::Options requests{};
        std::vector<frontend::RegionPlan> memory{};  ///< a file each; empty: one region, as large as it takes
    };

    explicit DrivenDisk(std::unique_ptr<storage::BlockBackend> backend);
    DrivenDisk(std::unique_ptr<storage::BlockBackend> backend, const Options& options);

    // The device's side.
    engine::Turn serve(std::uint32_t budget = 64) { return device_queue_->serve(budget); }
    engine::Reaped reap() { return device_queue_->reap(); }

    /// Turns and reaps until the queue has nothing to do, at the moment, that it could do.
    void work();

    // Whole requests, through both sides.
    frontend::BlkFinished run(const frontend::BlkRequest& request);
    frontend::BlkFinished read(std::uint64_t sector, std::span<std::byte> into);
    frontend::BlkFinished write(std::uint64_t sector, std::span<const std::byte> data);
    frontend::BlkFinished flush();
    frontend::BlkFinished ranges(frontend::BlkType type, std::span<const frontend::BlkRange> ranges);

    /// Puts one request into the ring, where the device sees it. Returns its ticket.
    std::uint64_t offer(const frontend::BlkRequest& request);

    /// A chain that is no request; returns its head.
    std::uint16_t offer_raw(std::span<const frontend::Piece> pieces);

    /// A queue like the first, for a test that changes what a queue is made with.
    void restart_queue(Notifiers notifiers);

    BlkDevice& disk() noexcept { return *disk_; }
    DeviceQueue& queue() noexcept { return *device_queue_; }
    frontend::DriverQueue& driver() noexcept { return *driver_queue_; }
    frontend::BlkRequests& requests() noexcept { return *requests_; }
    frontend::GuestMemoryFile& memory() noexcept { return *memory_; }

    std::vector<std::byte> config() const;
    void accept_features(std::uint64_t features) { disk_->accept_features(features); }

private:
    void create_queue(Notifiers notifiers);

    std::unique_ptr<BlkDevice> disk_;
    std::unique_ptr<frontend::GuestMemoryFile> memory_;
    std::unique_ptr<frontend::DriverQueue> driver_queue_;
    std::unique_ptr<frontend::BlkRequests> requests_;
    std::unique_ptr<DeviceQueue> device_queue_;
};

}  // namespace sidecore::device
