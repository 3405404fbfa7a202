// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/error.hh"
#include "base/fd.hh"

namespace sidecore::network {

/// An interface that the host has, and a socket on it for single frames. As long as this exists the interface takes frames to any
/// address (it is promiscuous): those of guests are none that it knows.
///
/// Thread: one at a time.
class HostInterface {
public:
    /// Errors: not_found, invalid_argument for what cannot be a name, system without CAP_NET_RAW.
    static Result<HostInterface> open(const std::string& name);

    const std::string& name() const noexcept { return name_; }
    unsigned index() const noexcept { return index_; }

    /// Bytes behind the Ethernet header, as they were when it was opened.
    std::uint32_t mtu() const noexcept { return mtu_; }

    /// Whether it was up then.
    bool up() const noexcept { return up_; }

    /// Receive and transmit queues that it had then, 0 if it does not tell.
    std::uint32_t queues() const noexcept { return queues_; }

    /// Past every back-end, at once or not at all.
    Result<void> send(std::span<const std::byte> frame) const;

private:
    HostInterface() = default;

    std::string name_;
    unsigned index_ = 0;
    std::uint32_t mtu_ = 0;
    bool up_ = false;
    std::uint32_t queues_ = 0;
    Fd socket_;
};

}  // namespace sidecore::network
