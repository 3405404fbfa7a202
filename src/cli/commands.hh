// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hh"
#include "cli/capture.hh"
#include "cli/requests.hh"
#include "cli/usage.hh"
#include "control/http_client.hh"
#include "control/service.hh"

namespace sidecore::cli {

/// What the subcommands do, once their arguments are read: ask the daemon, print to standard output.
/// With `json` they print what the daemon said instead of tables.
///
/// Thread: one.
class Commands {
public:
    Commands(control::HttpClient client, bool json) : client_(std::move(client)), json_(json) {}

    Result<void> add(const control::Json& device);
    Result<void> remove(const std::vector<std::string>& names);
    Result<void> resize(const std::string& name, const ResizeArguments& arguments);
    Result<void> limit(const std::string& name, const control::Json& change);
    Result<void> list();
    Result<void> show(const std::string& name, bool counters);
    Result<void> show_daemon();
    Result<void> workers();
    Result<void> add_worker(const control::Json& worker);
    Result<void> remove_worker(const std::string& name);
    Result<void> pin_worker(const std::string& name, const control::PinRequest& request);
    Result<void> announce(const std::string& name);
    Result<void> units(const std::string& device);
    Result<void> add_unit(const std::string& device, const control::Json& spec);
    Result<void> remove_unit(const std::string& device, control::UnitAddress address);
    Result<void> disks();
    Result<void> add_disk(const control::Json& spec);
    Result<void> remove_disk(const std::string& name);
    Result<void> resize_disk(const std::string& name, const std::string& size);
    Result<void> switches();
    Result<void> show_switch(const std::string& name);
    Result<void> stations(const std::string& switch_name);
    Result<void> add_switch(const control::Json& spec);
    Result<void> remove_switch(const std::string& name);
    Result<void> move_switch(const std::string& name, const std::string& worker);
    Result<void> move(const control::QueueTarget& target, const std::string& worker);
    Result<void> why(const control::QueueTarget& target);
    Result<void> version();

    Result<void> set(const control::Json& change, const control::SettingsTarget& target);

    /// Totals, or, every `interval_s`, what has happened since; `count` times, for ever if it is 0.
    Result<void> stats(const std::optional<std::string>& device, By by, std::optional<double> interval_s,
                       std::uint64_t count);

    /// See capture_packets().
    Result<void> capture(const CaptureArguments& arguments) { return capture_packets(client_, arguments); }

private:
    template <typename Parse, typename Render>
    Result<void> print(const Result<std::string>& body, Parse parse, Render render);
    Result<void> watch(const std::string& path, By by, double interval_s, std::uint64_t count);

    control::HttpClient client_;
    bool json_;
};

/// Measures this host, by a program that can.
Result<void> print_calibration(const std::string& config, bool json);

}  // namespace sidecore::cli
