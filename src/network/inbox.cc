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

void Unflushed::add(Inbox& inbox) noexcept {
    if (!inbox.unflushed) {
        inbox.unflushed = true;
        inbox.next_unflushed = first_;
        first_ = &inbox;
    }
}

void Unflushed::flush() noexcept {
    while (first_ != nullptr) {
        Inbox& inbox = *first_;
        first_ = inbox.next_unflushed;
        inbox.unflushed = false;
        inbox.sink->flush();
    }
}

}  // namespace sidecore::network
