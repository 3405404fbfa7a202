// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "arrivals.hh"
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

/// --rate, which `what` describes, and how what comes at that rate is spread over time.
void declare_arrivals(CLI::App& command, Arrivals::Options& options, const std::string& what);

void declare_kick_cost(CLI::App& command, std::uint64_t& kick_cost_ns);

// Each declares a subcommand, and sets `action` when it is the one that is asked for.
void declare_disk_command(CLI::App& app, frontend::DiskProtocol protocol, Action& action);
void declare_net_command(CLI::App& app, Action& action);
void declare_distance_command(CLI::App& app, Action& action);

/// Says on standard error that a run has failed. Returns the exit status for that.
int fail(std::string_view run, const Error& error);

}  // namespace sidecore::bench
