// SPDX-License-Identifier: Apache-2.0
#include "daemon/standalone.hh"

#include <csignal>
#include <fcntl.h>
#include <string_view>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "base/fd.hh"
#include "base/format.hh"
#include "daemon/engine_settings.hh"
#include "daemon/host_costs.hh"
#include "daemon/process.hh"
#include "daemon/served_device.hh"
#include "engine/worker.hh"

namespace sidecore::daemon {

namespace {

/// Takes over a descriptor that the program was started with.
Result<Fd> take_socket(int number) {
    int domain = 0;
    socklen_t size = sizeof domain;
    if (::getsockopt(number, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) {
        return failure_from_errno(fmt::format("file descriptor {}", number));
    }
    if (domain != AF_UNIX) {
        return failure(ErrorKind::invalid_argument, fmt::format("file descriptor {} is no UNIX socket", number));
    }
    // Sessions wait in their own thread, whatever the program that opened the socket did with it before.
    const int flags = ::fcntl(number, F_GETFL);
    if (flags < 0 || ::fcntl(number, F_SETFL, flags & ~O_NONBLOCK) < 0 || ::fcntl(number, F_SETFD, FD_CLOEXEC) < 0) {
        return failure_from_errno(fmt::format("file descriptor {}", number));
    }
    return Fd(number);
}

}  // namespace

Result<void> serve_standalone(StandaloneOptions options) {
    SIDECORE_TRY_ASSIGN(StopSignal stop, StopSignal::create({SIGTERM, SIGINT, SIGHUP}));
    SIDECORE_TRY(set_up_process());
    ServedDevice::Given given;
    if (options.socket_fd) {
        SIDECORE_TRY_ASSIGN(given.socket, take_socket(*options.socket_fd));
        given.on_ended = [&stop] { stop.request(); };
    }
    SIDECORE_TRY_ASSIGN(const HostCosts costs, find_host_costs({}, engine::CalibrationEffort::brief));
    SIDECORE_TRY_ASSIGN(
        const auto worker,
        engine::Worker::create({.name = options.device.name, .cpu = options.cpu, .costs = costs.costs}));
    std::vector<engine::Worker*> workers(options.device.queues, worker.get());
    SIDECORE_TRY_ASSIGN(
        auto device,
        ServedDevice::create(options.device, {std::move(workers), built_in_queue_settings()}, std::move(given)));
    spdlog::info("{}: {} at {}", device->name(), device->description(),
                 options.socket_fd ? fmt::format("file descriptor {}", *options.socket_fd) : device->socket());

    const int signal = stop.wait();
    spdlog::info("{}: {}, stopping", device->name(),
                 signal != 0 ? std::string_view(::sigabbrev_np(signal)) : "the connection is over");
    device.reset();
    return {};
}

}  // namespace sidecore::daemon
