// SPDX-License-Identifier: Apache-2.0
#include "scsi/reservation_file.hh"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <limits>
#include <optional>
#include <unistd.h>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/format.hh"
#include "base/state_file.hh"

namespace sidecore::scsi {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view format_name = "sidecore persistent reservations";
constexpr int format_version = 1;

std::string hexadecimal(const TransportId& id) {
    std::string text;
    for (const std::byte byte : id) {
        text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    }
    return text;
}

std::optional<unsigned> digit(char character) noexcept {
    if (character >= '0' && character <= '9') {
        return static_cast<unsigned>(character - '0');
    }
    if (character >= 'a' && character <= 'f') {
        return static_cast<unsigned>(character - 'a') + 10;
    }
    return std::nullopt;
}

std::optional<TransportId> transport_id(const std::string& text) noexcept {
    TransportId id{};
    if (text.size() != 2 * id.size()) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < id.size(); ++i) {
        const auto high = digit(text[2 * i]);
        const auto low = digit(text[2 * i + 1]);
        if (!high || !low) {
            return std::nullopt;
        }
        id[i] = static_cast<std::byte>(*high << 4U | *low);
    }
    return id;
}

std::string to_text(const ReservationState& state, std::uint64_t unit) {
    Json json;
    json["format"] = format_name;
    json["version"] = format_version;
    json["unit"] = fmt::format("{:016x}", unit);
    json["type"] = static_cast<unsigned>(state.type);
    json["registrations"] = Json::array();
    for (const Registration& each : state.registrations) {
        json["registrations"].push_back({{"initiator", hexadecimal(each.who.initiator)},
                                         {"port", each.who.port},
                                         {"key", each.key},
                                         {"holder", state.is_holder(each.who)}});
    }
    return json.dump(2) + "\n";
}

/// Throws what nlohmann::json throws if a member is missing or of another type. Nothing: it makes no sense.
std::optional<ReservationState> read_state(const Json& json) {
    ReservationState state;
    state.kept = true;
    const auto type = json.at("type").get<std::uint64_t>();
    if (type != 0) {
        const auto known = type > 0xff ? std::nullopt : reservation_type(static_cast<std::uint8_t>(type));
        if (!known) {
            return std::nullopt;
        }
        state.type = *known;
    }
    const Json& registrations = json.at("registrations");
    if (!registrations.is_array() || registrations.size() > ReservationState::registrations_max) {
        return std::nullopt;
    }
    std::size_t holders = 0;
    for (const Json& each : registrations) {
        const auto initiator = transport_id(each.at("initiator").get<std::string>());
        const Json& port = each.at("port");
        const Json& key = each.at("key");
        if (!initiator || !port.is_number_unsigned() || !key.is_number_unsigned() || key.get<std::uint64_t>() == 0 ||
            port.get<std::uint64_t>() == 0 || port.get<std::uint64_t>() > std::numeric_limits<std::uint16_t>::max()) {
            return std::nullopt;
        }
        const Registrant who{*initiator, port.get<std::uint16_t>()};
        if (state.find(who) != nullptr) {
            return std::nullopt;
        }
        state.registrations.push_back({who, key.get<std::uint64_t>()});
        if (each.at("holder").get<bool>()) {
            ++holders;
            state.holder = who;
        }
    }
    const bool all = for_all_registrants(state.type);
    if (all) {
        state.holder = {};
    }
    const std::size_t expected = state.type == ReservationType::none ? 0 : all ? state.registrations.size() : 1;
    if (holders != expected || (state.type != ReservationType::none && holders == 0)) {
        return std::nullopt;
    }
    return state;
}

}  // namespace

Result<ReservationState> ReservationFile::load() const {
    if (!usable()) {
        return ReservationState{};
    }
    const auto text = read_state_file(path_);
    if (!text && text.error().kind == ErrorKind::not_found) {
        // Better now than when a guest asks for what it then does not get.
        const auto directory = std::filesystem::path(path_).parent_path();
        if (::access(directory.empty() ? "." : directory.c_str(), W_OK | X_OK) != 0) {
            return failure_from_errno("the directory of the file for persistent reservations, " + path_ +
                                      ", must be there and writable");
        }
        return ReservationState{};
    }
    if (!text && text.error().kind == ErrorKind::invalid_argument) {
        return broken(text.error().message);
    }
    if (!text) {
        return tl::unexpected(text.error());
    }
    return parse(*text);
}

tl::unexpected<Error> ReservationFile::broken(std::string_view why) const {
    return failure(
        ErrorKind::invalid_argument,
        fmt::format("{} does not hold the persistent reservations of this disk: {}. If no guest relies on them any "
                    "more, remove the file; else bring back the right one",
                    path_, why));
}

Result<ReservationState> ReservationFile::parse(std::string_view text) const {
    try {
        const Json json = Json::parse(text);
        if (json.at("format").get<std::string>() != format_name) {
            return broken("it is a file of another kind");
        }
        if (const auto version = json.at("version").get<std::int64_t>(); version != format_version) {
            return broken(
                fmt::format("it has version {} of the format, and this is for version {}", version, format_version));
        }
        if (const auto unit = json.at("unit").get<std::string>(); unit != fmt::format("{:016x}", unit_)) {
            return broken(fmt::format("it is of the disk {}, and this is {:016x}", unit, unit_));
        }
        auto state = read_state(json);
        if (!state) {
            return broken("its registrations contradict each other or the format");
        }
        return *std::move(state);
    } catch (const std::exception& error) {
        return broken(error.what());
    }
}

Result<void> ReservationFile::save(const ReservationState& state) const {
    return state.kept && !state.registrations.empty() ? write_state_file(path_, to_text(state, unit_))
                                                      : remove_state_file(path_);
}

}  // namespace sidecore::scsi
