// SPDX-License-Identifier: Apache-2.0
#include "scsi/unit_state.hh"

#include <utility>

#include <nlohmann/json.hpp>

#include "base/format.hh"
#include "base/state_file.hh"

namespace sidecore::scsi {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view format_name = "sidecore SCSI unit";
constexpr int format_version = 1;

constexpr std::pair<const char*, bool ModeSettings::*> members[] = {
    {"write_cache", &ModeSettings::write_cache},
    {"descriptor_sense", &ModeSettings::descriptor_sense},
    {"software_write_protected", &ModeSettings::software_write_protected},
};

std::string text_of(std::uint64_t identity) {
    return fmt::format("{:016x}", identity);
}

/// What is wrong, or nothing.
std::optional<std::string> read_document(const Json& document, std::uint64_t identity, ModeSettings& settings) {
    const auto has = [&](const char* key, const Json& value) {
        return document.contains(key) && document[key] == value;
    };
    if (!document.is_object() || !has("format", format_name)) {
        return fmt::format("it is no file with the state of a SCSI disk: its \"format\" is not \"{}\"", format_name);
    }
    if (!has("version", format_version)) {
        return fmt::format("its \"version\" is not {}", format_version);
    }
    if (!has("naa", text_of(identity))) {
        return fmt::format("it is the file of another disk: its \"naa\" is not \"{}\"", text_of(identity));
    }
    if (!document.contains("mode") || !document["mode"].is_object()) {
        return "\"mode\" is no object";
    }
    for (const auto& [key, member] : members) {
        const auto position = document["mode"].find(key);
        if (position == document["mode"].end() || !position->is_boolean()) {
            return fmt::format("\"mode.{}\" is neither true nor false", key);
        }
        settings.*member = position->get<bool>();
    }
    return std::nullopt;
}

}  // namespace

Result<std::optional<ModeSettings>> load_unit_state(const std::string& path, std::uint64_t identity) {
    const auto text = read_state_file(path);
    if (!text) {
        if (text.error().kind == ErrorKind::not_found) {
            return std::nullopt;
        }
        return tl::unexpected(text.error());
    }
    ModeSettings settings;
    const Json document = Json::parse(*text, nullptr, false);
    const auto wrong = document.is_discarded() ? std::optional<std::string>("it is not JSON")
                                               : read_document(document, identity, settings);
    if (wrong) {
        return failure(
            ErrorKind::invalid_argument,
            fmt::format("{}: {}; put it right, or remove it: the disk then begins with its default mode pages", path,
                        *wrong));
    }
    return settings;
}

Result<void> save_unit_state(const std::string& path, std::uint64_t identity, const ModeSettings& settings) {
    Json document;
    document["format"] = format_name;
    document["version"] = format_version;
    document["naa"] = text_of(identity);
    for (const auto& [key, member] : members) {
        document["mode"][key] = settings.*member;
    }
    return write_state_file(path, document.dump(2) + "\n");
}

}  // namespace sidecore::scsi
