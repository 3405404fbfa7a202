// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "frontend/device_side.hh"

namespace sidecore::frontend::test {

/// A block device of 64 sectors in a thread, as VIRTIO 5.2.6 describes one: it takes requests as strings of readable
/// and writable bytes, whatever buffers they come in. Sleeps between kicks; calls after each request.
class DiskDevice {
public:
    static constexpr std::size_t sectors = 64;

    struct Options {
        bool silent = false;             ///< takes kicks and does nothing
        std::size_t write_too_much = 0;  ///< bytes written behind each writable buffer
    };

    DiskDevice(const GuestMemoryFile& memory, DriverQueue& queue, Options options);
    DiskDevice(const GuestMemoryFile& memory, DriverQueue& queue) : DiskDevice(memory, queue, Options{}) {}
    ~DiskDevice();
    DiskDevice(const DiskDevice&) = delete;
    DiskDevice& operator=(const DiskDevice&) = delete;

    /// What the device saw and holds; look while nothing is in flight.
    struct Request {
        std::uint32_t type;
        std::uint64_t sector;
        std::vector<std::byte> data;  ///< readable bytes behind the header
        std::vector<DeviceSide::Buffer> buffers;
    };
    const std::vector<Request>& requests() const { return requests_; }
    std::vector<std::byte>& disk() { return disk_; }

private:
    void serve();
    void serve_one(std::uint16_t head);
    std::uint8_t execute(const Request& request, std::vector<std::byte>& out);

    DeviceSide device_;
    DriverQueue& queue_;
    Options options_;
    std::vector<std::byte> disk_;
    std::vector<Request> requests_;
    std::uint16_t next_;  ///< available index
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

}  // namespace sidecore::frontend::test
