// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <sys/uio.h>

#include "base/error.hh"
#include "network/packet.hh"

namespace sidecore::network {

/// One way of one queue pair: packets from a guest to the network.
///
/// Thread: belongs to one worker at a time, which makes every call; it may move to another between calls.
class PacketSender {
public:
    PacketSender() = default;
    virtual ~PacketSender() = default;
    PacketSender(const PacketSender&) = delete;
    PacketSender& operator=(const PacketSender&) = delete;

    /// Sends `packets` in order and returns how many of them it is done with: their memory is not looked at after the call. Fewer than
    /// all of them: there is no room for the next one, see can_send(). One that cannot be sent for a reason of its own
    /// (too long for the link, headers that contradict its info) is dropped, counted, and done with. Does not wait.
    virtual std::size_t send(std::span<const Packet> packets) noexcept = 0;

    /// Whether send() may find room again. Only asked after it found none; may cost a system call.
    virtual bool can_send() noexcept { return true; }

    /// A descriptor that becomes readable when there is room again after arm() (edge-triggered: it need not be read), or -1 if
    /// send() always finds room.
    virtual int room_fd() const noexcept { return -1; }

    /// Asks for room_fd() to be signalled, then looks again. True: there is no room, and it will be signalled.
    virtual bool arm() noexcept { return false; }

    /// Packets dropped so far because of what they are. Any thread.
    virtual std::uint64_t dropped() const noexcept = 0;
};

/// Where a receiver's packets end, for a sender that runs on the same thread and can write them there itself: one copy from guest to guest.
///
/// Thread: the one that has called PacketReceiver::set_sink().
class PacketSink {
public:
    PacketSink() = default;
    virtual ~PacketSink() = default;
    PacketSink(const PacketSink&) = delete;
    PacketSink& operator=(const PacketSink&) = delete;

    /// So many packets are about to come by deliver(), or a few less: the lines that they will be written to can be asked for ahead of them.
    virtual void expect(std::size_t packets) noexcept { static_cast<void>(packets); }

    /// Writes one packet to the guest. False: no room now, nothing was written.
    virtual bool deliver(const Packet& packet) noexcept = 0;

    /// After deliver(), before the caller returns to its worker: shows the guest what was delivered, and calls it if it wants that.
    virtual void flush() noexcept = 0;
};

/// The other way of one queue pair: packets from the network to a guest. Threads as PacketSender, independent of it.
class PacketReceiver {
public:
    PacketReceiver() = default;
    virtual ~PacketReceiver() = default;
    PacketReceiver(const PacketReceiver&) = delete;
    PacketReceiver& operator=(const PacketReceiver&) = delete;

    /// Whether receive() may find a packet. One load where that is possible, else at most a system call.
    virtual bool has_packet() noexcept = 0;

    /// Takes the next packet: writes it to `room` from the front, its info to `info`, and returns its bytes; 0 if there is none.
    /// `room` has max_packet_bytes or more, so that every packet fits. Does not wait. Writes by copying once; `room` may be a guest's
    /// memory, and nothing that has been written is read again.
    virtual std::uint32_t receive(PacketInfo& info, std::span<const iovec> room) noexcept = 0;

    /// A descriptor that becomes readable when a packet comes after arm() (edge-triggered: it need not be read), or -1: none ever comes.
    virtual int packet_fd() const noexcept = 0;

    /// Asks for packet_fd() to be signalled, then looks again (with a full barrier in between where that is memory's doing). True: there
    /// is no packet, and it will be signalled for the next.
    virtual bool arm() noexcept = 0;

    /// It need not be signalled any more. Best effort.
    virtual void disarm() noexcept = 0;

    /// From now on packets may go to `sink` instead of waiting for receive(), but only from senders on this thread, and never past
    /// packets that wait. Null: no longer. Called by the worker that has the receiver, whenever it gets it and before it gives it up.
    virtual void set_sink(PacketSink* sink) noexcept { static_cast<void>(sink); }

    /// Packets lost so far between the network and receive(), where that is known: nobody took them in time. Any thread.
    virtual std::uint64_t dropped() const noexcept = 0;
};

/// What a guest's queues stand on: the control handle of a link.
///
/// Thread: control threads, one call at a time. Outlives its senders and receivers.
class NetworkBackend {
public:
    NetworkBackend() = default;
    virtual ~NetworkBackend() = default;
    NetworkBackend(const NetworkBackend&) = delete;
    NetworkBackend& operator=(const NetworkBackend&) = delete;

    /// "tap", "switch", "stream", "af_xdp", "loopback", "null".
    virtual std::string_view kind() const noexcept = 0;

    /// One line for a person: "tap vm1-net0, 4 queues".
    virtual std::string description() const = 0;

    /// What send() takes.
    virtual Offloads takes() const noexcept = 0;

    /// What receive() may hand out if it is accepted.
    virtual Offloads gives() const noexcept = 0;

    /// From now on receive() hands out only packets that `offloads`, a part of gives(), covers: the backend does itself what is
    /// missing. Nothing at first.
    virtual Result<void> accept(const Offloads& offloads) = 0;

    /// Queue pairs that it can have, at least 1.
    virtual std::uint16_t max_pairs() const noexcept = 0;

    /// How many of them are in use, 1 to max_pairs(): packets come to the receivers of the first ones only. 1 at first.
    virtual Result<void> set_pairs(std::uint16_t pairs) = 0;

    /// The halves of a pair, one of each at a time. An error if `pair` is not below max_pairs().
    virtual Result<std::unique_ptr<PacketSender>> open_sender(std::uint16_t pair) = 0;
    virtual Result<std::unique_ptr<PacketReceiver>> open_receiver(std::uint16_t pair) = 0;

    /// Tells the network that this MAC address is to be found here now, after a guest has moved (VHOST_USER_SEND_RARP).
    virtual Result<void> announce(std::span<const std::uint8_t, 6> mac) = 0;
};

}  // namespace sidecore::network
