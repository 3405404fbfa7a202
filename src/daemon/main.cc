// SPDX-License-Identifier: Apache-2.0
// sidecored: serves the virtio devices of a host's virtual machines.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "base/format.hh"
#include "base/log.hh"
#include "control/version.hh"
#include "daemon/config.hh"
#include "daemon/control_server.hh"
#include "daemon/host_costs.hh"
#include "daemon/manager.hh"
#include "daemon/process.hh"

namespace sidecore::daemon {
namespace {

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

struct Arguments {
    std::string config;
    std::string socket;
    std::string log_level;
    bool check = false;
    bool calibrate = false;
};

int fail(const Error& error) {
    spdlog::critical("{}", error.message);
    return exit_failure;
}

/// The configuration, or nothing after its problems have been printed.
std::optional<Config> read_config(const Arguments& arguments) {
    if (arguments.config.empty()) {
        return parse_config("", "").value();
    }
    auto config = load_config(arguments.config);
    if (config) {
        return std::move(*config);
    }
    for (const control::Problem& problem : config.error()) {
        fmt::print(stderr, "{}: {}\n", problem.where, problem.what);
    }
    return std::nullopt;
}

/// Adds every switch, shared disk and device, so that all that cannot be added are in the log; false if there were such.
bool add_all(Manager& manager, const Config& config) {
    bool complete = true;
    for (const control::SwitchSpec& spec : config.switches) {
        if (auto added = manager.add_switch(spec); !added) {
            spdlog::critical("{}", added.error().message);
            complete = false;
        }
    }
    for (const control::SharedDiskSpec& spec : config.disks) {
        if (auto added = manager.add_disk(spec); !added) {
            spdlog::critical("{}", added.error().message);
            complete = false;
        }
    }
    for (const control::DeviceSpec& spec : config.devices) {
        if (auto added = manager.add_device(spec); !added) {
            spdlog::critical("{}", added.error().message);
            complete = false;
        }
    }
    return complete;
}

int serve(const Config& config) {
    auto stop = StopSignal::create({SIGTERM, SIGINT});
    if (!stop) {
        return fail(stop.error());
    }
    ::signal(SIGHUP, SIG_IGN);  // a terminal that closes is no reason to take disks away from guests
    if (auto ready = set_up_process(); !ready) {
        return fail(ready.error());
    }
    auto costs = find_host_costs(config.costs, engine::CalibrationEffort::brief);
    if (!costs) {
        return fail(costs.error());
    }
    for (const auto& [prefer, price_ns] : costs->info.sleep_prices_ns) {
        spdlog::debug("a sleep and its wake-up cost {:.0f} ns with prefer = {}", price_ns, prefer);
    }
    auto manager = Manager::create({config.workers, config.settings, std::move(*costs), config.placement});
    if (!manager) {
        return fail(manager.error());
    }
    if (!add_all(**manager, config)) {
        return exit_failure;
    }
    auto server = ControlServer::create(
        {config.control_socket, config.control_socket_permissions, config.control_socket_group}, **manager);
    if (!server) {
        return fail(server.error());
    }
    spdlog::info("sidecored {}: {} workers, {} devices, control socket {}", control::version(), config.workers.size(),
                 config.devices.size(), config.control_socket);
    notify_service_manager("READY=1");

    const int signal = stop->wait();
    spdlog::info("{}: stopping", ::sigabbrev_np(signal));
    notify_service_manager("STOPPING=1");
    server->reset();
    manager->reset();
    spdlog::info("stopped");
    return EXIT_SUCCESS;
}

int calibrate(const Config& config) {
    const auto costs = find_host_costs(config.costs, engine::CalibrationEffort::thorough);
    if (!costs) {
        fmt::print(stderr, "{}\n", costs.error().message);
        return exit_failure;
    }
    fmt::print("{}\n", control::to_text(control::to_json(costs->info)));
    return EXIT_SUCCESS;
}

int run(int argc, char** argv) {
    Arguments arguments;
    CLI::App app("Serves the virtio devices of a host's virtual machines over vhost-user sockets.", "sidecored");
    app.set_version_flag("--version", fmt::format("sidecored {}", control::version()));
    app.add_option("--config", arguments.config, "Configuration file (TOML); without it there are no devices at first")
        ->type_name("FILE");
    app.add_option("--socket", arguments.socket, "Control socket, instead of the configuration's")->type_name("PATH");
    app.add_option("--log-level", arguments.log_level,
                   "trace, debug, info, warn, error or off, instead of the configuration's")
        ->type_name("LEVEL");
    app.add_flag("--check", arguments.check, "Only read the configuration and say what is wrong with it");
    app.add_flag("--calibrate", arguments.calibrate,
                 "Only measure what switching and polling cost on this host, and print it as JSON");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? EXIT_SUCCESS : exit_usage;
    }
    std::optional<spdlog::level::level_enum> log_level;
    if (!arguments.log_level.empty()) {
        const auto parsed = parse_log_level(arguments.log_level);
        if (!parsed) {
            fmt::print(stderr, "--log-level: {}\n", parsed.error().message);
            return exit_usage;
        }
        log_level = *parsed;
    }

    std::optional<Config> config = read_config(arguments);
    if (!config) {
        return exit_failure;
    }
    if (arguments.check) {
        return EXIT_SUCCESS;
    }
    if (arguments.calibrate) {
        return calibrate(*config);
    }
    if (!arguments.socket.empty()) {
        config->control_socket = arguments.socket;
    }
    set_up_logging(log_level ? *log_level : config->log_level.value_or(spdlog::level::info));
    return serve(*config);
}

}  // namespace
}  // namespace sidecore::daemon

int main(int argc, char** argv) {
    return sidecore::daemon::run(argc, argv);
}
