// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "network/network_backend.hh"
#include "network/packet_ring.hh"

namespace sidecore::network {

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
    Inbox* next_unflushed = nullptr;               // likewise, as is whether it is in a list at all
    bool unflushed = false;
};

/// The inboxes whose sinks a call of send() has used, and has to flush before it returns. All are of the thread that makes the call.
class Unflushed {
public:
    void add(Inbox& inbox) noexcept;
    void flush() noexcept;

private:
    Inbox* first_ = nullptr;
};

}  // namespace sidecore::network
