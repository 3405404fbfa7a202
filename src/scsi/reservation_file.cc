// SPDX-License-Identifier: Apache-2.0
#include "scsi/reservation_file.hh"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <limits>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/fd.hh"

namespace sidecore::scsi {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view format_name = "sidecore persistent reservations";
constexpr int format_version = 1;
constexpr std::size_t file_bytes_max = 1U << 20U;

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

Result<std::string> read_all(int fd, const std::string& path) {
    std::string text(file_bytes_max + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t count = ::read(fd, text.data() + size, text.size() - size);
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return failure_from_errno("reading the persistent reservations in " + path);
        }
        if (count == 0) {
            break;
        }
        size += static_cast<std::size_t>(count);
    }
    text.resize(size);
    return text;
}

}  // namespace

Result<ReservationState> ReservationFile::load() const {
    if (!usable()) {
        return ReservationState{};
    }
    const Fd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        const int error = errno;
        if (error != ENOENT) {
            return failure_from_errno("opening the file for persistent reservations, " + path_, error);
        }
        // Better now than when a guest asks for what it then does not get.
        if (::access(directory().c_str(), W_OK | X_OK) != 0) {
            return failure_from_errno("the directory of the file for persistent reservations, " + path_ +
                                      ", must be there and writable");
        }
        return ReservationState{};
    }
    SIDECORE_TRY_ASSIGN(const std::string text, read_all(file.get(), path_));
    return parse(text);
}

Result<ReservationState> ReservationFile::parse(std::string_view text) const {
    const auto broken = [&](std::string_view why) {
        return failure(
            ErrorKind::invalid_argument,
            fmt::format(
                "{} does not hold the persistent reservations of this disk: {}. If no guest relies on them any more, "
                "remove the file; else bring back the right one",
                path_, why));
    };
    if (text.size() > file_bytes_max) {
        return broken("it is too long");
    }
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
    if (!state.kept || state.registrations.empty()) {
        if (::unlink(path_.c_str()) != 0) {
            return errno == ENOENT ? Result<void>{} : failure_from_errno("removing " + path_);
        }
        return sync_directory();
    }
    return write(to_text(state, unit_));
}

Result<void> ReservationFile::write(std::string_view text) const {
    const std::string temporary = path_ + ".new";
    const auto failed = [&](const std::string& what) {
        const int error = errno;
        ::unlink(temporary.c_str());
        return failure_from_errno(what, error);
    };
    const Fd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) {
        return failure_from_errno("making " + temporary);
    }
    while (!text.empty()) {
        const ssize_t count = ::write(file.get(), text.data(), text.size());
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return failed("writing " + temporary);
        }
        text.remove_prefix(static_cast<std::size_t>(count));
    }
    if (::fsync(file.get()) != 0) {
        return failed("making " + temporary + " durable");
    }
    if (::rename(temporary.c_str(), path_.c_str()) != 0) {
        return failed("renaming " + temporary + " to " + path_);
    }
    return sync_directory();
}

Result<void> ReservationFile::sync_directory() const {
    const Fd fd(::open(directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) {
        return failure_from_errno("making the directory of " + path_ + " durable");
    }
    return {};
}

std::string ReservationFile::directory() const {
    const auto slash = path_.rfind('/');
    if (slash == std::string::npos) {
        return ".";
    }
    return slash == 0 ? "/" : path_.substr(0, slash);
}

}  // namespace sidecore::scsi
