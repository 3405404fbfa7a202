// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.hh"
#include "control/device_spec.hh"

namespace sidecore::daemon {

/// One device by itself in the foreground, as the vhost-user specification's "Backend program conventions" want it.
struct StandaloneOptions {
    control::DeviceSpec device;        ///< without a socket if there is `socket_fd`
    std::optional<int> socket_fd;      ///< inherited: a socket that listens, or one connection
    std::optional<std::uint32_t> cpu;  ///< that its worker is pinned to
};

/// Serves until SIGTERM, SIGINT or SIGHUP, or, with one inherited connection, until the front-end closes it. Accepted
/// I/O has been finished when it returns. Thread: main, before there are others.
Result<void> serve_standalone(StandaloneOptions options);

}  // namespace sidecore::daemon
