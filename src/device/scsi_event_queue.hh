// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <sys/uio.h>

#include "device/device_queue.hh"
#include "device/scsi_events.hh"

namespace sidecore::device {

/// The event queue of a SCSI device (VIRTIO 1.3, 5.6.6.3). Its work is up to two parties: there is some while the driver has made buffers available and
/// there is an event to tell.
///
/// Thread: as DeviceQueue.
class ScsiEventQueue final : public DeviceQueue {
public:
    /// `events` outlive the queue.
    ScsiEventQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers, ScsiEvents& events);

    bool has_work() noexcept override { return events_.any() && ring_.has_available(); }
    std::uint32_t pending() const noexcept override { return 0; }
    std::uint32_t capacity() const noexcept override { return 0; }
    engine::Turn serve(std::uint32_t budget) noexcept override;
    bool arm() noexcept override { return events_.any() ? ring_.arm() : !events_.any(); }
    engine::Reaped reap() noexcept override { return {}; }
    std::uint32_t in_flight() const noexcept override { return 0; }
    int second_kick_fd() const noexcept override { return events_.bell(); }
    int completion_fd() const noexcept override { return -1; }

private:
    bool tell_one() noexcept;

    ScsiEvents& events_;
    std::array<iovec, 64> segments_;
};

}  // namespace sidecore::device
