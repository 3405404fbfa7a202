// SPDX-License-Identifier: Apache-2.0
#include "network/inbox.hh"

namespace sidecore::network {

const void* this_thread_token() noexcept {
    static thread_local char token;
    return &token;
}

void Inbox::set_sink(PacketSink* new_sink) noexcept {
    sink = new_sink;
    sink_owner.store(new_sink == nullptr ? nullptr : this_thread_token(), std::memory_order_relaxed);
}

}  // namespace sidecore::network
