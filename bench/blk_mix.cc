// SPDX-License-Identifier: Apache-2.0
// Several vhost-user-blk devices under several loads at once, driven from one spinning core: what one load does to another.

#include <cstdint>
#include <iostream>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/error.hh"
#include "frontend/blk_driver.hh"
#include "measure.hh"
#include "ping_pong.hh"
#include "spinner.hh"

namespace sidecore::bench {

namespace {

using frontend::BlkDriver;

struct Options {
    std::vector<std::string> streams;
    MeasureOptions measure{};
    int backend_cpu = 1;
};

/// SOCKET[,depth=N][,bytes=N][,rate=N][,queues=N]
struct StreamSpec {
    std::string socket;
    std::uint16_t queues = 1;  ///< the load is on the first
    Stream::Options load{};    ///< depth 0: connected, and idle
};

Result<StreamSpec> parse_stream(const std::string& text) {
    const auto wrong = [&](std::string_view part) {
        return failure(
            ErrorKind::invalid_argument,
            fmt::format("--stream {}: \"{}\" is not depth=, bytes=, rate= or queues= and a number", text, part));
    };
    StreamSpec spec;
    const std::vector<std::string> parts = CLI::detail::split(text, ',');
    spec.socket = parts.at(0);
    for (std::size_t i = 1; i < parts.size(); ++i) {
        const auto equals = parts[i].find('=');
        const std::string key = parts[i].substr(0, equals);
        double value = 0;
        if (equals == std::string::npos || !CLI::detail::lexical_cast(parts[i].substr(equals + 1), value) ||
            value < 0) {
            return wrong(parts[i]);
        }
        if (key == "depth" && value <= 256) {
            spec.load.depth = static_cast<std::uint16_t>(value);
        } else if (key == "bytes" && value >= 512 && value <= (1U << 20U)) {
            spec.load.block_bytes = static_cast<std::uint32_t>(value);
        } else if (key == "rate") {
            spec.load.rate = value;
        } else if (key == "queues" && value >= 1 && value <= 64) {
            spec.queues = static_cast<std::uint16_t>(value);
        } else {
            return wrong(parts[i]);
        }
    }
    return spec;
}

/// A device, and whatever loads it.
Result<BlkDriver> start(const StreamSpec& spec) {
    BlkDriver::Options wanted;
    wanted.queues = spec.queues;
    wanted.queue.size = spec.load.depth > 64 ? 1024 : 256;
    wanted.requests.slots = 1;
    wanted.requests.bytes_per_slot = 16 * 1024;
    wanted.memory_bytes = (std::uint64_t{spec.load.block_bytes} + 4096) * spec.load.depth +
                          (std::uint64_t{spec.queues} << 18U) + (16ULL << 20U);
    return BlkDriver::start(spec.socket, wanted);
}

struct Loaded {
    std::string socket;
    std::uint32_t block_bytes;
};

nlohmann::json to_json(const Loaded& what, const Stream& stream, double seconds) {
    const auto latency_us = [&](double share) {
        return static_cast<double>(cycles_to_ns(stream.histogram().percentile(share))) / 1e3;
    };
    const double iops = static_cast<double>(stream.operations()) / seconds;
    return {{"socket", what.socket},
            {"operations", stream.operations()},
            {"errors", stream.errors()},
            {"iops", iops},
            {"bytes_per_s", iops * what.block_bytes},
            {"kicks", stream.kicks()},
            {"lat_p50_us", latency_us(0.50)},
            {"lat_p99_us", latency_us(0.99)},
            {"lat_p999_us", latency_us(0.999)}};
}

Result<nlohmann::json> measure(const Options& options) {
    std::list<BlkDriver> drivers;
    std::vector<Stream> streams;
    std::vector<Loaded> loaded;
    for (const std::string& text : options.streams) {
        SIDECORE_TRY_ASSIGN(const StreamSpec spec, parse_stream(text));
        SIDECORE_TRY_ASSIGN(BlkDriver started, start(spec));
        BlkDriver& driver = drivers.emplace_back(std::move(started));
        if (spec.load.depth == 0) {
            continue;
        }
        SIDECORE_TRY_ASSIGN(const frontend::BlkConfig config, driver.config());
        SIDECORE_TRY_ASSIGN(Stream stream, Stream::create(driver.memory(), driver.queue(), config.capacity, spec.load));
        streams.push_back(std::move(stream));
        loaded.push_back({spec.socket, spec.load.block_bytes});
    }
    SIDECORE_TRY_ASSIGN(const double ping_pong_before_ns, ping_pong_ns(options.measure.cpu, options.backend_cpu));
    SIDECORE_TRY_ASSIGN(const Measured measured, measure_streams(streams, options.measure));
    nlohmann::json result{{"seconds", measured.seconds}, {"streams", nlohmann::json::array()}};
    for (std::size_t i = 0; i < streams.size(); ++i) {
        result["streams"].push_back(to_json(loaded[i], streams[i], measured.seconds));
    }
    if (measured.backend_cpus) {
        result["backend_cpus"] = *measured.backend_cpus;
    }
    for (Stream& stream : streams) {
        SIDECORE_TRY(stream.finish_all());
    }
    SIDECORE_TRY_ASSIGN(const double ping_pong_after_ns, ping_pong_ns(options.measure.cpu, options.backend_cpu));
    result["ping_pong_before_ns"] = ping_pong_before_ns;
    result["ping_pong_after_ns"] = ping_pong_after_ns;
    for (BlkDriver& driver : drivers) {
        SIDECORE_TRY(driver.client().stop(static_cast<std::uint16_t>(driver.queues().size())));
    }
    return result;
}

}  // namespace

}  // namespace sidecore::bench

int main(int argc, char** argv) {
    sidecore::bench::Options options;
    CLI::App app("Several vhost-user-blk devices under several loads at once, from one spinning core. Prints JSON.");
    app.add_option("--stream", options.streams,
                   "SOCKET[,depth=32][,bytes=4096][,rate=0][,queues=1]: random reads on the first queue of that "
                   "device, at a depth or "
                   "at so many per second; depth=0: connected and idle; may be given several times")
        ->required()
        ->take_all()
        ->expected(1);
    app.add_option("--seconds", options.measure.seconds, "measured")->capture_default_str();
    app.add_option("--warm-up", options.measure.warm_up_seconds, "seconds before that")->capture_default_str();
    app.add_option("--cpu", options.measure.cpu, "for this driver")->capture_default_str();
    app.add_option("--backend-cpu", options.backend_cpu, "where the back-end runs, for the ping-pong")
        ->capture_default_str();
    app.add_option("--pid", options.measure.backend_pid, "the back-end's process, to see what CPU time it takes");
    CLI11_PARSE(app, argc, argv);
    const auto result = sidecore::bench::measure(options);
    if (!result) {
        fmt::print(stderr, "blk_mix: {}\n", result.error().message);
        return 1;
    }
    std::cout << result->dump(2) << '\n';
    return 0;
}
