// SPDX-License-Identifier: Apache-2.0
#include "engine/mailbox.hh"

#include <utility>

namespace sidecore::engine {

Result<Mailbox> Mailbox::create() {
    SIDECORE_TRY_ASSIGN(auto wake, make_eventfd());
    return Mailbox(std::move(wake));
}

void Mailbox::post(Command command) {
    {
        const std::lock_guard lock(mutex_);
        commands_.push_back(std::move(command));
        pending_.store(true, std::memory_order_relaxed);
    }
    signal_eventfd(wake_.get());
}

std::vector<Mailbox::Command> Mailbox::take() {
    drain_eventfd(wake_.get());
    const std::lock_guard lock(mutex_);
    pending_.store(false, std::memory_order_relaxed);
    return std::exchange(commands_, {});
}

}  // namespace sidecore::engine
