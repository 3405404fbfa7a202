// SPDX-License-Identifier: Apache-2.0
#include "base/log.hh"

#include <array>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace sidecore {

void set_up_logging(spdlog::level::level_enum level) {
    auto logger =
        std::make_shared<spdlog::logger>("sidecore", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %-5!l %v");
    logger->set_level(level);
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
}

Result<spdlog::level::level_enum> parse_log_level(std::string_view name) {
    static constexpr std::array<std::pair<std::string_view, spdlog::level::level_enum>, 6> names{{
        {"trace", spdlog::level::trace},
        {"debug", spdlog::level::debug},
        {"info", spdlog::level::info},
        {"warn", spdlog::level::warn},
        {"error", spdlog::level::err},
        {"off", spdlog::level::off},
    }};
    for (const auto& [known, level] : names) {
        if (known == name) {
            return level;
        }
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("\"{}\" is no log level; use trace, debug, info, warn, error or off", name));
}

}  // namespace sidecore
