// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.hh"
#include "network/xdp_transmitter.hh"

namespace sidecore::network {

/// A thread that calls XdpTransmitter::retry() as long as there is need: again and again, each time after a longer pause. It sleeps otherwise.
///
/// Thread: control threads.
class XdpRetry {
public:
    /// `wake`: the transmitters' retry_fd. It and they outlive this. `name`: for errors.
    static Result<std::unique_ptr<XdpRetry>> start(int wake, std::vector<XdpTransmitter*> transmitters,
                                                   std::string_view name);
    XdpRetry(const XdpRetry&) = delete;
    XdpRetry& operator=(const XdpRetry&) = delete;
    ~XdpRetry();

private:
    XdpRetry(int wake, std::vector<XdpTransmitter*> transmitters) noexcept
        : wake_(wake), transmitters_(std::move(transmitters)) {}
    void run() noexcept;

    const int wake_;
    const std::vector<XdpTransmitter*> transmitters_;
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

}  // namespace sidecore::network
