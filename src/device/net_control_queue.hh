// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>

#include "device/device_queue.hh"
#include "device/net_layout.hh"

namespace sidecore::device {

/// What a driver asks for through the control queue. Called on the thread of the worker that has that queue.
class NetCommands {
public:
    virtual ~NetCommands() = default;

    /// Carries one command out; `data` is what follows class and command. False: refused.
    virtual bool carry_out(net::ControlClass kind, std::uint8_t command, std::span<const std::byte> data) noexcept = 0;
};

/// The control queue of a network device (VIRTIO 1.3, 5.1.6.5). Each command is carried out and acknowledged in the turn that takes it:
/// Linux's driver spins until then.
///
/// Thread: as DeviceQueue.
class NetControlQueue final : public DeviceQueue {
public:
    /// `commands` outlive the queue.
    NetControlQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers, NetCommands& commands);

    engine::Turn serve(std::uint32_t budget) noexcept override;
    engine::Reaped reap() noexcept override { return {}; }
    std::uint32_t in_flight() const noexcept override { return 0; }
    int completion_fd() const noexcept override { return -1; }

    /// Longest command: two tables of MAC addresses, far more of them than the device keeps.
    static constexpr std::size_t max_command_bytes = 65536;

private:
    static constexpr std::size_t max_segments = 1024;

    bool carry_out_one() noexcept;

    NetCommands& commands_;
    std::array<iovec, max_segments> segments_;
    std::unique_ptr<std::byte[]> command_;
};

}  // namespace sidecore::device
