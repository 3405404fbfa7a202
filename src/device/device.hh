// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hh"
#include "device/device_queue.hh"

namespace sidecore::device {

/// A virtio device: what it offers, its configuration space, and its queues. Knows no vhost-user and no
/// worker.
///
/// Thread: any control thread; calls may come at the same time.
class Device {
public:
    Device() = default;
    virtual ~Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    /// "blk", "net", "scsi".
    virtual std::string_view type() const noexcept = 0;

    /// One line about what is behind it, for a person.
    virtual std::string description() const = 0;

    /// Feature bits on offer (VIRTIO 2.2).
    virtual std::uint64_t features() const noexcept = 0;

    virtual std::uint16_t max_queues() const noexcept = 0;

    /// The driver's choice, a subset of features(). Holds for the queues that are made after it.
    virtual void accept_features(std::uint64_t features) = 0;

    /// The configuration space (VIRTIO 2.5) from `offset`; zeroes beyond its end.
    virtual void read_config(std::uint32_t offset, std::span<std::byte> out) const = 0;

    /// A write to the configuration space by the driver, or by a migration's destination, which may write
    /// every field.
    virtual Result<void> write_config(std::uint32_t offset, std::span<const std::byte> data, bool migration) = 0;

    /// Back to what it was before a driver came (VIRTIO 2.1.2).
    virtual void reset() = 0;

    /// The device's part of a virtqueue that is about to run.
    virtual Result<std::unique_ptr<DeviceQueue>> create_queue(std::uint16_t index, virtqueue::SplitQueue ring,
                                                              Notifiers notifiers) = 0;

    /// Whether its queues use chains in the order in which they take them: then the used ring shows where one that was cut off goes on.
    virtual bool in_order() const noexcept { return false; }

    /// The front-end enables or disables a queue, started or not. Nothing need follow from it: a disabled queue is not served.
    virtual void queue_enabled(std::uint16_t index, bool enabled) {
        static_cast<void>(index);
        static_cast<void>(enabled);
    }

    // Only a network device is asked these.

    /// VHOST_USER_SEND_RARP: a guest that has moved here is to be found at this address.
    virtual Result<void> announce_mac(std::span<const std::uint8_t, 6> mac);

    /// VHOST_USER_NET_SET_MTU
    virtual Result<void> set_mtu(std::uint16_t mtu);
};

}  // namespace sidecore::device
