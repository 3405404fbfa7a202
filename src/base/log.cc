// SPDX-License-Identifier: Apache-2.0
#include "base/log.hh"

#include <array>
#include <iterator>
#include <memory>
#include <utility>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "base/format.hh"

namespace sidecore {

namespace {

constexpr std::array<std::pair<std::string_view, spdlog::level::level_enum>, 6> level_names{{
    {"trace", spdlog::level::trace},
    {"debug", spdlog::level::debug},
    {"info", spdlog::level::info},
    {"warn", spdlog::level::warn},
    {"error", spdlog::level::err},
    {"off", spdlog::level::off},
}};

/// The level by the name that parse_log_level() knows it by, in a column of its own; spdlog's own names differ.
class LevelColumn final : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& event, const std::tm& /*time*/, spdlog::memory_buf_t& line) override {
        for (const auto& [name, level] : level_names) {
            if (level == event.level) {
                fmt::format_to(std::back_inserter(line), "{:<5}", name);
            }
        }
    }
    std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<LevelColumn>(); }
};

}  // namespace

void set_up_logging(spdlog::level::level_enum level) {
    auto logger = std::make_shared<spdlog::logger>("sidecore", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<LevelColumn>('*').set_pattern("%Y-%m-%d %H:%M:%S.%e %* %v");
    logger->set_formatter(std::move(formatter));
    logger->set_level(level);
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
}

Result<spdlog::level::level_enum> parse_log_level(std::string_view name) {
    for (const auto& [known, level] : level_names) {
        if (known == name) {
            return level;
        }
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("\"{}\" is no log level; use trace, debug, info, warn, error or off", name));
}

}  // namespace sidecore
