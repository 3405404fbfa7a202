// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "network/packet.hh"

namespace sidecore::network {

struct TapOptions {
    /// Of the interface, at most 15 bytes; one that does not exist is created. Empty: created, with a name of the kernel's.
    std::string name{};

    /// Instead of a name: open queues of one tap interface, one for each pair. Duplicated, so that they stay the caller's. Name, MTU and
    /// state are then those that the interface has, and `pairs` is not looked at.
    std::vector<int> fds{};

    std::uint16_t pairs = 1;             ///< 1 to TapDevice::pairs_max
    std::optional<std::uint32_t> mtu{};  ///< bytes; absent: as it is
    std::optional<bool> up{};            ///< true: brings the interface up; absent: only if it is created here
};

/// The queues of a tap interface, ready for packets behind a header of tap_header_bytes, little-endian, non-blocking.
/// An interface that did not exist goes away with the last queue.
///
/// Thread: one at a time. The queues' descriptors may be read and written by any.
class TapDevice {
public:
    static constexpr std::uint16_t pairs_max = 16;

    /// Errors say what can be done: not_found without /dev/net/tun, invalid_argument for names and interfaces that cannot be used.
    static Result<TapDevice> open(const TapOptions& options);

    const std::string& name() const noexcept { return name_; }

    /// What the kernel knows to do, both ways.
    const Offloads& offloads() const noexcept { return offloads_; }

    /// What the kernel may hand out undone.
    Result<void> accept(const Offloads& offloads);

    std::uint16_t queues() const noexcept { return static_cast<std::uint16_t>(queues_.size()); }
    int queue(std::uint16_t index) const noexcept { return queues_[index].fd.get(); }

    /// The kernel spreads packets over the first `count` queues, 1 to queues(). The others' descriptors stay as they are, without packets.
    Result<void> use_queues(std::uint16_t count);

private:
    struct Queue {
        Fd fd;
        bool attached = true;
    };

    TapDevice() = default;
    Result<void> attach(const TapOptions& options);
    Result<void> adopt(const std::vector<int>& fds);
    Result<void> prepare();
    Result<void> set_up(const TapOptions& options, bool created);

    std::string name_;
    std::vector<Queue> queues_;
    Offloads offloads_;
};

}  // namespace sidecore::network
