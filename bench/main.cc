// SPDX-License-Identifier: Apache-2.0
// Load for any vhost-user back-end, and what it does with it.

#include <cstdio>
#include <map>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "base/format.hh"
#include "command.hh"
#include "ping_pong.hh"

namespace sidecore::bench {

void declare_common(CLI::App& command, CommonOptions& options) {
    const std::map<std::string, Format> formats{{"table", Format::table}, {"csv", Format::csv}, {"json", Format::json}};
    command.add_option("--seconds", options.measure.seconds, "Measured, of each run")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command.add_option("--warm-up", options.measure.warm_up_seconds, "Seconds before that")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    command.add_option("--cpu", options.measure.cpus, "Where the load is made; one for each job, as far as they go")
        ->delimiter(',')
        ->capture_default_str();
    command.add_option("--backend-cpu", options.backend_cpu, "Where the back-end runs, to measure the distance")
        ->capture_default_str();
    command.add_option("--pid", options.measure.backend_pid, "The back-end's process, to see what CPU time it takes");
    command.add_option("--format", options.format, "table, csv or json (default: table)")
        ->transform(CLI::CheckedTransformer(formats).description(""));
    command.add_option("--output", options.output, "File for csv and json (default: standard output)")
        ->type_name("FILE");
    options.measure.progress = ::isatty(STDERR_FILENO) != 0;
}

void declare_arrivals(CLI::App& command, Arrivals::Options& options, const std::string& what) {
    const std::map<std::string, Arrivals::Kind> kinds{{"poisson", Arrivals::Kind::poisson},
                                                      {"periodic", Arrivals::Kind::periodic},
                                                      {"on-off", Arrivals::Kind::on_off}};
    command.add_option("--rate", options.rate, what)->check(CLI::NonNegativeNumber);
    command
        .add_option("--arrivals", options.kind,
                    "With --rate: poisson (at random), periodic or on-off (at random, with pauses) (default: poisson)")
        ->transform(CLI::CheckedTransformer(kinds).description(""));
    command.add_option("--on", options.on_s, "Of on-off: seconds with arrivals")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command.add_option("--off", options.off_s, "Of on-off: seconds without")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
}

void declare_kick_cost(CLI::App& command, std::uint64_t& kick_cost_ns) {
    command
        .add_option("--kick-cost", kick_cost_ns,
                    "Nanoseconds that the driver spends on each kick, to stand for a VM exit")
        ->capture_default_str();
}

void declare_distance_command(CLI::App& app, Action& action) {
    CLI::App* const command =
        app.add_subcommand("distance", "What a cache line takes from one core to another and back, in ns");
    static int cpu = 0;
    static int backend_cpu = 1;
    command->add_option("--cpu", cpu, "One core")->capture_default_str();
    command->add_option("--backend-cpu", backend_cpu, "The other")->capture_default_str();
    command->callback([&action] {
        action = [] {
            const auto ns = ping_pong_ns(cpu, backend_cpu);
            if (!ns) {
                return fail("distance", ns.error());
            }
            fmt::print("{:.1f}\n", *ns);
            return 0;
        };
    });
}

int fail(std::string_view run, const Error& error) {
    fmt::print(stderr, "sidecore-bench: {}: {}\n", run, error.message);
    return 1;
}

}  // namespace sidecore::bench

int main(int argc, char** argv) {
    using namespace sidecore;
    CLI::App app("Loads a vhost-user back-end, any, as fast as one core or several can, or at a rate, and measures.",
                 "sidecore bench");
    app.require_subcommand(1);
    bench::Action action;
    bench::declare_disk_command(app, frontend::DiskProtocol::blk, action);
    bench::declare_disk_command(app, frontend::DiskProtocol::scsi, action);
    bench::declare_net_command(app, action);
    bench::declare_distance_command(app, action);
    CLI11_PARSE(app, argc, argv);
    return action();
}
