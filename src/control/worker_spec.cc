// SPDX-License-Identifier: Apache-2.0
#include "control/worker_spec.hh"

#include <sched.h>

#include "control/device_spec.hh"

namespace sidecore::control {

std::optional<std::uint32_t> read_cpu(TableReader& reader, std::string_view key) {
    const auto cpu = reader.integer(key, 0, CPU_SETSIZE - 1);
    return cpu ? std::optional(static_cast<std::uint32_t>(*cpu)) : std::nullopt;
}

WorkerSpec read_worker_spec(const Value& table, Problems& problems) {
    TableReader reader(table, "worker", problems);
    WorkerSpec worker;
    reader.require("name");
    worker.name = read_name(reader, "name");
    worker.cpu = read_cpu(reader, "cpu");
    worker.settings = read_setting_values(reader, Level::worker, problems);
    reader.finish();
    return worker;
}

Result<WorkerSpec> parse_worker_spec(std::string_view body) {
    return parse_json_as(body, read_worker_spec);
}

}  // namespace sidecore::control
