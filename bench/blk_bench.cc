// SPDX-License-Identifier: Apache-2.0
// Drives any vhost-user-blk back-end from one spinning core and says how fast it is and what that costs it.

#include <algorithm>
#include <array>
#include <cmath>
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
#include "frontend/blk_load.hh"
#include "latency_histogram.hh"
#include "mirror_device.hh"
#include "ping_pong.hh"
#include "process_usage.hh"

namespace sidecore::bench {

namespace {

using frontend::BlkDriver;
using frontend::BlkLoad;
using frontend::BlkStatus;
using frontend::BlkType;

struct Options {
    std::string socket;
    bool mirror = false;
    std::vector<std::uint16_t> depths{1, 8, 32, 128};
    double seconds = 2;
    double warm_up_seconds = 0.3;
    std::uint16_t queues = 1;
    std::uint16_t queue_size = 512;
    bool event_index = true;
    bool indirect = false;
    bool rewrite_descriptors = false;
    std::uint32_t block_bytes = 4096;
    unsigned write_percent = 0;
    double rate = 0;  ///< requests per second that arrive by themselves; 0: each slot asks again when it is idle
    int cpu = 0;
    int backend_cpu = 1;
    pid_t backend_pid = 0;
    std::string json;
};

struct Run {
    std::uint16_t depth = 0;
    double seconds = 0;
    std::uint64_t operations = 0;
    std::uint64_t errors = 0;
    std::uint64_t p50_ns = 0;
    std::uint64_t p99_ns = 0;
    std::uint64_t p999_ns = 0;
    std::uint64_t kicks = 0;
    double ping_pong_before_ns = 0;
    double ping_pong_after_ns = 0;
    std::optional<double> backend_cpus;  ///< CPU time per time
    std::optional<double> backend_switches_per_s;

    double operations_per_s() const { return static_cast<double>(operations) / seconds; }
    double kicks_per_operation() const {
        return operations == 0 ? 0 : static_cast<double>(kicks) / static_cast<double>(operations);
    }
};

/// Which sector comes next: xorshift, because a driver has no time for a better one.
class RandomBlocks {
public:
    RandomBlocks(std::uint64_t capacity_sectors, std::uint32_t block_bytes)
        : sectors_per_block_(block_bytes / frontend::blk_sector_bytes),
          blocks_(std::min<std::uint64_t>(capacity_sectors / sectors_per_block_, UINT32_MAX)) {}

    std::uint64_t next() noexcept {
        step();
        return ((state_ >> 32U) * blocks_ >> 32U) * sectors_per_block_;
    }
    /// True in `percent` of all cases.
    bool chance(unsigned percent) noexcept { return percent != 0 && (state_ & 0xffffU) * 100 < percent * 0x1'0000ULL; }

    /// Uniform in (0, 1].
    double fraction() noexcept {
        step();
        return static_cast<double>((state_ >> 11U) + 1) * 0x1p-53;
    }

private:
    void step() noexcept {
        state_ ^= state_ << 13U;
        state_ ^= state_ >> 7U;
        state_ ^= state_ << 17U;
    }
    std::uint64_t state_ = 0x9e3779b97f4a7c15;
    std::uint64_t sectors_per_block_;
    std::uint64_t blocks_;
};

/// The spinning driver, until told to stop. Closed loop: keeps every queue at its depth. Open loop: requests arrive at a rate, at
/// random (Poisson), and their latency counts from then, also while they wait for a slot.
class Spinner {
public:
    Spinner(std::vector<BlkLoad>& loads, RandomBlocks blocks, const Options& options)
        : loads_(loads),
          blocks_(blocks),
          write_percent_(options.write_percent),
          cycles_between_(options.rate > 0 ? cycles_per_ns() * 1e9 / options.rate : 0) {
        for (const BlkLoad& load : loads_) {
            started_.emplace_back(load.depth());
        }
    }

    void run_for(double seconds) {
        const std::uint64_t end = cycles() + ns_to_cycles(static_cast<std::uint64_t>(seconds * 1e9));
        std::uint64_t now = cycles();
        next_arrival_ = static_cast<double>(now);
        while (now < end) {
            now = cycles();
            for (std::size_t queue = 0; queue < loads_.size(); ++queue) {
                turn(queue, now);
            }
        }
    }

    /// Takes back what is in flight. False: the back-end does not finish it.
    bool finish_all() {
        const std::uint64_t end = cycles() + ns_to_cycles(5'000'000'000);
        for (BlkLoad& load : loads_) {
            while (load.idle() != load.depth() && cycles() < end) {
                load.finish(finished_);
            }
            if (load.idle() != load.depth()) {
                return false;
            }
        }
        return true;
    }

    void forget() {
        operations_ = 0;
        histogram_.clear();
    }

    std::uint64_t operations() const { return operations_; }
    std::uint64_t errors() const { return errors_; }
    const LatencyHistogram& histogram() const { return histogram_; }

private:
    // Prime, so that it does not fall into step with a depth; the cost of the clock is then nothing to speak of.
    static constexpr unsigned sample_every = 13;

    void turn(std::size_t queue, std::uint64_t now) {
        BlkLoad& load = loads_[queue];
        const std::size_t count = load.finish(finished_);
        for (std::size_t i = 0; i < count; ++i) {
            std::uint64_t& started = started_[queue][finished_[i].slot];
            if (started != 0) {
                histogram_.record(now - started);
                started = 0;
            }
            errors_ += finished_[i].status != BlkStatus::ok ? 1 : 0;
        }
        operations_ += count;
        if (cycles_between_ > 0) {
            let_arrive(queue, now);
            return;
        }
        while (load.idle() != 0) {
            const std::uint16_t slot = start(load);
            if (++since_sample_ == sample_every) {
                since_sample_ = 0;
                started_[queue][slot] = now;
            }
        }
        load.queue().publish();
    }

    std::uint16_t start(BlkLoad& load) {
        const std::uint64_t sector = blocks_.next();
        return load.start(blocks_.chance(write_percent_) ? BlkType::write : BlkType::read, sector);
    }

    void let_arrive(std::size_t queue, std::uint64_t now) {
        BlkLoad& load = loads_[queue];
        bool any = false;
        while (next_arrival_ <= static_cast<double>(now) && load.idle() != 0) {
            const auto arrival = static_cast<std::uint64_t>(next_arrival_);
            started_[queue][start(load)] = arrival;
            next_arrival_ -= std::log(blocks_.fraction()) * cycles_between_;
            any = true;
        }
        if (any) {
            load.queue().publish();
        }
    }

    std::vector<BlkLoad>& loads_;
    std::vector<std::vector<std::uint64_t>> started_;  // by queue and slot, in cycles; 0: not sampled
    RandomBlocks blocks_;
    unsigned write_percent_;
    double cycles_between_;    // arrivals of an open loop, in the mean; 0: closed
    double next_arrival_ = 0;  // cycles
    unsigned since_sample_ = 0;
    std::uint64_t operations_ = 0;
    std::uint64_t errors_ = 0;
    std::array<BlkLoad::Finished, 64> finished_{};
    LatencyHistogram histogram_;
};

/// A device to drive: the queues, and how to end.
struct Target {
    std::span<frontend::DriverQueue> queues;
    frontend::GuestMemoryFile& memory;
    std::uint64_t capacity_sectors;
};

std::uint64_t kicks_sent(std::span<const frontend::DriverQueue> queues) {
    std::uint64_t sum = 0;
    for (const frontend::DriverQueue& queue : queues) {
        sum += queue.statistics().kicks_sent;
    }
    return sum;
}

/// Fills `run` with what `target` does at its depth.
Result<void> drive(const Target& target, const Options& options, Run& run) {
    std::vector<BlkLoad> loads;
    for (frontend::DriverQueue& queue : target.queues) {
        queue.suppress_calls();
        const BlkLoad::Options load{.depth = run.depth,
                                    .block_bytes = options.block_bytes,
                                    .indirect = options.indirect,
                                    .rewrite_descriptors = options.rewrite_descriptors};
        SIDECORE_TRY_ASSIGN(BlkLoad made, BlkLoad::create(target.memory, queue, load));
        loads.push_back(std::move(made));
    }
    SIDECORE_TRY(pin_this_thread(options.cpu));
    Spinner spinner(loads, RandomBlocks(target.capacity_sectors, options.block_bytes), options);
    spinner.run_for(options.warm_up_seconds);
    spinner.forget();

    std::optional<ProcessUsage> usage_before;
    if (options.backend_pid != 0) {
        SIDECORE_TRY_ASSIGN(usage_before, process_usage(options.backend_pid));
    }
    const std::uint64_t kicks_before = kicks_sent(target.queues);
    const std::uint64_t start_ns = monotonic_ns();
    spinner.run_for(options.seconds);
    run.seconds = static_cast<double>(monotonic_ns() - start_ns) / 1e9;
    run.kicks = kicks_sent(target.queues) - kicks_before;
    if (usage_before) {
        SIDECORE_TRY_ASSIGN(const ProcessUsage usage, process_usage(options.backend_pid));
        run.backend_cpus = static_cast<double>(usage.cpu_ns - usage_before->cpu_ns) / 1e9 / run.seconds;
        run.backend_switches_per_s =
            static_cast<double>(usage.context_switches - usage_before->context_switches) / run.seconds;
    }
    run.operations = spinner.operations();
    run.p50_ns = cycles_to_ns(spinner.histogram().percentile(0.50));
    run.p99_ns = cycles_to_ns(spinner.histogram().percentile(0.99));
    run.p999_ns = cycles_to_ns(spinner.histogram().percentile(0.999));
    const bool finished = spinner.finish_all();
    run.errors = spinner.errors();
    for (const frontend::DriverQueue& queue : target.queues) {
        if (!queue.violation().empty()) {
            return failure(ErrorKind::protocol_violation, queue.violation());
        }
    }
    if (!finished) {
        return failure(ErrorKind::timed_out, "the back-end lost requests, or a wake-up: it does not finish them");
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
    SIDECORE_TRY_ASSIGN(run.ping_pong_before_ns, ping_pong_ns(options.cpu, options.backend_cpu));
    SIDECORE_TRY(options.mirror ? drive_mirror(options, run) : drive_backend(options, run));
    SIDECORE_TRY_ASSIGN(run.ping_pong_after_ns, ping_pong_ns(options.cpu, options.backend_cpu));
    return run;
}

std::string or_dash(const std::optional<double>& value, int digits) {
    return value ? fmt::format("{:.{}f}", *value, digits) : "-";
}

void print(const Run& run) {
    fmt::print("{:>5} {:>12.0f} {:>9.2f} {:>9.2f} {:>10.5f} {:>8} {:>11} {:>8.0f} {:>8.0f} {:>6}\n", run.depth,
               run.operations_per_s(), static_cast<double>(run.p50_ns) / 1e3, static_cast<double>(run.p99_ns) / 1e3,
               run.kicks_per_operation(), or_dash(run.backend_cpus, 2), or_dash(run.backend_switches_per_s, 0),
               run.ping_pong_before_ns, run.ping_pong_after_ns, run.errors);
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
        {"seconds", run.seconds},
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
    if (run.backend_cpus) {
        json["backend_cpus"] = *run.backend_cpus;
        json["backend_switches_per_s"] = *run.backend_switches_per_s;
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
    app.add_option("--seconds", options.seconds, "measured, of each run")->capture_default_str();
    app.add_option("--warm-up", options.warm_up_seconds, "seconds before that")->capture_default_str();
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
    app.add_option("--cpu", options.cpu, "for this driver")->capture_default_str();
    app.add_option("--backend-cpu", options.backend_cpu, "where the back-end runs, for the ping-pong")
        ->capture_default_str();
    app.add_option("--pid", options.backend_pid, "the back-end's process, to see what CPU time it takes");
    app.add_option("--json", options.json, "file for the results as JSON; - for standard output and no table");
    CLI11_PARSE(app, argc, argv);
    if (options.rate > 0 && options.queues != 1) {
        fmt::print(stderr, "blk_bench: --rate is for one queue, not {}\n", options.queues);
        return 1;
    }
    return sidecore::bench::run_all(options);
}
