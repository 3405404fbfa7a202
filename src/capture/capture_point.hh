// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "base/error.hh"
#include "capture/record_ring.hh"
#include "network/packet.hh"

namespace sidecore::capture {

class CapturePoint;

/// Bounds of snap lengths: an Ethernet header, and what the tools of others take for no limit.
inline constexpr std::uint32_t min_snap_bytes = network::min_packet_bytes;
inline constexpr std::uint32_t max_snap_bytes = std::uint32_t{256} << 10U;

/// One capture of a device's packets, for the time that it lives. It keeps its point alive, not the device.
///
/// Thread: one, which reads the ring; destroyed on any. The queues' workers write to the ring.
class Capture {
public:
    struct Options {
        std::uint32_t snap_bytes = max_snap_bytes;       ///< kept of each packet: min_snap_bytes to max_snap_bytes
        bool in = true;                                  ///< packets to the guest
        bool out = true;                                 ///< packets from it
        std::size_t ring_bytes = std::size_t{4} << 20U;  ///< as RecordRing has them
    };

    /// Waits for a worker that is just writing to the ring.
    ~Capture();
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    RecordRing& ring() noexcept { return *ring_; }
    const Options& options() const noexcept { return options_; }

    /// Packets that found the ring full. Any thread.
    std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

    /// Whether the device is gone: nothing more comes into the ring. The ring's fd() is signalled when that happens. Any thread.
    bool ended() const noexcept { return ended_.load(std::memory_order_acquire); }

private:
    friend class CapturePoint;

    Capture(std::shared_ptr<CapturePoint> point, const Options& options, std::unique_ptr<RecordRing> ring) noexcept;

    void take(const Record& record, std::span<const iovec> data) noexcept;

    const std::shared_ptr<CapturePoint> point_;
    const Options options_;
    const std::unique_ptr<RecordRing> ring_;
    std::atomic<std::uint64_t> dropped_{0};
    std::atomic<bool> ended_{false};
};

/// Where a device's packets can be captured: its queues hand over what passes, and whoever wants to see it starts a capture.
///
/// Thread: active() and take() from any worker's; start() and end() from control threads.
///
/// Invariant: a capture is not written to after its slot is closed, which is before it is destroyed: a writer counts itself in at the slot's
/// gate first, and whoever closes the gate waits until all are out. Writers wait for nobody.
class CapturePoint : public std::enable_shared_from_this<CapturePoint> {
public:
    /// Captures at a time.
    static constexpr std::size_t max_captures = 4;

    static std::shared_ptr<CapturePoint> create() { return std::shared_ptr<CapturePoint>(new CapturePoint); }
    CapturePoint(const CapturePoint&) = delete;
    CapturePoint& operator=(const CapturePoint&) = delete;
    ~CapturePoint() = default;

    /// Whether take() has anything to do: one load. What begins or ends just now may be missed.
    bool active() const noexcept { return open_.load(std::memory_order_relaxed) != 0; }

    /// These packets of queue pair `queue` have passed at `time_ns`. Copies as much of them as each capture wants; one that has no room
    /// counts them as dropped.
    void take(Direction direction, std::uint16_t queue, std::uint64_t time_ns,
              std::span<const network::Packet> packets) noexcept;

    /// Errors: out_of_range; closed, the device is being removed; already_exists, there are max_captures; those of RecordRing::create().
    Result<std::unique_ptr<Capture>> start(const Capture::Options& options);

    /// The device is about to go: ends all captures, and no more can be started.
    void end() noexcept;

private:
    friend class Capture;

    /// A place for a capture. `gate` has the bit `open` while there is one, and counts the workers that are writing to it.
    struct alignas(64) Slot {
        static constexpr std::uint32_t open = std::uint32_t{1} << 31U;

        std::atomic<std::uint32_t> gate{0};
        Capture* capture = nullptr;  // changed while the gate is closed and nobody is inside

        bool enter() noexcept;
        void leave() noexcept;
        void close() noexcept;
    };

    CapturePoint() = default;
    void stop(const Capture& capture) noexcept;

    alignas(64) std::atomic<std::uint32_t> open_{0};  // slots; written seldom, read by every batch
    std::array<Slot, max_captures> slots_;

    std::mutex mutex_;  // for what follows, and opening and closing
    bool device_gone_ = false;
};

}  // namespace sidecore::capture
