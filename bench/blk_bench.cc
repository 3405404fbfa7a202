// SPDX-License-Identifier: Apache-2.0
// Drives any vhost-user-blk back-end from one spinning core and says how fast it is and what that costs it.

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/error.hh"
#include "frontend/blk_driver.hh"
#include "latency_histogram.hh"
#include "measure.hh"
#include "mirror_device.hh"
#include "ping_pong.hh"
#include "spinner.hh"

namespace sidecore::bench {

namespace {

using frontend::BlkDriver;

struct Options {
    std::string socket;
    bool mirror = false;
    std::vector<std::uint16_t> depths{1, 8, 32, 128};
    MeasureOptions measure{.seconds = 2};
    std::uint16_t queues = 1;
    std::uint16_t queue_size = 512;
    bool event_index = true;
    bool indirect = false;
    bool rewrite_descriptors = false;
    std::uint32_t block_bytes = 4096;
    unsigned write_percent = 0;
    double rate = 0;  ///< requests per second that arrive by themselves; 0: each slot asks again when it is idle
    int backend_cpu = 1;
    std::string json;
};

struct Run {
    std::uint16_t depth = 0;
    Measured measured;
    std::uint64_t operations = 0;
    std::uint64_t errors = 0;
    std::uint64_t p50_ns = 0;
    std::uint64_t p99_ns = 0;
    std::uint64_t p999_ns = 0;
    std::uint64_t kicks = 0;
    double ping_pong_before_ns = 0;
    double ping_pong_after_ns = 0;
    double operations_per_s() const { return static_cast<double>(operations) / measured.seconds; }
    double kicks_per_operation() const {
        return operations == 0 ? 0 : static_cast<double>(kicks) / static_cast<double>(operations);
    }
};

/// A device to drive: the queues, and how to end.
struct Target {
    std::span<frontend::DriverQueue> queues;
    frontend::GuestMemoryFile& memory;
    std::uint64_t capacity_sectors;
};

/// Fills `run` with what `target` does at its depth.
Result<void> drive(const Target& target, const Options& options, Run& run) {
    std::vector<Stream> streams;
    for (frontend::DriverQueue& queue : target.queues) {
        SIDECORE_TRY_ASSIGN(Stream stream, Stream::create(target.memory, queue, target.capacity_sectors,
                                                          {.depth = run.depth,
                                                           .block_bytes = options.block_bytes,
                                                           .write_percent = options.write_percent,
                                                           .rate = options.rate,
                                                           .indirect = options.indirect,
                                                           .rewrite_descriptors = options.rewrite_descriptors}));
        streams.push_back(std::move(stream));
    }
    SIDECORE_TRY_ASSIGN(run.measured, measure_streams(streams, options.measure));
    LatencyHistogram latencies;
    for (const Stream& stream : streams) {
        run.kicks += stream.kicks();
        run.operations += stream.operations();
        latencies.add(stream.histogram());
    }
    run.p50_ns = cycles_to_ns(latencies.percentile(0.50));
    run.p99_ns = cycles_to_ns(latencies.percentile(0.99));
    run.p999_ns = cycles_to_ns(latencies.percentile(0.999));
    for (Stream& stream : streams) {
        SIDECORE_TRY(stream.finish_all());
        run.errors += stream.errors();
    }
    return {};
}

/// Guest memory for the load; rings and single requests are small beside it.
std::uint64_t memory_bytes(const Options& options, std::uint16_t depth) {
    return (std::uint64_t{options.block_bytes} + 4096) * depth * options.queues + (64ULL << 20U);
}

Result<void> drive_backend(const Options& options, Run& run) {
    BlkDriver::Options wanted;
    wanted.queues = options.queues;
    wanted.queue.size = options.queue_size;
    wanted.queue.event_index = options.event_index;
    wanted.requests.slots = 1;
    wanted.memory_bytes = memory_bytes(options, run.depth);
    SIDECORE_TRY_ASSIGN(BlkDriver driver, BlkDriver::start(options.socket, wanted));
    SIDECORE_TRY_ASSIGN(const frontend::BlkConfig config, driver.config());
    SIDECORE_TRY(drive({driver.queues(), driver.memory(), config.capacity}, options, run));
    SIDECORE_TRY(driver.client().stop(options.queues));
    return {};
}

Result<void> drive_mirror(const Options& options, Run& run) {
    SIDECORE_TRY_ASSIGN(frontend::GuestMemoryFile memory,
                        frontend::GuestMemoryFile::create(memory_bytes(options, run.depth)));
    SIDECORE_TRY_ASSIGN(
        frontend::DriverQueue queue,
        frontend::DriverQueue::create(memory, {.size = options.queue_size, .event_index = options.event_index}));
    const MirrorDevice device(memory, queue, options.backend_cpu);
    return drive({std::span(&queue, 1), memory, UINT32_MAX}, options, run);
}

Result<Run> measure(const Options& options, std::uint16_t depth) {
    Run run;
    run.depth = depth;
    SIDECORE_TRY_ASSIGN(run.ping_pong_before_ns, ping_pong_ns(options.measure.cpu, options.backend_cpu));
    SIDECORE_TRY(options.mirror ? drive_mirror(options, run) : drive_backend(options, run));
    SIDECORE_TRY_ASSIGN(run.ping_pong_after_ns, ping_pong_ns(options.measure.cpu, options.backend_cpu));
    return run;
}

std::string or_dash(const std::optional<double>& value, int digits) {
    return value ? fmt::format("{:.{}f}", *value, digits) : "-";
}

void print(const Run& run) {
    fmt::print("{:>5} {:>12.0f} {:>9.2f} {:>9.2f} {:>10.5f} {:>8} {:>11} {:>8.0f} {:>8.0f} {:>6}\n", run.depth,
               run.operations_per_s(), static_cast<double>(run.p50_ns) / 1e3, static_cast<double>(run.p99_ns) / 1e3,
               run.kicks_per_operation(), or_dash(run.measured.backend_cpus, 2),
               or_dash(run.measured.backend_switches_per_s, 0), run.ping_pong_before_ns, run.ping_pong_after_ns,
               run.errors);
    std::fflush(stdout);
}

nlohmann::json to_json(const Options& options, const Run& run) {
    nlohmann::json json{
        {"depth", run.depth},
        {"queues", options.queues},
        {"event_index", options.event_index},
        {"indirect", options.indirect},
        {"rewrite_descriptors", options.rewrite_descriptors},
        {"block_bytes", options.block_bytes},
        {"write_percent", options.write_percent},
        {"seconds", run.measured.seconds},
        {"operations", run.operations},
        {"errors", run.errors},
        {"iops", run.operations_per_s()},
        {"lat_p50_us", static_cast<double>(run.p50_ns) / 1e3},
        {"lat_p99_us", static_cast<double>(run.p99_ns) / 1e3},
        {"lat_p999_us", static_cast<double>(run.p999_ns) / 1e3},
        {"rate", options.rate},
        {"kicks", run.kicks},
        {"kicks_per_op", run.kicks_per_operation()},
        {"ping_pong_before_ns", run.ping_pong_before_ns},
        {"ping_pong_after_ns", run.ping_pong_after_ns},
    };
    if (run.measured.backend_cpus) {
        json["backend_cpus"] = *run.measured.backend_cpus;
        json["backend_switches_per_s"] = *run.measured.backend_switches_per_s;
    }
    return json;
}

int run_all(const Options& options) {
    const bool table = options.json != "-";
    if (table) {
        fmt::print("{:>5} {:>12} {:>9} {:>9} {:>10} {:>8} {:>11} {:>8} {:>8} {:>6}\n", "depth", "IOPS", "p50 us",
                   "p99 us", "kicks/op", "CPUs", "switches/s", "ping ns", "after", "errors");
    }
    nlohmann::json runs = nlohmann::json::array();
    bool errors = false;
    for (const std::uint16_t depth : options.depths) {
        const auto run = measure(options, depth);
        if (!run) {
            fmt::print(stderr, "blk_bench: depth {}: {}\n", depth, run.error().message);
            return 1;
        }
        errors = errors || run->errors != 0;
        if (table) {
            print(*run);
        }
        runs.push_back(to_json(options, *run));
    }
    if (options.json == "-") {
        std::cout << runs.dump(2) << '\n';
    } else if (!options.json.empty()) {
        std::ofstream(options.json) << runs.dump(2) << '\n';
    }
    return errors ? 2 : 0;
}

}  // namespace

}  // namespace sidecore::bench

int main(int argc, char** argv) {
    sidecore::bench::Options options;
    CLI::App app("Random reads (and writes) against a vhost-user-blk back-end, from one spinning core.");
    auto* const target = app.add_option_group("target")->require_option(1);
    target->add_option("--socket", options.socket, "the back-end's listening socket");
    target->add_flag("--mirror", options.mirror, "a thread here that does nothing: what this driver can show at most");
    app.add_option("--depth", options.depths, "requests in flight per queue; several make a run each")
        ->delimiter(',')
        ->capture_default_str();
    app.add_option("--seconds", options.measure.seconds, "measured, of each run")->capture_default_str();
    app.add_option("--warm-up", options.measure.warm_up_seconds, "seconds before that")->capture_default_str();
    app.add_option("--queues", options.queues, "virtqueues, all served by this core")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    app.add_option("--queue-size", options.queue_size, "descriptors of a virtqueue")->capture_default_str();
    app.add_flag("--event-idx,!--no-event-idx", options.event_index, "VIRTIO_F_EVENT_IDX if offered (default)");
    app.add_flag("--indirect", options.indirect, "indirect descriptors");
    app.add_flag("--rewrite-descriptors", options.rewrite_descriptors,
                 "write them for each request, as a guest's driver does; else they stay as they are");
    app.add_option("--block-bytes", options.block_bytes, "of a request")->capture_default_str();
    app.add_option("--write-percent", options.write_percent, "writes among the requests")
        ->check(CLI::Range(0, 100))
        ->capture_default_str();
    app.add_option("--rate", options.rate,
                   "requests per second that arrive at random, whatever is in flight; needs one queue")
        ->check(CLI::PositiveNumber);
    app.add_option("--cpu", options.measure.cpu, "for this driver")->capture_default_str();
    app.add_option("--backend-cpu", options.backend_cpu, "where the back-end runs, for the ping-pong")
        ->capture_default_str();
    app.add_option("--pid", options.measure.backend_pid, "the back-end's process, to see what CPU time it takes");
    app.add_option("--json", options.json, "file for the results as JSON; - for standard output and no table");
    CLI11_PARSE(app, argc, argv);
    if (options.rate > 0 && options.queues != 1) {
        fmt::print(stderr, "blk_bench: --rate is for one queue, not {}\n", options.queues);
        return 1;
    }
    return sidecore::bench::run_all(options);
}
