// SPDX-License-Identifier: Apache-2.0
// sidecore-blk: one disk by itself, for libvirt, QEMU's tools and people; `sidecore blk` starts it too.
// Its options are those of the vhost-user specification's "Backend program conventions", and a few more.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <optional>
#include <sched.h>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/format.hh"
#include "base/log.hh"
#include "control/device_spec.hh"
#include "control/json.hh"
#include "control/units.hh"
#include "control/version.hh"
#include "daemon/standalone.hh"

namespace sidecore::daemon {
namespace {

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

struct Arguments {
    std::string socket_path;
    std::optional<int> socket_fd;
    std::string file;
    std::string memory_size;
    std::string null_size;
    bool read_only = false;
    bool direct = false;
    std::string engine = "auto";
    std::uint16_t queues = 1;
    std::string serial;
    std::string policy;
    std::optional<std::uint32_t> cpu;
    std::string log_level = "info";
    bool print_capabilities = false;
};

void declare(CLI::App& app, Arguments& arguments) {
    app.set_version_flag("--version", fmt::format("sidecore-blk {}", control::version()));
    auto* path = app.add_option("--socket-path", arguments.socket_path, "Listen for front-ends at this UNIX socket")
                     ->type_name("PATH");
    app.add_option("--fd", arguments.socket_fd, "Use this inherited socket: a connection, or one that listens")
        ->type_name("FDNUM")
        ->check(CLI::Range(0, std::numeric_limits<int>::max()))
        ->excludes(path);
    auto* file = app.add_option("--blk-file", arguments.file, "Serve this file or block device")->type_name("PATH");
    auto* memory = app.add_option("--memory-size", arguments.memory_size, "Serve memory, gone in the end, of this size")
                       ->type_name("SIZE")
                       ->excludes(file);
    app.add_option("--null-size", arguments.null_size, "Serve zeroes, forget writes, of this size")
        ->type_name("SIZE")
        ->excludes(file)
        ->excludes(memory);
    app.add_flag("--read-only", arguments.read_only, "Refuse writes");
    app.add_flag("--direct", arguments.direct, "Go past the host's page cache (O_DIRECT)")->needs(file);
    app.add_option("--engine", arguments.engine, "auto, io_uring or threads")->type_name("NAME")->needs(file);
    app.add_option("--num-queues", arguments.queues, "Queues that the driver may have, 1 to 64")->type_name("N");
    app.add_option("--serial", arguments.serial, "Serial number, at most 20 characters")->type_name("TEXT");
    app.add_option("--policy", arguments.policy,
                   "adaptive (default), never, always, rate, fixed, grow_shrink or breakeven")
        ->type_name("KIND");
    app.add_option("--cpu", arguments.cpu, "Pin the worker to this CPU")
        ->type_name("N")
        ->check(CLI::Range(0, CPU_SETSIZE - 1));
    app.add_option("--log-level", arguments.log_level, "trace, debug, info (default), warn, error or off")
        ->type_name("LEVEL");
    app.add_flag("--print-capabilities", arguments.print_capabilities,
                 "Print what this program can do as JSON and exit");
}

/// The device in the words of the control API, so that both have the same checks and the same messages.
Result<control::DeviceSpec> describe_device(const Arguments& arguments) {
    // Relative paths start where the program was started.
    const auto absolute = [](const std::string& path) { return std::filesystem::absolute(path).string(); };
    control::Json storage;
    if (!arguments.file.empty()) {
        storage = {{"kind", "file"}, {"path", absolute(arguments.file)}, {"engine", arguments.engine}};
        storage["direct"] = arguments.direct;
    } else if (!arguments.memory_size.empty()) {
        storage = {{"kind", "memory"}, {"size", arguments.memory_size}};
    } else if (!arguments.null_size.empty()) {
        storage = {{"kind", "null"}, {"size", arguments.null_size}};
    } else {
        return failure(ErrorKind::invalid_argument, "what to serve? Use --blk-file, --memory-size or --null-size");
    }
    if (arguments.socket_path.empty() && !arguments.socket_fd) {
        return failure(ErrorKind::invalid_argument, "where to serve it? Use --socket-path or --fd");
    }
    control::Json device = {{"name", "blk"}, {"storage", std::move(storage)}};
    device["socket"] = arguments.socket_fd ? "/" : absolute(arguments.socket_path);
    device["queues"] = arguments.queues;
    device["read_only"] = arguments.read_only;
    device["serial"] = arguments.serial;
    if (!arguments.policy.empty()) {
        device["policy"] = {{"kind", arguments.policy}};
    }
    return control::parse_device_spec(control::to_text(device));
}

int run(int argc, char** argv) {
    // With this option all others are to be ignored, right or wrong.
    for (const std::string_view argument : std::vector<std::string_view>(argv + 1, argv + argc)) {
        if (argument == "--print-capabilities") {
            fmt::print("{}\n", control::to_text({{"type", "block"}, {"features", {"read-only", "blk-file"}}}));
            return EXIT_SUCCESS;
        }
    }
    Arguments arguments;
    CLI::App app("Serves one disk to a virtual machine over a vhost-user socket.", "sidecore-blk");
    declare(app, arguments);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? EXIT_SUCCESS : exit_usage;
    }
    const auto usage_error = [](const Error& error) {
        fmt::print(stderr, "sidecore-blk: {}\n", error.message);
        return exit_usage;
    };
    const auto log_level = parse_log_level(arguments.log_level);
    if (!log_level) {
        return usage_error(log_level.error());
    }
    auto device = describe_device(arguments);
    if (!device) {
        return usage_error(device.error());
    }
    set_up_logging(*log_level);
    if (auto served = serve_standalone({std::move(*device), arguments.socket_fd, arguments.cpu}); !served) {
        fmt::print(stderr, "sidecore-blk: {}\n", served.error().message);
        return exit_failure;
    }
    return EXIT_SUCCESS;
}

}  // namespace
}  // namespace sidecore::daemon

int main(int argc, char** argv) {
    return sidecore::daemon::run(argc, argv);
}
