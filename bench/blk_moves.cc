// SPDX-License-Identifier: Apache-2.0
// How long a queue stands still when it is handed over from one worker to another: a driver spins on it, and a second thread moves it
// through the daemon's control socket.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/error.hh"
#include "base/format.hh"
#include "control/http_client.hh"
#include "disk_stream.hh"
#include "disk_vm.hh"
#include "latency_histogram.hh"
#include "ping_pong.hh"

namespace sidecore::bench {

namespace {

struct Options {
    std::string socket;
    std::string control_socket;
    std::string device;
    std::vector<std::string> workers;
    unsigned moves = 1000;
    unsigned pause_us = 2000;
    std::uint16_t depth = 8;
    int cpu = 0;
};

/// The longest time between two moments at which the driver saw requests end.
class LongestGap {
public:
    /// The driver's thread.
    void note(std::uint64_t now) noexcept {
        const std::uint64_t gap = now - last_;
        last_ = now;
        if (gap > longest_.load(std::memory_order_relaxed)) {
            longest_.store(gap, std::memory_order_relaxed);  // a reset in between is undone at worst, and taken later
        }
    }
    /// Any thread: so far, and from now on anew.
    std::uint64_t take() noexcept { return longest_.exchange(0, std::memory_order_relaxed); }

private:
    std::uint64_t last_ = cycles();
    std::atomic<std::uint64_t> longest_{0};
};

nlohmann::json to_json(const LatencyHistogram& stalls) {
    const auto us = [&](double share) { return static_cast<double>(cycles_to_ns(stalls.percentile(share))) / 1e3; };
    return {{"p50_us", us(0.50)}, {"p90_us", us(0.90)}, {"p99_us", us(0.99)}, {"max_us", us(1)}};
}

/// Windows of the same length, every other with a move in it.
Result<nlohmann::json> move_again_and_again(const Options& options, LongestGap& gap) {
    SIDECORE_TRY_ASSIGN(control::HttpClient client, control::HttpClient::create(options.control_socket));
    LatencyHistogram with;
    LatencyHistogram without;
    LatencyHistogram took;
    const auto pause = std::chrono::microseconds(options.pause_us);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    for (unsigned i = 0; i < options.moves; ++i) {
        gap.take();
        std::this_thread::sleep_for(pause);
        without.record(gap.take());
        const std::string body = nlohmann::json{{"worker", options.workers[(i + 1) % options.workers.size()]}}.dump();
        const std::uint64_t start = cycles();
        SIDECORE_TRY(client.request("POST", fmt::format("/v1/devices/{}/move", options.device), body));
        took.record(cycles() - start);
        std::this_thread::sleep_for(pause);
        with.record(gap.take());
    }
    return nlohmann::json{{"moves", options.moves},
                          {"gap_with_move", to_json(with)},
                          {"gap_without", to_json(without)},
                          {"request", to_json(took)}};
}

Result<nlohmann::json> measure(const Options& options) {
    SIDECORE_TRY_ASSIGN(DiskVm vm, DiskVm::start(frontend::DiskProtocol::blk, options.socket, {}));
    const auto blocks = static_cast<std::uint32_t>(vm.capacity_sectors() / 8);
    SIDECORE_TRY_ASSIGN(DiskStream stream, DiskStream::create(vm.memory(), vm.queues().front(), {0, blocks},
                                                              {.depth = options.depth, .block_bytes = 4096}));
    LongestGap gap;
    std::atomic<bool> done{false};
    Result<nlohmann::json> result;
    std::thread mover([&] {
        result = move_again_and_again(options, gap);
        done = true;
    });
    const auto pinned = pin_this_thread(options.cpu);
    std::uint64_t seen = 0;
    while (!done.load(std::memory_order_relaxed)) {
        const std::uint64_t now = cycles();
        stream.turn(now);
        if (stream.operations() != seen) {
            seen = stream.operations();
            gap.note(now);
        }
    }
    mover.join();
    SIDECORE_TRY(pinned);
    SIDECORE_TRY(result);
    SIDECORE_TRY(stream.finish_all());
    (*result)["operations"] = stream.operations();
    (*result)["errors"] = stream.errors();
    SIDECORE_TRY(vm.stop());
    return result;
}

}  // namespace

}  // namespace sidecore::bench

int main(int argc, char** argv) {
    sidecore::bench::Options options;
    CLI::App app("How long a queue stands still when it moves to another worker. Prints JSON.");
    app.add_option("--socket", options.socket, "of a device with one queue")->required();
    app.add_option("--control", options.control_socket, "the daemon's control socket")->required();
    app.add_option("--device", options.device, "the device's name")->required();
    app.add_option("--workers", options.workers, "to move it between; it is on the first")
        ->required()
        ->delimiter(',')
        ->expected(2, 64);
    app.add_option("--moves", options.moves, "")->capture_default_str();
    app.add_option("--pause-us", options.pause_us, "after each move, and as long again without one")
        ->capture_default_str();
    app.add_option("--depth", options.depth, "requests in flight")->check(CLI::Range(1, 64))->capture_default_str();
    app.add_option("--cpu", options.cpu, "for the driver")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    const auto result = sidecore::bench::measure(options);
    if (!result) {
        fmt::print(stderr, "blk_moves: {}\n", result.error().message);
        return 1;
    }
    std::cout << result->dump(2) << '\n';
    return 0;
}
