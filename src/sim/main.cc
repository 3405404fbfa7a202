// SPDX-License-Identifier: Apache-2.0
// sidecore-sim: simulates policies and prints what came of it as JSON.
#include <iostream>

#include <CLI/CLI.hpp>

#include "sim/report.hh"

int main(int argc, char** argv) {
    sidecore::sim::ReportOptions options;
    CLI::App app("Simulates polling policies in virtual time and prints the figures of docs/polling.md as JSON.");
    app.add_option("--length", options.trace_length, "arrivals of each trace")->capture_default_str();
    app.add_option("--theory-length", options.theory_length, "arrivals where theory is compared with")
        ->capture_default_str();
    app.add_option("--host-ms", options.host_ms, "milliseconds of the simulated host")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    std::cout << sidecore::sim::report(options).dump(1) << '\n';
    return std::cout.flush() ? 0 : 1;
}
