// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "base/error.hh"
#include "base/fd.hh"
#include "device/scsi_layout.hh"

namespace sidecore::device {

/// Events that wait for a buffer of the driver's (VIRTIO 1.3, 5.6.6.3). None is lost but for those beyond count_max, of which the driver is told that
/// they were.
///
/// Thread: any.
class ScsiEvents {
public:
    static constexpr std::size_t count_max = 1024;

    static Result<Fd> make_bell() { return make_eventfd(); }
    explicit ScsiEvents(Fd bell) : bell_(std::move(bell)) {}

    void add(const scsi_host::Event& event);

    /// The oldest, which the driver gets now. Nothing: there is none.
    std::optional<scsi_host::Event> take();

    bool any() const noexcept { return any_.load(std::memory_order_acquire); }

    /// The driver begins anew, and will look for itself.
    void clear();

    /// Written to whenever there is another event; never read.
    int bell() const noexcept { return bell_.get(); }

private:
    const Fd bell_;
    std::atomic<bool> any_{false};
    std::mutex mutex_;  // guards what follows
    std::deque<scsi_host::Event> events_;
    bool missed_ = false;
};

}  // namespace sidecore::device
