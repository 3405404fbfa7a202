// SPDX-License-Identifier: Apache-2.0
#include "process_usage.hh"

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "base/format.hh"

namespace sidecore::bench {

namespace {

void add_thread(const std::filesystem::path& task, ProcessUsage& usage) {
    // schedstat: nanoseconds on a CPU, nanoseconds waiting for one, time slices.
    std::uint64_t cpu_ns = 0;
    if (std::ifstream(task / "schedstat") >> cpu_ns) {
        usage.cpu_ns += cpu_ns;
    }
    std::ifstream status(task / "status");
    for (std::string line; std::getline(status, line);) {
        // Both "voluntary_ctxt_switches:" and "nonvoluntary_ctxt_switches:", each followed by white space and a number
        if (const auto name = line.find("voluntary_ctxt_switches:"); name != std::string::npos) {
            usage.context_switches += std::stoull(line.substr(line.find(':') + 1));
        }
    }
}

}  // namespace

Result<ProcessUsage> process_usage(pid_t pid) {
    ProcessUsage usage;
    std::error_code error;
    const std::string tasks = fmt::format("/proc/{}/task", pid);
    for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
        add_thread(task.path(), usage);
    }
    if (error) {
        return failure_from_errno(fmt::format("reading {}", tasks), error.value());
    }
    return usage;
}

}  // namespace sidecore::bench
