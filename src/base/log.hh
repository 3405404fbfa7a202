// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <spdlog/spdlog.h>

#include "base/error.hh"
#include "base/format.hh"

namespace sidecore {

/// Sends the log to standard error, one line per event: "2026-01-31 12:00:00.000 warn  disk0: text".
/// Called once by a program's main, before any thread exists; libraries only call spdlog::info and its
/// sisters.
void set_up_logging(spdlog::level::level_enum level = spdlog::level::info);

/// "trace", "debug", "info", "warn", "error" or "off".
Result<spdlog::level::level_enum> parse_log_level(std::string_view name);

}  // namespace sidecore
