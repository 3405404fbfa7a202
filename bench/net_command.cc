// SPDX-License-Identifier: Apache-2.0
// Frames through network devices.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <list>
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
    std::vector<std::string> sockets;
    std::string receive_socket;  // of the device that frames are received from; empty: the same
    bool mirror = false;
    std::vector<std::string> modes{"tx"};
    std::uint16_t pairs = 1;
    std::uint16_t jobs = 1;
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

/// What some pairs have done.
struct Totals {
    NetCounts counts{};
    LatencyHistogram latencies{};
    std::uint64_t behind_cycles = 0;

    void add(NetStream& stream, std::uint64_t end) {
        counts += stream.counts();
        latencies.add(stream.histogram());
        behind_cycles = std::max(behind_cycles, stream.behind(end));
    }
    void put(Row& row, double seconds, NetMode mode) const {
        const auto per_s = [seconds](std::uint64_t count) { return static_cast<double>(count) / seconds; };
        const auto per_frame = [this](std::uint64_t count) {
            return counts.transmitted == 0 ? 0 : static_cast<double>(count) / static_cast<double>(counts.transmitted);
        };
        row["transmitted"] = counts.transmitted;
        row["received"] = counts.received;
        row["transmitted_per_s"] = per_s(counts.transmitted);
        row["received_per_s"] = per_s(counts.received);
        row["received_bytes_per_s"] = per_s(counts.received_bytes);
        row["faults"] = counts.faults;
        row["transmit_kicks"] = counts.transmit_kicks;
        row["receive_kicks"] = counts.receive_kicks;
        row["kicks_suppressed"] = counts.kicks_suppressed;
        row["kicks_per_frame"] = per_frame(counts.transmit_kicks);
        row["calls"] = counts.calls;
        row["behind_us"] = static_cast<double>(cycles_to_ns(behind_cycles)) / 1e3;
        if (mode == NetMode::request_response) {
            row["responses"] = counts.responses;
            row["responses_per_s"] = per_s(counts.responses);
            row["lost"] = counts.lost;
            row["strangers"] = counts.strangers;
            add_latencies(row, latencies);
        }
    }
};

/// A virtual machine: its pairs.
struct Vm {
    std::string socket;
    std::vector<NetTarget> targets{};
};

/// What all pairs do in this mode.
Result<Row> drive(const std::vector<Vm>& vms, const Options& options, const std::string& mode) {
    NetStream::Options wanted = options.stream;
    wanted.mode = modes().at(mode);
    std::list<NetStream> streams;
    std::vector<NetStream*> pointers;
    for (const Vm& vm : vms) {
        for (const NetTarget& target : vm.targets) {
            wanted.seed = streams.size();
            SIDECORE_TRY_ASSIGN(NetStream stream, NetStream::create(target, wanted));
            pointers.push_back(&streams.emplace_back(std::move(stream)));
        }
    }
    SIDECORE_TRY_ASSIGN(const Measured measured,
                        measure(share_out(pointers, options.jobs), options.common.measure, "net, " + mode));
    const std::uint64_t end = cycles();
    Totals all;
    Row of_vms = Row::array();
    auto stream = streams.begin();
    for (const Vm& vm : vms) {
        Totals totals;
        for (std::size_t i = 0; i < vm.targets.size(); ++i, ++stream) {
            totals.add(*stream, end);
            all.add(*stream, end);
        }
        Row one{{"socket", vm.socket}};
        totals.put(one, measured.seconds, wanted.mode);
        of_vms.push_back(std::move(one));
    }
    Row row;
    row["seconds"] = measured.seconds;
    all.put(row, measured.seconds, wanted.mode);
    if (measured.backend_cpus) {
        row["backend_cpus"] = *measured.backend_cpus;
        row["backend_switches_per_s"] = *measured.backend_switches_per_s;
    }
    row["streams"] = std::move(of_vms);
    for (NetStream& one : streams) {
        SIDECORE_TRY(one.finish_all());
    }
    return row;
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

frontend::NetDriver::Options driver_options(const Options& options) {
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
    return wanted;
}

Result<Row> drive_backends(const Options& options, const std::string& mode) {
    const NetDriver::Options wanted = driver_options(options);
    std::list<NetDriver> drivers;
    std::vector<Vm> vms;
    for (const std::string& socket : options.sockets) {
        SIDECORE_TRY_ASSIGN(NetDriver started, NetDriver::start(socket, wanted));
        NetDriver& sender = drivers.emplace_back(std::move(started));
        NetDriver* receiver = &sender;
        if (!options.receive_socket.empty()) {
            SIDECORE_TRY_ASSIGN(NetDriver other, NetDriver::start(options.receive_socket, wanted));
            receiver = &drivers.emplace_back(std::move(other));
            SIDECORE_TRY(make_known(*receiver));
        }
        Vm& vm = vms.emplace_back(Vm{.socket = socket});
        for (std::size_t i = 0; i < options.pairs; ++i) {
            vm.targets.push_back({.memory = &sender.memory(),
                                  .receive = &receiver->receive_queue(i),
                                  .transmit = &sender.transmit_queue(i),
                                  .features = sender.client().features(),
                                  .receive_memory = &receiver->memory()});
        }
    }
    SIDECORE_TRY_ASSIGN(Row row, drive(vms, options, mode));
    for (NetDriver& driver : drivers) {
        for (const frontend::NumberedQueue& queue : driver.numbered_queues()) {
            SIDECORE_TRY(driver.client().get_vring_base(queue.vring));
        }
    }
    return row;
}

Result<Row> drive_mirror(const Options& options, const std::string& mode) {
    using namespace frontend;
    SIDECORE_TRY_ASSIGN(GuestMemoryFile memory, GuestMemoryFile::create(memory_bytes(options)));
    const QueueOptions queue{.size = options.queue_size, .event_index = options.event_index};
    SIDECORE_TRY_ASSIGN(DriverQueue receive, DriverQueue::create(memory, queue));
    SIDECORE_TRY_ASSIGN(DriverQueue transmit, DriverQueue::create(memory, queue));
    const NetMirror device(memory, receive, transmit, options.common.backend_cpu);
    const NetTarget target{
        .memory = &memory, .receive = &receive, .transmit = &transmit, .features = net_features(feature_version_1)};
    return drive({{.socket = "mirror", .targets = {target}}}, options, mode);
}

Result<Row> measure_mode(const Options& options, const std::string& mode) {
    const int cpu = options.common.measure.cpus.front();
    SIDECORE_TRY_ASSIGN(const double before_ns, ping_pong_ns(cpu, options.common.backend_cpu));
    SIDECORE_TRY_ASSIGN(const Row measured,
                        options.mirror ? drive_mirror(options, mode) : drive_backends(options, mode));
    SIDECORE_TRY_ASSIGN(const double after_ns, ping_pong_ns(cpu, options.common.backend_cpu));
    const NetStream::Options& stream = options.stream;
    const bool requests = modes().at(mode) == NetMode::request_response;
    Row row{
        {"mode", mode},
        {"vms", measured["streams"].size()},
        {"pairs", options.pairs},
        {"jobs", options.jobs},
        {"depth", stream.chains.depth},
        {"batch", stream.batch},
        {"bytes", requests ? frontend::net_udp_header_bytes + frontend::NetRequestResponse::number_bytes
                           : std::size_t{stream.bytes}},
        {"rate", stream.arrivals.rate},
        {"event_index", options.event_index},
        {"merge", options.merge},
        {"header_apart", stream.chains.header_apart},
        {"indirect", stream.chains.indirect},
        {"rewrite_descriptors", stream.chains.rewrite_descriptors},
        {"kick_cost_ns", stream.kick_cost_ns},
    };
    row.update(measured);
    row["ping_pong_before_ns"] = before_ns;
    row["ping_pong_after_ns"] = after_ns;
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
        auto row = measure_mode(options, mode);
        if (!row) {
            return fail(mode, row.error());
        }
        faults = faults || (*row)["faults"] != 0;
        report.add(*std::move(row));
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
    target->add_option("--socket", options.sockets,
                       "the back-end's listening socket; several are several virtual machines, all at once");
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
    command.add_option("--pairs", options.pairs, "queue pairs of each device")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    command.add_option("--jobs", options.jobs, "threads that make the load; pairs are shared out among them")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    declare_arrivals(
        command, options.stream.arrivals,
        "Frames per second and pair, and in rr requests, that arrive by themselves, whatever is under way; "
        "the latency of requests counts from then (default: as fast as possible, in rr one at a time)");
    declare_kick_cost(command, options.stream.kick_cost_ns);
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
        if (!shared->receive_socket.empty() && shared->sockets.size() != 1) {
            throw CLI::ValidationError("--receive-socket", "is for one --socket");
        }
        action = [shared] { return run_all(*shared); };
    });
}

}  // namespace sidecore::bench
