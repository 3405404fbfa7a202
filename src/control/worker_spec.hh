// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/json.hh"
#include "control/settings.hh"
#include "control/value.hh"

namespace sidecore::control {

/// A worker as a [[worker]] table and as the body of POST /v1/workers describe it.
struct WorkerSpec {
    std::string name;
    std::optional<std::uint32_t> cpu{};  ///< pinned to it
    SettingValues settings{};

    friend bool operator==(const WorkerSpec&, const WorkerSpec&) = default;
};

/// Reads one worker; what is wrong goes to `problems`, and the result is to be used only if nothing was.
WorkerSpec read_worker_spec(const Value& table, Problems& problems);

/// The number of a CPU, which is reported if it cannot be one.
std::optional<std::uint32_t> read_cpu(TableReader& reader, std::string_view key);

/// The body of POST /v1/workers.
Result<WorkerSpec> parse_worker_spec(std::string_view body);

}  // namespace sidecore::control
