// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "frontend/disk_load.hh"
#include "measure.hh"
#include "report.hh"

namespace sidecore::bench {

/// What a command does, once its options are read: returns the program's exit status.
using Action = std::function<int()>;

/// What all commands have.
struct CommonOptions {
    MeasureOptions measure{};
    int backend_cpu = 1;
    Format format = Format::table;
    std::string output;
};

void declare_common(CLI::App& command, CommonOptions& options);

// Each declares a subcommand, and sets `action` when it is the one that is asked for.
void declare_disk_command(CLI::App& app, frontend::DiskProtocol protocol, Action& action);
void declare_net_command(CLI::App& app, Action& action);
void declare_distance_command(CLI::App& app, Action& action);

/// Says on standard error that a run has failed. Returns the exit status for that.
int fail(std::string_view run, const Error& error);

}  // namespace sidecore::bench
