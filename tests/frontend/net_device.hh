// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/fd.hh"
#include "frontend/device_side.hh"

namespace sidecore::frontend::test {

/// A network device as VIRTIO 5.1.6 describes one, byte by byte: a thread takes what is transmitted and commanded, and the test puts
/// frames into the receive queues, by the rules or against them. It sleeps between kicks and calls after everything.
class NetDevice {
public:
    struct Pair {
        DriverQueue* receive = nullptr;
        DriverQueue* transmit = nullptr;
    };
    struct Options {
        std::size_t header_bytes = 12;
        bool loop = false;               ///< what is transmitted on a pair is received on it
        bool silent = false;             ///< takes kicks and does nothing
        bool spoil_transmitted = false;  ///< writes to the last byte of a transmitted chain
        std::uint32_t transmitted_length = 0;
        std::uint8_t ack = 0;
        std::uint32_t ack_length = 1;
    };

    NetDevice(const GuestMemoryFile& memory, const std::vector<Pair>& pairs, DriverQueue* control,
              const Options& options);
    NetDevice(const GuestMemoryFile& memory, const std::vector<Pair>& pairs)
        : NetDevice(memory, pairs, nullptr, Options{}) {}
    ~NetDevice();
    NetDevice(const NetDevice&) = delete;
    NetDevice& operator=(const NetDevice&) = delete;

    struct Transmitted {
        std::vector<std::byte> bytes;  ///< header, frame
        std::vector<DeviceSide::Buffer> buffers;
    };
    struct Command {
        std::vector<std::byte> bytes;  ///< class, command, data
        std::vector<DeviceSide::Buffer> buffers;
    };
    std::vector<Transmitted> transmitted(std::size_t pair = 0) const;
    std::vector<Command> commands() const;

    /// How a frame is put into buffers, and what is wrong with it.
    struct Delivery {
        std::vector<std::byte> header = std::vector<std::byte>(12);  ///< num_buffers is filled in
        std::optional<std::uint16_t> num_buffers{};                  ///< a lie
        std::optional<std::uint32_t> used_length{};                  ///< a lie about the first buffer
        std::uint32_t room_left = 0;   ///< bytes at the end of each buffer that stay unused
        std::size_t write_behind = 0;  ///< bytes written behind the last buffer
    };

    /// Writes header and frame to as many buffers of a receive queue as that takes, and shows them together. False: there are not enough.
    bool deliver(std::span<const std::byte> frame, const Delivery& how, std::size_t pair = 0);
    bool deliver(std::span<const std::byte> frame) { return deliver(frame, Delivery{}); }

private:
    struct Side {
        Side(const GuestMemoryFile& memory, DriverQueue& driver)
            : device(memory, driver), queue(&driver), next(device.used_index()) {}
        DeviceSide device;
        DriverQueue* queue;
        std::uint16_t next;  ///< available index
    };

    void serve();
    bool serve_transmit(std::size_t pair);
    bool serve_control();
    bool deliver_locked(std::span<const std::byte> frame, const Delivery& how, std::size_t pair);
    static std::vector<std::byte> readable(const DeviceSide& device, const std::vector<DeviceSide::Buffer>& buffers);

    Options options_;
    std::vector<Side> receive_;
    std::vector<Side> transmit_;
    std::vector<Side> control_;  // none or one
    std::map<std::size_t, std::vector<Transmitted>> transmitted_;
    std::vector<Command> commands_;
    mutable std::mutex mutex_;
    bool stop_ = false;
    Fd wake_;
    std::thread thread_;
};

}  // namespace sidecore::frontend::test
