// SPDX-License-Identifier: Apache-2.0
// Frames through network devices.

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hh"
#include "base/error.hh"
#include "base/format.hh"
#include "command.hh"
#include "frontend/net_driver.hh"
#include "frontend/net_frame.hh"
#include "latency_histogram.hh"
#include "net_mirror.hh"
#include "net_stream.hh"
#include "ping_pong.hh"

namespace sidecore::bench {

namespace {

using frontend::NetDriver;

struct Options {
    CommonOptions common{};
    std::string socket;
    std::string receive_socket;  // of the device that frames are received from; empty: the same
    bool mirror = false;
    std::vector<std::string> modes{"tx"};
    std::uint16_t pairs = 1;
    std::uint16_t queue_size = 512;
    bool event_index = true;
    bool control = true;
    bool merge = true;
    NetStream::Options stream{};
};

const std::map<std::string, NetMode>& modes() {
    static const std::map<std::string, NetMode> known{{"tx", NetMode::transmit},
                                                      {"rx", NetMode::receive},
                                                      {"loop", NetMode::loop},
                                                      {"rr", NetMode::request_response}};
    return known;
}

struct Run {
    std::string mode;
    Measured measured;
    NetCounts counts;
    LatencyHistogram latencies;
    double ping_pong_before_ns = 0;
    double ping_pong_after_ns = 0;

    double per_s(std::uint64_t count) const { return static_cast<double>(count) / measured.seconds; }
    double kicks_per_frame() const {
        return counts.transmitted == 0
                   ? 0
                   : static_cast<double>(counts.transmit_kicks) / static_cast<double>(counts.transmitted);
    }
};

void spin(std::vector<NetStream>& streams, double seconds) {
    const std::uint64_t end = cycles() + ns_to_cycles(static_cast<std::uint64_t>(seconds * 1e9));
    std::uint64_t now = cycles();
    while (now < end) {
        now = cycles();
        for (NetStream& stream : streams) {
            stream.turn(now);
        }
    }
}

/// Fills `run` with what the pairs do in its mode.
Result<void> drive(const std::vector<NetTarget>& targets, const Options& options, Run& run) {
    NetStream::Options wanted = options.stream;
    wanted.mode = modes().at(run.mode);
    std::vector<NetStream> streams;
    for (const NetTarget& target : targets) {
        SIDECORE_TRY_ASSIGN(NetStream stream, NetStream::create(target, wanted));
        streams.push_back(std::move(stream));
    }
    Driven driven;
    driven.jobs.emplace_back([&streams](double seconds) { spin(streams, seconds); });
    driven.forget = [&streams] {
        for (NetStream& stream : streams) {
            stream.forget();
        }
    };
    SIDECORE_TRY_ASSIGN(run.measured, measure(driven, options.common.measure, "net, " + run.mode));
    for (NetStream& stream : streams) {
        run.counts += stream.counts();
        run.latencies.add(stream.histogram());
    }
    for (NetStream& stream : streams) {
        SIDECORE_TRY(stream.finish_all());
    }
    return {};
}

/// Guest memory for the load; rings are small beside it.
std::uint64_t memory_bytes(const Options& options) {
    const std::uint64_t chain = std::uint64_t{options.stream.bytes} + frontend::net_receive_bytes(UINT64_MAX) + 1024;
    return (64ULL << 20U) + 2 * chain * options.stream.chains.depth * options.pairs;
}

/// Lets the network know where frames for NetRoute's destination go: to `driver`.
Result<void> make_known(frontend::NetDriver& driver) {
    const frontend::NetRoute back{.source_mac = frontend::NetRoute{}.destination_mac,
                                  .destination_mac = frontend::NetRoute{}.source_mac};
    SIDECORE_TRY_ASSIGN(auto load, frontend::NetTransmitLoad::create(
                                       driver.memory(), driver.transmit_queue(), driver.client().features(),
                                       frontend::make_udp_frame(back, std::vector<std::byte>(22)), {.depth = 1}));
    load.send(1);
    const std::uint64_t end = cycles() + ns_to_cycles(5'000'000'000);
    while (load.used() == 0) {
        load.reclaim();
        if (cycles() > end) {
            return failure(ErrorKind::timed_out, "the back-end of --receive-socket does not use a frame");
        }
    }
    return {};
}

Result<void> drive_backend(const Options& options, Run& run) {
    using namespace frontend;
    NetDriver::Options wanted;
    wanted.wishes.features = net_features(feature_version_1, feature_indirect, feature_event_index, net_feature_mac,
                                          net_feature_status, net_feature_mtu, net_feature_ctrl_vq, net_feature_mq) |
                             (options.merge ? net_features(net_feature_mrg_rxbuf) : 0);
    wanted.pairs = options.pairs;
    wanted.control = options.control;
    wanted.queue.size = options.queue_size;
    wanted.queue.event_index = options.event_index;
    wanted.endpoints = false;
    wanted.memory_bytes = memory_bytes(options);
    std::vector<NetDriver> drivers;
    SIDECORE_TRY_ASSIGN(NetDriver sender, NetDriver::start(options.socket, wanted));
    drivers.push_back(std::move(sender));
    if (!options.receive_socket.empty()) {
        SIDECORE_TRY_ASSIGN(NetDriver receiver, NetDriver::start(options.receive_socket, wanted));
        SIDECORE_TRY(make_known(receiver));
        drivers.push_back(std::move(receiver));
    }
    std::vector<NetTarget> targets;
    for (std::size_t i = 0; i < options.pairs; ++i) {
        targets.push_back({.memory = &drivers.front().memory(),
                           .receive = &drivers.back().receive_queue(i),
                           .transmit = &drivers.front().transmit_queue(i),
                           .features = drivers.front().client().features(),
                           .receive_memory = &drivers.back().memory()});
    }
    SIDECORE_TRY(drive(targets, options, run));
    for (NetDriver& driver : drivers) {
        for (const NumberedQueue& queue : driver.numbered_queues()) {
            SIDECORE_TRY(driver.client().get_vring_base(queue.vring));
        }
    }
    return {};
}

Result<void> drive_mirror(const Options& options, Run& run) {
    using namespace frontend;
    SIDECORE_TRY_ASSIGN(GuestMemoryFile memory, GuestMemoryFile::create(memory_bytes(options)));
    const QueueOptions queue{.size = options.queue_size, .event_index = options.event_index};
    SIDECORE_TRY_ASSIGN(DriverQueue receive, DriverQueue::create(memory, queue));
    SIDECORE_TRY_ASSIGN(DriverQueue transmit, DriverQueue::create(memory, queue));
    const NetMirror device(memory, receive, transmit, options.common.backend_cpu);
    return drive(
        {{.memory = &memory, .receive = &receive, .transmit = &transmit, .features = net_features(feature_version_1)}},
        options, run);
}

Result<Run> measure_mode(const Options& options, const std::string& mode) {
    Run run;
    run.mode = mode;
    SIDECORE_TRY_ASSIGN(run.ping_pong_before_ns,
                        ping_pong_ns(options.common.measure.cpus.front(), options.common.backend_cpu));
    SIDECORE_TRY(options.mirror ? drive_mirror(options, run) : drive_backend(options, run));
    SIDECORE_TRY_ASSIGN(run.ping_pong_after_ns,
                        ping_pong_ns(options.common.measure.cpus.front(), options.common.backend_cpu));
    return run;
}

Row to_row(const Options& options, const Run& run) {
    Row row{
        {"mode", run.mode},
        {"pairs", options.pairs},
        {"depth", options.stream.chains.depth},
        {"batch", options.stream.batch},
        {"event_index", options.event_index},
        {"merge", options.merge},
        {"header_apart", options.stream.chains.header_apart},
        {"indirect", options.stream.chains.indirect},
        {"rewrite_descriptors", options.stream.chains.rewrite_descriptors},
        {"seconds", run.measured.seconds},
        {"transmitted", run.counts.transmitted},
        {"received", run.counts.received},
        {"transmitted_per_s", run.per_s(run.counts.transmitted)},
        {"received_per_s", run.per_s(run.counts.received)},
        {"received_bytes_per_s", run.per_s(run.counts.received_bytes)},
        {"faults", run.counts.faults},
        {"transmit_kicks", run.counts.transmit_kicks},
        {"receive_kicks", run.counts.receive_kicks},
        {"kicks_suppressed", run.counts.kicks_suppressed},
        {"kicks_per_frame", run.kicks_per_frame()},
        {"calls", run.counts.calls},
        {"ping_pong_before_ns", run.ping_pong_before_ns},
        {"ping_pong_after_ns", run.ping_pong_after_ns},
    };
    if (modes().at(run.mode) == NetMode::request_response) {
        row["bytes"] = frontend::net_udp_header_bytes + 1;
        row["responses"] = run.counts.responses;
        row["responses_per_s"] = run.per_s(run.counts.responses);
        row["lost"] = run.counts.lost;
        row["strangers"] = run.counts.strangers;
        add_latencies(row, run.latencies);
    } else {
        row["bytes"] = options.stream.bytes;
    }
    if (run.measured.backend_cpus) {
        row["backend_cpus"] = *run.measured.backend_cpus;
        row["backend_switches_per_s"] = *run.measured.backend_switches_per_s;
    }
    return row;
}

std::vector<Column> columns() {
    return {
        {"mode", "mode", 5},
        {"transmitted_per_s", "sent/s", 12},
        {"received_per_s", "received/s", 12},
        {"lat_p50_us", "p50 us", 9, 2},
        {"lat_p99_us", "p99 us", 9, 2},
        {"kicks_per_frame", "kicks/frame", 11, 5},
        {"calls", "calls", 9},
        {"backend_cpus", "CPUs", 8, 2},
        {"ping_pong_before_ns", "ping ns", 8},
        {"ping_pong_after_ns", "after", 8},
        {"lost", "lost", 6},
        {"faults", "faults", 6},
    };
}

int run_all(const Options& options) {
    Report report(options.common.format, columns(), options.common.output);
    bool faults = false;
    for (const std::string& mode : options.modes) {
        const auto run = measure_mode(options, mode);
        if (!run) {
            return fail(mode, run.error());
        }
        faults = faults || run->counts.faults != 0;
        report.add(to_row(options, *run));
    }
    if (const auto finished = report.finish(); !finished) {
        return fail("results", finished.error());
    }
    return faults ? 2 : 0;
}

}  // namespace

void declare_net_command(CLI::App& app, Action& action) {
    const auto shared = std::make_shared<Options>();
    Options& options = *shared;
    auto& chains = options.stream.chains;
    CLI::App& command = *app.add_subcommand("net", "Frames through a vhost-user-net back-end");
    auto* const target = command.add_option_group("target")->require_option(1);
    target->add_option("--socket", options.socket, "the back-end's listening socket");
    command.add_option(
        "--receive-socket", options.receive_socket,
        "another device's, which frames are received from, as on a switch; and the time of rr is that of one way");
    target->add_flag("--mirror", options.mirror, "a thread here that sends back: what this driver can show at most");
    command
        .add_option(
            "--mode", options.modes,
            "tx: frames as fast as possible; rx: what comes by itself, which may be nothing; loop: frames as fast as "
            "possible, and receive what comes back; rr: one byte at a time, which comes back; several make a run each")
        ->delimiter(',')
        ->check(CLI::IsMember({"tx", "rx", "loop", "rr"}))
        ->capture_default_str();
    command.add_option("--bytes", options.stream.bytes, "of a frame, from its Ethernet header on; not in rr")
        ->check(CLI::Range(42, 65549))
        ->capture_default_str();
    command.add_option("--batch", options.stream.batch, "frames per publication, at most")
        ->check(CLI::Range(1, 32768))
        ->capture_default_str();
    command.add_option("--depth", chains.depth, "chains of each queue")
        ->check(CLI::Range(1, 32768))
        ->capture_default_str();
    command.add_option("--pairs", options.pairs, "queue pairs, all served by this core")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    command.add_option("--queue-size", options.queue_size, "descriptors of a virtqueue")->capture_default_str();
    command.add_flag("--event-idx,!--no-event-idx", options.event_index, "VIRTIO_F_EVENT_IDX if offered (default)");
    command.add_flag("--control,!--no-control", options.control, "the control queue if offered (default)");
    command.add_flag("--merge,!--no-merge", options.merge, "VIRTIO_NET_F_MRG_RXBUF if offered (default)");
    command.add_flag("--header-apart", chains.header_apart, "the header in a descriptor of its own");
    command.add_flag("--indirect", chains.indirect, "indirect descriptors");
    command.add_flag("--rewrite-descriptors", chains.rewrite_descriptors,
                     "write them for each frame, as a guest's driver does; else they stay as they are");
    declare_common(command, options.common);
    command.callback([shared, &action] {
        if (shared->mirror && shared->pairs != 1) {
            throw CLI::ValidationError("--mirror", "is for one pair");
        }
        action = [shared] { return run_all(*shared); };
    });
}

}  // namespace sidecore::bench
