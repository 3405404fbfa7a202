// SPDX-License-Identifier: Apache-2.0
// sidecore: asks a running sidecored, or starts one disk by itself.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/format.hh"
#include "cli/capture.hh"
#include "cli/commands.hh"
#include "cli/programs.hh"
#include "cli/requests.hh"
#include "cli/table.hh"
#include "control/http_client.hh"
#include "control/version.hh"

namespace sidecore::cli {
namespace {

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;
constexpr double min_interval_s = 0.01;
constexpr double max_interval_s = 86400;

struct Arguments {
    std::string socket = "/run/sidecore/control.sock";
    bool json = false;
    AddArguments add;
    std::string add_from;
    AddSwitchArguments add_switch;
    LimitArguments limits;
    AddUnitArguments add_unit;
    ScsiDiskArguments add_disk;
    std::string name;  // of a device: show, resize, unit; of a worker: worker, move; of a disk
    std::string word;  // worker pin: CPU; move, why: whose
    std::optional<std::uint64_t> cpu;
    bool of_workers = false;
    std::string config;
    std::vector<std::string> names;
    std::vector<std::string> words;  // resize: of what, and how large
    std::string size;                // of a shared disk
    bool counters = false;
    std::vector<std::string> setting_words;
    control::SettingsTarget target;     // set
    std::optional<std::string> device;  // stats
    By by = By::queue;
    std::optional<double> interval_s;
    std::uint64_t count = 0;
    CaptureArguments capture;
    std::string snaplen;
    std::string direction;
};

int fail(const Error& error, int status = exit_failure) {
    fmt::print(stderr, "sidecore: {}\n", printable(error.message));
    return status;
}

/// A mistake of the caller's that no daemon is needed to see.
struct UsageError {
    Error error;
};

template <typename T>
T or_usage_error(Result<T> result) {
    if (!result) {
        throw UsageError{std::move(result).error()};
    }
    return std::move(*result);
}

Result<control::Json> read_json_file(const std::string& path) {
    std::ifstream file;
    if (path != "-") {
        file.open(path);
        if (!file) {
            return failure_from_errno(path);
        }
    }
    std::istream& in = path == "-" ? std::cin : file;
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    control::Json json = control::Json::parse(text, nullptr, false);
    if (json.is_discarded()) {
        return failure(ErrorKind::invalid_argument, fmt::format("{}: no JSON", path));
    }
    return json;
}

/// What one subcommand does after everything has been parsed.
using Action = std::function<Result<void>(Commands&)>;

/// Name, value's place, its type in the help, help.
void declare_text(CLI::App* command, const char* option, std::string& value, const char* type, const char* help) {
    command->add_option(option, value, help)->type_name(type);
}

void declare_storage(CLI::App* command, StorageArguments& storage) {
    declare_text(command, "--path,--blk-file", storage.file, "PATH", "Serve this file or block device");
    declare_text(command, "--memory-size", storage.memory_size, "SIZE", "Serve the daemon's memory");
    declare_text(command, "--null-size", storage.null_size, "SIZE", "Serve zeroes, forget writes");
    command->add_flag("--direct", storage.direct, "Go past the host's page cache (O_DIRECT)");
    declare_text(command, "--engine", storage.engine, "NAME", "auto, io_uring or threads");
    command->add_option("--threads", storage.threads, "How many threads do a file's I/O where io_uring does not")
        ->type_name("N");
    command->add_flag("--read-only", storage.read_only, "Refuse writes");
}

void declare_scsi_disk(CLI::App* command, ScsiDiskArguments& disk) {
    declare_storage(command, disk.storage);
    declare_text(command, "--serial", disk.storage.serial, "TEXT", "Serial number, at most 32 characters");
    declare_text(command, "--vendor", disk.vendor, "TEXT", "What the guest sees as vendor, at most 8 characters");
    declare_text(command, "--product", disk.product, "TEXT", "As product, at most 16");
    declare_text(command, "--revision", disk.revision, "TEXT", "As revision, at most 4");
    command->add_flag("--rotational", disk.rotational, "Say that it is a disk that turns");
    declare_text(command, "--reservations-file", disk.reservations_file, "PATH",
                 "Keep persistent reservations in this file");
    declare_text(command, "--state-file", disk.state_file, "PATH", "Keep mode pages that the guest saves in this file");
}

void declare_add(CLI::App& app, Arguments& arguments, Action& action) {
    CLI::App* command = app.add_subcommand("add", "Add a device");
    AddArguments& add = arguments.add;
    command->add_option("NAME", add.name, "Name of the device");
    command->add_option("SETTING", add.setting_words, "Its settings, as for `set`");
    command->add_option("--from", arguments.add_from, "Read the whole device as JSON from a file, - for standard input")
        ->type_name("FILE");
    declare_text(command, "--socket-path", add.socket_path, "PATH", "vhost-user socket");
    command->add_flag("--scsi", add.scsi, "A SCSI device instead of a disk; `unit add` gives it its disks");
    command->add_flag("--connect", add.connect, "Connect to the socket instead of listening at it");
    declare_text(command, "--retry-interval", add.retry_interval, "TIME", "With --connect: between attempts (1s)");
    declare_text(command, "--socket-permissions", add.socket_permissions, "MODE", "Who may connect, in octal (0600)");
    declare_text(command, "--socket-group", add.socket_group, "GROUP", "Group of the socket");
    declare_storage(command, add.storage);
    declare_text(command, "--serial", add.storage.serial, "TEXT", "Serial number, at most 20 characters");
    declare_text(command, "--vm", add.vm, "NAME", "Virtual machine that it belongs to, for sums");
    command->add_option("--num-queues", add.queues, "Queues that the driver may have, 1 to 64")->type_name("N");
    declare_text(command, "--worker", add.worker, "NAME", "Worker that serves it (the one with the fewest queues)");
    command->callback([&arguments, &action] {
        control::Json device = or_usage_error(arguments.add_from.empty() ? device_from_arguments(arguments.add)
                                                                         : read_json_file(arguments.add_from));
        action = [device = std::move(device)](Commands& commands) { return commands.add(device); };
    });
}

void declare_limit(CLI::App& app, Arguments& arguments, Action& action) {
    CLI::App* command = app.add_subcommand(
        "limit", "Change a network device's rate limits; 0 or none takes one off, what is not given stays");
    LimitArguments& limits = arguments.limits;
    command->add_option("DEVICE", arguments.name, "Name of the device")->required();
    const auto option = [command](const char* name, std::string& value, const char* type, const char* help) {
        command->add_option(name, value, help)->type_name(type);
    };
    option("--transmit-rate", limits.transmit_rate, "RATE", "From the guest, like 500Mbit");
    option("--receive-rate", limits.receive_rate, "RATE", "To the guest");
    option("--transmit-packets", limits.transmit_packets, "N", "From the guest, packets per second");
    option("--receive-packets", limits.receive_packets, "N", "To the guest, packets per second");
    option("--burst", limits.burst, "TIME", "What may be saved up, as a time at the full rate, like 10ms");
    command->callback([&arguments, &action] {
        action = [&arguments, change = or_usage_error(limits_from_arguments(arguments.limits))](Commands& commands) {
            return commands.limit(arguments.name, change);
        };
    });
}

void declare_set(CLI::App& app, Arguments& arguments, Action& action) {
    CLI::App* command = app.add_subcommand(
        "set", fmt::format("Change settings: KEY=VALUE, or KEY=inherit to give one back to the level above.\n"
                           "Of queues: {}.\nOf workers: {}",
                           setting_words(WordsFor::queues), setting_words(WordsFor::workers)));
    control::SettingsTarget& target = arguments.target;
    command->add_option("SETTING", arguments.setting_words, "KEY=VALUE")->required();
    CLI::Option* device = command->add_option("--device", target.device, "Of this device")->type_name("NAME");
    command->add_option("--queue", target.queue, "Of this queue of the device")->type_name("N")->needs(device);
    CLI::Option* worker =
        command->add_option("--worker", target.worker, "Of this worker")->type_name("NAME")->excludes(device);
    command->add_flag("--workers", arguments.of_workers, "Of all workers")->excludes(device)->excludes(worker);
    command->callback([&arguments, &action] {
        const WordsFor whose = arguments.target.worker ? WordsFor::one_worker
                               : arguments.of_workers  ? WordsFor::workers
                                                       : WordsFor::queues;
        control::Json change = or_usage_error(settings_from_words(arguments.setting_words, whose));
        action = [&arguments, change = std::move(change)](Commands& commands) {
            return commands.set(change, arguments.target);
        };
    });
}

void declare_workers(CLI::App& app, Arguments& arguments, Action& action) {
    app.add_subcommand("workers", "List the workers")->callback([&action] { action = &Commands::workers; });

    CLI::App* worker = app.add_subcommand("worker", "Add, remove and pin workers");
    worker->require_subcommand(1);
    CLI::App* add = worker->add_subcommand("add", "Add a worker");
    add->add_option("NAME", arguments.name, "Name of the worker")->required();
    add->add_option("SETTING", arguments.setting_words, "Its settings, as for `set --worker`");
    add->add_option("--cpu", arguments.cpu, "Pin it to this CPU")->type_name("N");
    add->callback([&arguments, &action] {
        control::Json spec = {{"name", arguments.name}};
        spec.update(or_usage_error(settings_from_words(arguments.setting_words, WordsFor::one_worker)));
        if (arguments.cpu) {
            spec["cpu"] = *arguments.cpu;
        }
        action = [spec = std::move(spec)](Commands& commands) { return commands.add_worker(spec); };
    });
    CLI::App* remove = worker->add_subcommand("remove", "Remove a worker, after its queues have moved to the others");
    remove->add_option("NAME", arguments.name, "Name of the worker")->required();
    remove->callback([&arguments, &action] {
        action = [&arguments](Commands& commands) { return commands.remove_worker(arguments.name); };
    });
    CLI::App* pin = worker->add_subcommand("pin", "Let a worker run on one CPU only, or on any");
    pin->add_option("NAME", arguments.name, "Name of the worker")->required();
    pin->add_option("CPU", arguments.word, "Number of the CPU, or none")->required();
    pin->callback([&arguments, &action] {
        action = [&arguments, request = or_usage_error(pin_request_from(arguments.word))](Commands& commands) {
            return commands.pin_worker(arguments.name, request);
        };
    });

    CLI::App* move = app.add_subcommand("move", "Hand a device's queues, or one of them, over to another worker");
    move->add_option("DEVICE[/QUEUE]", arguments.word, "Name of the device, and number of the queue")->required();
    move->add_option("WORKER", arguments.name, "Name of the worker")->required();
    move->callback([&arguments, &action] {
        action = [&arguments, target = or_usage_error(queue_target_from(arguments.word))](Commands& commands) {
            return commands.move(target, arguments.name);
        };
    });
}

void declare_switches(CLI::App& app, Arguments& arguments, Action& action) {
    app.add_subcommand("switches", "List the switches between network devices")->callback([&action] {
        action = &Commands::switches;
    });

    CLI::App* command = app.add_subcommand("switch", "Show, add, remove and move switches");
    command->require_subcommand(1);
    const auto named = [&](const char* name, const char* help) {
        CLI::App* subcommand = command->add_subcommand(name, help);
        subcommand->add_option("NAME", arguments.name, "Name of the switch")->required();
        return subcommand;
    };
    const auto act = [&](CLI::App* subcommand, Result<void> (Commands::*function)(const std::string&)) {
        subcommand->callback([&arguments, &action, function] {
            action = [&arguments, function](Commands& commands) { return (commands.*function)(arguments.name); };
        });
    };
    act(named("show", "Show a switch and what went through its ports"), &Commands::show_switch);
    act(named("stations", "Show which MAC addresses are behind which port"), &Commands::stations);
    act(named("remove", "Remove a switch that no device has a port of"), &Commands::remove_switch);

    CLI::App* add = named("add", "Add a switch");
    AddSwitchArguments& options = arguments.add_switch;
    add->add_option("--uplink-tap", options.tap,
                    "Its way out: this network interface of the host, made if it is not there")
        ->type_name("INTERFACE");
    add->add_option("--uplink-mtu", options.mtu, "MTU of that interface")->type_name("N");
    add->add_option("--worker", options.worker,
                    "Worker that takes in what comes from there (the one with the fewest queues)")
        ->type_name("NAME");
    add->add_option("--age", options.age, "How long a silent station is remembered (5m)")->type_name("TIME");
    add->add_option("--stations", options.stations, "How many stations it can remember (4096)")->type_name("N");
    add->callback([&arguments, &action] {
        action = [spec = switch_from_arguments(arguments.name, arguments.add_switch)](Commands& commands) {
            return commands.add_switch(spec);
        };
    });

    CLI::App* move = named("move", "Hand its uplink over to another worker");
    move->add_option("WORKER", arguments.word, "Name of the worker")->required();
    move->callback([&arguments, &action] {
        action = [&arguments](Commands& commands) { return commands.move_switch(arguments.name, arguments.word); };
    });
}

void declare_units(CLI::App& app, Arguments& arguments, Action& action) {
    CLI::App* units = app.add_subcommand("units", "List the logical units of a scsi device");
    units->add_option("DEVICE", arguments.name, "Name of the device")->required();
    units->callback([&arguments, &action] {
        action = [&arguments](Commands& commands) { return commands.units(arguments.name); };
    });

    CLI::App* unit = app.add_subcommand("unit", "Add logical units to a scsi device, and remove them, while it runs");
    unit->require_subcommand(1);
    CLI::App* add = unit->add_subcommand("add", "Add a unit; the guest is told");
    add->add_option("DEVICE", arguments.name, "Name of the device")->required();
    add->add_option("TARGET[:LUN]", arguments.add_unit.address,
                    "Where; without a LUN: the target's next one, without a target: target 0");
    add->add_option("--disk", arguments.add_unit.shared_disk, "It is this shared disk")->type_name("NAME");
    declare_scsi_disk(add, arguments.add_unit.disk);
    add->callback([&arguments, &action] {
        control::Json spec = or_usage_error(unit_from_arguments(arguments.add_unit));
        action = [&arguments, spec = std::move(spec)](Commands& commands) {
            return commands.add_unit(arguments.name, spec);
        };
    });
    CLI::App* remove = unit->add_subcommand("remove", "Remove a unit, after its accepted I/O is finished");
    remove->add_option("DEVICE", arguments.name, "Name of the device")->required();
    remove->add_option("TARGET:LUN", arguments.word, "Which unit")->required();
    remove->callback([&arguments, &action] {
        action = [&arguments, address = or_usage_error(control::parse_unit_address(arguments.word))](
                     Commands& commands) { return commands.remove_unit(arguments.name, address); };
    });
}

void declare_disks(CLI::App& app, Arguments& arguments, Action& action) {
    app.add_subcommand("disks", "List the disks that units of several scsi devices may share")->callback([&action] {
        action = &Commands::disks;
    });

    CLI::App* command = app.add_subcommand("disk", "Add, resize and remove shared disks");
    command->require_subcommand(1);
    const auto named = [&](const char* name, const char* help) {
        CLI::App* subcommand = command->add_subcommand(name, help);
        subcommand->add_option("NAME", arguments.name, "Name of the disk")->required();
        return subcommand;
    };
    CLI::App* add = named("add", "Add a shared disk, for `unit add --disk`");
    declare_scsi_disk(add, arguments.add_disk);
    add->callback([&arguments, &action] {
        control::Json spec = or_usage_error(disk_from_arguments(arguments.name, arguments.add_disk));
        action = [spec = std::move(spec)](Commands& commands) { return commands.add_disk(spec); };
    });
    CLI::App* resize = named("resize", "Resize a shared disk; its guests are told");
    resize->add_option("SIZE", arguments.size, "New size, like 20GiB; without one: the size that its file has now");
    resize->callback([&arguments, &action] {
        action = [&arguments](Commands& commands) { return commands.resize_disk(arguments.name, arguments.size); };
    });
    CLI::App* remove = named("remove", "Remove a shared disk that no unit is");
    remove->callback([&arguments, &action] {
        action = [&arguments](Commands& commands) { return commands.remove_disk(arguments.name); };
    });
}

void declare_stats(CLI::App& app, Arguments& arguments, Action& action) {
    CLI::App* command = app.add_subcommand("stats", "Show what queues and workers have done, or do");
    command->add_option("DEVICE", arguments.device, "Of one device only");
    command
        ->add_option("--by", arguments.by,
                     "Sum up by device or by vm, which shows who uses the CPU; otherwise by queue")
        ->type_name("WHAT")
        ->transform(CLI::CheckedTransformer(
            std::map<std::string, By>{{"queue", By::queue}, {"device", By::device}, {"vm", By::vm}}));
    CLI::Option* watch =
        command->add_option("--watch", arguments.interval_s, "Show rates, again and again after so many seconds")
            ->type_name("SECONDS")
            ->check(CLI::Range(min_interval_s, max_interval_s));
    command->add_option("--count", arguments.count, "With --watch: so many times")->type_name("N")->needs(watch);
    command->callback([&arguments, &action] {
        action = [&arguments](Commands& commands) {
            return commands.stats(arguments.device, arguments.by, arguments.interval_s, arguments.count);
        };
    });
}

void declare_capture(CLI::App& app, Arguments& arguments, Action& action) {
    CLI::App* command = app.add_subcommand(
        "capture", "Write a network device's packets to a pcapng file, for tcpdump or Wireshark, until Ctrl-C");
    CaptureArguments& capture = arguments.capture;
    command->add_option("DEVICE", capture.device, "Name of the device")->required();
    command->add_option("-w,--write", capture.file, "To this file, - for standard output")
        ->type_name("FILE")
        ->required();
    command->add_option("-s,--snaplen", arguments.snaplen, "Keep so much of each packet (256KiB)")->type_name("SIZE");
    command->add_option("-Q,--direction", arguments.direction, "in (to the guest), out (from it) or both")
        ->type_name("WHICH");
    command->add_option("-c,--count", capture.count, "End after so many packets")->type_name("N");
    command->add_option("--seconds", capture.seconds, "End after so long")
        ->type_name("SECONDS")
        ->check(CLI::Range(min_interval_s, max_interval_s));
    command->callback([&arguments, &action] {
        arguments.capture.request = or_usage_error(capture_request_from(arguments.snaplen, arguments.direction));
        action = [&arguments](Commands& commands) { return commands.capture(arguments.capture); };
    });
}

void declare_simple(CLI::App& app, Arguments& arguments, Action& action) {
    app.add_subcommand("list", "List the devices")->callback([&action] { action = &Commands::list; });
    app.add_subcommand("version", "Show the versions of command and daemon")->callback([&action] {
        action = &Commands::version;
    });

    CLI::App* show = app.add_subcommand("show", "Show all about a device, or the daemon");
    CLI::Option* shown = show->add_option("DEVICE", arguments.name, "Name of the device; without one: the daemon");
    show->add_flag("--counters", arguments.counters, "Every counter of every queue")->needs(shown);
    show->callback([&arguments, &action] {
        action = [&arguments](Commands& commands) {
            return arguments.name.empty() ? commands.show_daemon() : commands.show(arguments.name, arguments.counters);
        };
    });

    CLI::App* why = app.add_subcommand("why", "Explain why queues are polled or not, and what that has cost and saved");
    why->add_option("DEVICE[/QUEUE]", arguments.word, "Name of the device, and number of the queue")->required();
    why->callback([&arguments, &action] {
        action = [target = or_usage_error(queue_target_from(arguments.word))](Commands& commands) {
            return commands.why(target);
        };
    });

    CLI::App* announce = app.add_subcommand("announce", "Make a network device's guest known to its network again");
    announce->add_option("DEVICE", arguments.name, "Name of the device")->required();
    announce->callback([&arguments, &action] {
        action = [&arguments](Commands& commands) { return commands.announce(arguments.name); };
    });

    CLI::App* resize = app.add_subcommand("resize", "Resize a disk, or a unit of a scsi device; the guest is told");
    resize->add_option("DEVICE", arguments.name, "Name of the device")->required();
    resize->add_option(
        "TARGET:LUN SIZE", arguments.words,
        "Which unit of a scsi device; new size, like 20GiB, or without one the size that its file has now");
    resize->callback([&arguments, &action] {
        action = [&arguments, resized = or_usage_error(resize_from_words(arguments.words))](Commands& commands) {
            return commands.resize(arguments.name, resized);
        };
    });

    CLI::App* remove = app.add_subcommand("remove", "Remove devices, after their accepted I/O is finished");
    remove->add_option("DEVICE", arguments.names, "Names of the devices")->required();
    remove->callback([&arguments, &action] {
        action = [&arguments](Commands& commands) { return commands.remove(arguments.names); };
    });
}

int run(int argc, char** argv) {
    for (const std::string_view program : {"blk", "bench"}) {
        if (argc > 1 && argv[1] == program) {
            return fail(become(fmt::format("sidecore-{}", program), argv + 1));
        }
    }
    Arguments arguments;
    Action action;
    CLI::App app("Manages the devices of a running sidecored.", "sidecore");
    app.set_version_flag("--version", fmt::format("sidecore {}", control::version()));
    app.add_option("--socket,--control-socket", arguments.socket, "The daemon's control socket")
        ->type_name("PATH")
        ->envname("SIDECORE_SOCKET")
        ->capture_default_str();
    app.add_flag("--json", arguments.json, "Print the daemon's reply as it is");
    app.fallthrough();
    app.require_subcommand(0, 1);  // the name of a command may be the name of a device, too
    CLI::App* calibrate =
        app.add_subcommand("calibrate", "Measure now what switching and polling cost on this host; needs no daemon");
    calibrate->add_option("--config", arguments.config, "With what this configuration says of costs")
        ->type_name("FILE");
    app.footer(
        "sidecore blk starts one disk by itself, without a daemon; sidecore bench measures back-ends: see their "
        "--help");
    declare_simple(app, arguments, action);
    declare_add(app, arguments, action);
    declare_set(app, arguments, action);
    declare_limit(app, arguments, action);
    declare_workers(app, arguments, action);
    declare_units(app, arguments, action);
    declare_disks(app, arguments, action);
    declare_switches(app, arguments, action);
    declare_stats(app, arguments, action);
    declare_capture(app, arguments, action);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? EXIT_SUCCESS : exit_usage;
    } catch (const UsageError& usage) {
        return fail(usage.error, exit_usage);
    }
    if (calibrate->parsed()) {
        const auto printed = print_calibration(arguments.config, arguments.json);
        return printed ? EXIT_SUCCESS : fail(printed.error());
    }
    if (!action) {
        return fail({ErrorKind::invalid_argument, "what to do? See sidecore --help", 0}, exit_usage);
    }
    auto client = control::HttpClient::create(arguments.socket);
    if (!client) {
        return fail(client.error());
    }
    Commands commands(std::move(*client), arguments.json);
    const auto done = action(commands);
    return done ? EXIT_SUCCESS : fail(done.error());
}

}  // namespace
}  // namespace sidecore::cli

int main(int argc, char** argv) {
    return sidecore::cli::run(argc, argv);
}
