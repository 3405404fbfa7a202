// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/error.hh"
#include "base/fd.hh"
#include "network/host_interface.hh"
#include "network/xdp_receive_ring.hh"
#include "network/xdp_transmitter.hh"

namespace sidecore::network {

/// Pages that this has mapped.
class XdpMapping {
public:
    XdpMapping() = default;
    XdpMapping(void* address, std::size_t bytes) noexcept : address_(address), bytes_(bytes) {}
    XdpMapping(XdpMapping&& other) noexcept
        : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    XdpMapping& operator=(XdpMapping&& other) noexcept;
    XdpMapping(const XdpMapping&) = delete;
    XdpMapping& operator=(const XdpMapping&) = delete;
    ~XdpMapping();

    std::byte* data() const noexcept { return static_cast<std::byte*>(address_); }
    std::size_t size() const noexcept { return bytes_; }

private:
    void* address_ = nullptr;
    std::size_t bytes_ = 0;
};

/// Whether the card may read and write the frames itself.
enum class XdpMode : std::uint8_t {
    automatic,  ///< if its driver can
    copy,       ///< the kernel copies
    zero_copy,  ///< it has to
};

/// An AF_XDP socket on one queue of an interface, with memory for frames of its own: one half for each way.
///
/// Thread: control threads. Its halves say who may call them.
class XdpSocket {
public:
    struct Options {
        std::uint32_t queue = 0;
        XdpMode mode = XdpMode::automatic;
        std::uint32_t frames = 0;       ///< each way, a power of two
        std::uint32_t frame_bytes = 0;  ///< 2048 or 4096
        int retry_fd = -1;              ///< see XdpTransmitter
    };

    /// Errors: out_of_range if there is no such queue, unsupported if the mode cannot be had, already_exists if somebody else has the queue.
    static Result<std::unique_ptr<XdpSocket>> open(const HostInterface& interface, const Options& options);

    int fd() const noexcept { return fd_.get(); }
    bool zero_copy() const noexcept { return zero_copy_; }
    XdpReceiveRing& receive_ring() noexcept { return *receive_ring_; }
    XdpTransmitter& transmitter() noexcept { return *transmitter_; }

    /// Packets for this queue that nobody took in time, and such as are too long for a frame. Any thread; a system call.
    std::uint64_t dropped() const noexcept;

private:
    XdpSocket() = default;
    Result<void> map_frames(const HostInterface& interface, const Options& options);
    Result<void> make_rings(const HostInterface& interface, const Options& options);
    Result<void> bind(const HostInterface& interface, const Options& options);

    // The rings in the order of the options that make them.
    enum RingName : std::uint8_t { fill, completion, receive, transmit, ring_count };

    XdpMapping frames_;
    std::array<XdpMapping, ring_count> mappings_;
    std::array<XdpRingMemory, ring_count> rings_;
    Fd fd_;  // closed before its memory goes
    bool zero_copy_ = false;
    std::optional<XdpReceiveRing> receive_ring_;
    std::optional<XdpTransmitter> transmitter_;
};

}  // namespace sidecore::network
