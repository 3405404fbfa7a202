// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "network/network_backend.hh"
#include "network/packet_ring.hh"

namespace sidecore::network {

class PortCounters;

/// The one thread that calls this, as a value that no other thread alive has.
const void* this_thread_token() noexcept;

/// What waits for one receiver of a port.
struct Inbox {
    /// Thread: the receiver's, or control threads while there is none.
    void set_sink(PacketSink* new_sink) noexcept;

    /// Whether the calling thread may write into the sink: it has set it, so it does not change meanwhile.
    bool sink_is_ours() const noexcept { return sink_owner.load(std::memory_order_relaxed) == this_thread_token(); }

    std::unique_ptr<PacketRing> ring;
    std::atomic<bool> open{false};                 // there is a receiver
    std::atomic<std::uint64_t> lost{0};            // frames that found no room here
    std::atomic<const void*> sink_owner{nullptr};  // the thread that has set sink
    PacketSink* sink = nullptr;                    // only that thread's

    // Likewise: for Unflushed, see switch_port.hh.
    bool unflushed = false;  // it is in a list
    Inbox* next_unflushed = nullptr;
    PortCounters* counters = nullptr;  // that are to be told of what was delivered since
    std::uint64_t delivered_frames = 0;
    std::uint64_t delivered_bytes = 0;
};

}  // namespace sidecore::network
