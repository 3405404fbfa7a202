// SPDX-License-Identifier: Apache-2.0
// Reads and writes on the disks of one virtual machine or several.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hh"
#include "base/format.hh"
#include "command.hh"
#include "disk_stream.hh"
#include "disk_vm.hh"
#include "mirror_device.hh"
#include "ping_pong.hh"

namespace sidecore::bench {

namespace {

using frontend::DiskProtocol;

/// A virtual machine, and its load.
struct VmOptions {
    std::string socket;
    std::uint16_t queues = 1;
    std::uint16_t loaded = 0;  ///< so many of the queues, the others are idle; 0: all
    DiskStream::Options load{};
    bool own_depth = false;  ///< whatever the run's is
};

struct Options {
    CommonOptions common{};
    DiskProtocol protocol = DiskProtocol::blk;
    std::vector<std::string> sockets;
    std::vector<std::string> streams;
    bool mirror = false;
    std::vector<std::uint16_t> depths{1, 8, 32, 128};
    std::uint16_t jobs = 1;
    std::uint16_t queue_size = 512;
    bool event_index = true;
    std::uint64_t span_bytes = 0;  ///< of each disk; 0: all of it
    VmOptions vm{};                ///< as far as --stream does not say otherwise
};

/// A disk's queues, and what is known of it.
struct Target {
    std::span<frontend::DriverQueue> queues;
    frontend::GuestMemoryFile& memory;
    std::uint64_t capacity_sectors;
};

/// SOCKET[,KEY=NUMBER]…
Result<VmOptions> parse_stream(const std::string& text, const VmOptions& usual) {
    VmOptions vm = usual;
    const std::vector<std::string> parts = CLI::detail::split(text, ',');
    vm.socket = parts.at(0);
    for (std::size_t i = 1; i < parts.size(); ++i) {
        const auto equals = parts[i].find('=');
        const std::string key = parts[i].substr(0, equals);
        double value = 0;
        const bool number =
            equals != std::string::npos && CLI::detail::lexical_cast(parts[i].substr(equals + 1), value) && value >= 0;
        if (number && key == "depth" && value <= 1024) {
            vm.load.depth = static_cast<std::uint16_t>(value);
            vm.own_depth = true;
        } else if (number && key == "bytes" && value >= 512 && value <= (1U << 20U)) {
            vm.load.block_bytes = static_cast<std::uint32_t>(value);
        } else if (number && key == "rate") {
            vm.load.arrivals.rate = value;
        } else if (number && key == "writes" && value <= 100) {
            vm.load.write_percent = static_cast<unsigned>(value);
        } else if (number && key == "queues" && value >= 1 && value <= 64) {
            vm.queues = static_cast<std::uint16_t>(value);
        } else if (number && key == "loaded" && value <= 64) {
            vm.loaded = static_cast<std::uint16_t>(value);
        } else {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("--stream {}: \"{}\" is not one of depth=0…1024, bytes=512…1048576, rate=, "
                                       "writes=0…100, queues=1…64, loaded=0…64",
                                       text, parts[i]));
        }
    }
    return vm;
}

Result<std::vector<VmOptions>> vms_of(const Options& options) {
    std::vector<VmOptions> vms;
    for (const std::string& socket : options.sockets) {
        vms.push_back(options.vm);
        vms.back().socket = socket;
    }
    for (const std::string& text : options.streams) {
        SIDECORE_TRY_ASSIGN(VmOptions vm, parse_stream(text, options.vm));
        vms.push_back(std::move(vm));
    }
    if (options.mirror) {
        vms.push_back(options.vm);
        vms.back().socket = "mirror";
    }
    return vms;
}

std::uint64_t load_bytes(const VmOptions& vm) {
    return (std::uint64_t{vm.load.block_bytes} + 4096) * vm.load.depth * vm.queues;
}

/// Some loads, all of which count from the same moment.
class Run {
public:
    Run(const Options& options, std::string name) : options_(options), name_(std::move(name)) {}

    /// The load of `vm` on `target`; queues that write share the disk out among them, so that each knows what is there.
    Result<void> add(const VmOptions& vm, const Target& target) {
        Vm& added = vms_.emplace_back();
        added.socket = vm.socket;
        added.block_bytes = vm.load.block_bytes;
        const auto queues = target.queues.first(
            vm.loaded == 0 ? target.queues.size() : std::min<std::size_t>(vm.loaded, target.queues.size()));
        if (vm.load.depth == 0) {
            return {};
        }
        const std::uint64_t bytes = target.capacity_sectors * frontend::blk_sector_bytes;
        const std::uint64_t used = options_.span_bytes == 0 ? bytes : std::min(bytes, options_.span_bytes);
        const std::uint64_t parts = vm.load.verify ? queues.size() : 1;
        const auto blocks = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(used / vm.load.block_bytes / parts, vm.load.verify ? max_verified : UINT32_MAX));
        for (std::size_t i = 0; i < queues.size(); ++i) {
            const std::uint64_t part = vm.load.verify ? i : 0;
            DiskStream::Options load = vm.load;
            load.protocol = options_.protocol;
            load.seed = streams_.size();
            const std::uint64_t first =
                part * blocks * (vm.load.block_bytes / std::uint64_t{frontend::blk_sector_bytes});
            SIDECORE_TRY_ASSIGN(DiskStream stream, DiskStream::create(target.memory, queues[i], {first, blocks}, load));
            streams_.push_back(std::make_unique<DiskStream>(std::move(stream)));
            added.streams.push_back(streams_.back().get());
        }
        return {};
    }

    Result<Row> measure() {
        SIDECORE_TRY_ASSIGN(const Measured measured, bench::measure(driven(), options_.common.measure, name_));
        const std::uint64_t end = cycles();
        Row row;
        row["seconds"] = measured.seconds;
        Totals all;
        Row vms = Row::array();
        for (const Vm& vm : vms_) {
            Totals totals;
            for (const DiskStream* const stream : vm.streams) {
                totals.add(*stream, vm.block_bytes, end);
                all.add(*stream, vm.block_bytes, end);
            }
            Row one{{"socket", vm.socket}};
            totals.put(one, measured.seconds);
            vms.push_back(std::move(one));
        }
        all.put(row, measured.seconds);
        if (measured.backend_cpus) {
            row["backend_cpus"] = *measured.backend_cpus;
            row["backend_switches_per_s"] = *measured.backend_switches_per_s;
        }
        row["streams"] = std::move(vms);
        for (const auto& stream : streams_) {
            SIDECORE_TRY(stream->finish_all());
        }
        return row;
    }

private:
    static constexpr std::uint64_t max_verified = 1U << 24U;  // blocks per queue: 128 MiB to remember them

    struct Vm {
        std::string socket;
        std::uint32_t block_bytes = 0;
        std::vector<const DiskStream*> streams{};
    };

    struct Totals {
        std::uint64_t operations = 0;
        std::uint64_t bytes = 0;
        std::uint64_t errors = 0;
        std::uint64_t wrong_blocks = 0;
        std::uint64_t kicks = 0;
        std::uint64_t behind_cycles = 0;
        LatencyHistogram latencies{};

        void add(const DiskStream& stream, std::uint32_t block_bytes, std::uint64_t end) {
            operations += stream.operations();
            bytes += stream.operations() * block_bytes;
            errors += stream.errors();
            wrong_blocks += stream.wrong_blocks();
            kicks += stream.kicks();
            behind_cycles = std::max(behind_cycles, stream.behind(end));
            latencies.add(stream.histogram());
        }
        void put(Row& row, double seconds) const {
            row["operations"] = operations;
            row["errors"] = errors;
            row["wrong_blocks"] = wrong_blocks;
            row["iops"] = static_cast<double>(operations) / seconds;
            row["bytes_per_s"] = static_cast<double>(bytes) / seconds;
            row["kicks"] = kicks;
            row["kicks_per_s"] = static_cast<double>(kicks) / seconds;
            row["kicks_per_op"] = operations == 0 ? 0 : static_cast<double>(kicks) / static_cast<double>(operations);
            row["behind_us"] = static_cast<double>(cycles_to_ns(behind_cycles)) / 1e3;
            add_latencies(row, latencies);
        }
    };

    Driven driven() {
        std::vector<DiskStream*> all;
        for (const auto& stream : streams_) {
            all.push_back(stream.get());
        }
        return share_out(all, options_.jobs);
    }

    const Options& options_;
    std::string name_;
    std::list<Vm> vms_;
    std::vector<std::unique_ptr<DiskStream>> streams_;
};

Result<Row> run_on_backends(const Options& options, const std::vector<VmOptions>& vms, const std::string& name) {
    std::list<DiskVm> machines;
    Run run(options, name);
    for (const VmOptions& vm : vms) {
        SIDECORE_TRY_ASSIGN(DiskVm started,
                            DiskVm::start(options.protocol, vm.socket,
                                          {.queues = vm.queues,
                                           .queue = {.size = options.queue_size, .event_index = options.event_index},
                                           .load_bytes = load_bytes(vm)}));
        DiskVm& machine = machines.emplace_back(std::move(started));
        SIDECORE_TRY(run.add(vm, {machine.queues(), machine.memory(), machine.capacity_sectors()}));
    }
    SIDECORE_TRY_ASSIGN(Row row, run.measure());
    for (DiskVm& machine : machines) {
        SIDECORE_TRY(machine.stop());
    }
    return row;
}

Result<Row> run_on_mirror(const Options& options, const VmOptions& vm, const std::string& name) {
    SIDECORE_TRY_ASSIGN(frontend::GuestMemoryFile memory,
                        frontend::GuestMemoryFile::create(load_bytes(vm) + (64U << 20U)));
    SIDECORE_TRY_ASSIGN(
        frontend::DriverQueue queue,
        frontend::DriverQueue::create(memory, {.size = options.queue_size, .event_index = options.event_index}));
    const MirrorDevice device(memory, queue, options.protocol, options.common.backend_cpu);
    Run run(options, name);
    SIDECORE_TRY(run.add(vm, {std::span(&queue, 1), memory, UINT32_MAX}));
    return run.measure();
}

Result<Row> run_depth(const Options& options, std::vector<VmOptions> vms, std::uint16_t depth) {
    for (VmOptions& vm : vms) {
        vm.load.depth = vm.own_depth ? vm.load.depth : depth;
    }
    const std::string type = options.protocol == DiskProtocol::scsi ? "scsi" : "blk";
    const std::string name = fmt::format("{}, depth {}", type, depth);
    const int cpu = options.common.measure.cpus.front();
    SIDECORE_TRY_ASSIGN(const double before_ns, ping_pong_ns(cpu, options.common.backend_cpu));
    SIDECORE_TRY_ASSIGN(const Row measured, options.mirror ? run_on_mirror(options, vms.front(), name)
                                                           : run_on_backends(options, vms, name));
    SIDECORE_TRY_ASSIGN(const double after_ns, ping_pong_ns(cpu, options.common.backend_cpu));
    const DiskStream::Options& load = options.vm.load;
    Row row{
        {"type", type},
        {"depth", depth},
        {"vms", vms.size()},
        {"queues", options.vm.queues},
        {"jobs", options.jobs},
        {"block_bytes", load.block_bytes},
        {"write_percent", load.write_percent},
        {"rate", load.arrivals.rate},
        {"event_index", options.event_index},
        {"indirect", load.indirect},
        {"rewrite_descriptors", load.rewrite_descriptors},
        {"kick_cost_ns", load.kick_cost_ns},
    };
    row.update(measured);
    row["ping_pong_before_ns"] = before_ns;
    row["ping_pong_after_ns"] = after_ns;
    return row;
}

std::vector<Column> columns(bool verify) {
    std::vector<Column> columns{
        {"depth", "depth", 5},
        {"iops", "IOPS", 12},
        {"bytes_per_s", "MB/s", 9, 1, 1e6},
        {"lat_p50_us", "p50 us", 9, 2},
        {"lat_p99_us", "p99 us", 9, 2},
        {"lat_p9999_us", "p99.99 us", 10, 2},
        {"kicks_per_op", "kicks/op", 9, 5},
        {"backend_cpus", "CPUs", 6, 2},
        {"backend_switches_per_s", "switches/s", 11},
        {"ping_pong_before_ns", "ping ns", 8},
        {"ping_pong_after_ns", "after", 6},
        {"errors", "errors", 6},
    };
    if (verify) {
        columns.push_back({"wrong_blocks", "wrong", 6});
    }
    return columns;
}

int run_all(const Options& options) {
    const auto vms = vms_of(options);
    if (!vms) {
        return fail("options", vms.error());
    }
    Report report(options.common.format, columns(options.vm.load.verify), options.common.output);
    bool errors = false;
    for (const std::uint16_t depth : options.depths) {
        auto row = run_depth(options, *vms, depth);
        if (!row) {
            return fail(fmt::format("depth {}", depth), row.error());
        }
        errors = errors || (*row)["errors"] != 0 || (*row)["wrong_blocks"] != 0;
        report.add(*std::move(row));
    }
    if (const auto finished = report.finish(); !finished) {
        return fail("results", finished.error());
    }
    if (errors) {
        fmt::print(stderr, "sidecore-bench: requests ended with errors, or brought other data than were written\n");
    }
    return errors ? 2 : 0;
}

/// What leaves no run, or no true one.
void check(const Options& options) {
    if (options.mirror && (options.vm.queues != 1 || !options.sockets.empty() || !options.streams.empty())) {
        throw CLI::ValidationError("--mirror", "is for one queue, and no back-end");
    }
    if (!options.mirror && options.sockets.empty() && options.streams.empty()) {
        throw CLI::ValidationError("--socket", "one is needed, or --stream, or --mirror");
    }
    if (options.mirror && options.vm.load.verify) {
        throw CLI::ValidationError("--verify", "a mirror keeps no data");
    }
}

void declare_load(CLI::App& command, Options& options) {
    DiskStream::Options& load = options.vm.load;
    const CLI::AsSizeValue size(false);
    command.add_option("--block-bytes", load.block_bytes, "Of a request; like 4k")
        ->transform(size)
        ->capture_default_str();
    command.add_option("--write-percent", load.write_percent, "Writes among the requests")
        ->check(CLI::Range(0, 100))
        ->capture_default_str();
    command.add_flag("--sequential", load.sequential, "One block after the other, instead of at random");
    command
        .add_option("--span", options.span_bytes, "Use the first so many bytes of each disk; like 1g (default: all)")
        ->transform(size);
    command.add_flag("--verify", load.verify,
                     "Compare what is read with what was written; the disk, or --span of it, is this program's alone");
    declare_arrivals(command, load.arrivals,
                     "Requests per second and queue that arrive by themselves, whatever is in flight; their latency "
                     "counts from then (default: each slot asks again when it is idle)");
    declare_kick_cost(command, load.kick_cost_ns);
}

void declare_queues(CLI::App& command, Options& options) {
    DiskStream::Options& load = options.vm.load;
    command.add_option("--depth", options.depths, "Requests in flight per queue, at most; several make a run each")
        ->delimiter(',')
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    command.add_option("--queues", options.vm.queues, "Virtqueues of each device")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    command.add_option("--jobs", options.jobs, "Threads that make the load; queues are shared out among them")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    command.add_option("--queue-size", options.queue_size, "Descriptors of a virtqueue")->capture_default_str();
    command.add_flag("--event-idx,!--no-event-idx", options.event_index, "VIRTIO_F_EVENT_IDX if offered (default)");
    command.add_flag("--indirect", load.indirect, "Indirect descriptors");
    command.add_flag("--rewrite-descriptors", load.rewrite_descriptors,
                     "Write them for each request, as a guest's driver does; else they stay as they are");
}

}  // namespace

void declare_disk_command(CLI::App& app, DiskProtocol protocol, Action& action) {
    const bool scsi = protocol == DiskProtocol::scsi;
    CLI::App* const command =
        app.add_subcommand(scsi ? "scsi" : "blk", scsi ? "Disks of vhost-user-scsi back-ends: unit 0 of target 0"
                                                       : "Disks of vhost-user-blk back-ends");
    const auto options = std::make_shared<Options>();
    options->protocol = protocol;
    command->add_option("--socket", options->sockets, "The back-end's listening socket; several are as many VMs")
        ->type_name("PATH")
        ->take_all()
        ->expected(1);
    command
        ->add_option("--stream", options->streams,
                     "SOCKET[,depth=][,bytes=][,rate=][,writes=][,queues=][,loaded=]: a VM with a load of its own; "
                     "depth=0: connected, and idle; loaded=: of its queues so many")
        ->take_all()
        ->expected(1);
    command->add_flag("--mirror", options->mirror,
                      "A thread here that does nothing: what this driver can show at most");
    declare_queues(*command, *options);
    declare_load(*command, *options);
    declare_common(*command, options->common);
    command->callback([options, &action] {
        check(*options);
        action = [options] { return run_all(*options); };
    });
}

}  // namespace sidecore::bench
