// SPDX-License-Identifier: Apache-2.0
// Prints what a cache line takes from one core to another and back, for drivers that do not measure it themselves.

#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "ping_pong.hh"

int main(int argc, char** argv) {
    int cpu = 0;
    int backend_cpu = 1;
    CLI::App app("Nanoseconds that a cache line takes from one core to another and back.");
    app.add_option("--cpu", cpu)->capture_default_str();
    app.add_option("--backend-cpu", backend_cpu)->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    const auto ns = sidecore::bench::ping_pong_ns(cpu, backend_cpu);
    if (!ns) {
        fmt::print(stderr, "core_distance: {}\n", ns.error().message);
        return 1;
    }
    fmt::print("{:.1f}\n", *ns);
    return 0;
}
