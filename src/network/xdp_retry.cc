// SPDX-License-Identifier: Apache-2.0
#include "network/xdp_retry.hh"

#include <algorithm>
#include <ctime>
#include <poll.h>
#include <string>
#include <utility>

#include "base/thread.hh"

namespace sidecore::network {

namespace {

/// A card of 10 Gbit/s sends 40 packets of 1500 bytes in the shortest. The longest is for a driver that has stopped.
constexpr long shortest_pause_ns = 50'000;
constexpr long longest_pause_ns = 10'000'000;

/// Whether `fd` was signalled meanwhile. Without `pause_ns` for as long as it takes.
bool signalled_within(int fd, const long* pause_ns) noexcept {
    pollfd entry{fd, POLLIN, 0};
    const timespec pause{0, pause_ns == nullptr ? 0 : *pause_ns};
    ::ppoll(&entry, 1, pause_ns == nullptr ? nullptr : &pause, nullptr);
    return drain_eventfd(fd);
}

}  // namespace

Result<std::unique_ptr<XdpRetry>> XdpRetry::start(int wake, std::vector<XdpTransmitter*> transmitters,
                                                  std::string_view name) {
    std::unique_ptr<XdpRetry> retry(new XdpRetry(wake, std::move(transmitters)));
    auto thread = start_thread("sidecore-xdp", [itself = retry.get()] { itself->run(); });
    if (!thread) {
        return tl::unexpected(std::move(thread).error().within(std::string(name)));
    }
    retry->thread_ = std::move(*thread);
    return retry;
}

XdpRetry::~XdpRetry() {
    if (thread_.joinable()) {
        stopping_.store(true, std::memory_order_release);
        signal_eventfd(wake_);
        thread_.join();
    }
}

void XdpRetry::run() noexcept {
    long pause_ns = shortest_pause_ns;
    while (!stopping_.load(std::memory_order_acquire)) {
        bool owed = false;
        for (XdpTransmitter* const transmitter : transmitters_) {
            owed = transmitter->retry() || owed;
        }
        if (signalled_within(wake_, owed ? &pause_ns : nullptr)) {
            pause_ns = shortest_pause_ns;
        } else {
            pause_ns = std::min(2 * pause_ns, longest_pause_ns);
        }
    }
}

}  // namespace sidecore::network
