// SPDX-License-Identifier: Apache-2.0
#include "cli/requests.hh"

#include <charconv>
#include <filesystem>
#include <string_view>
#include <utility>

#include <fmt/ranges.h>

#include "base/format.hh"
#include "control/device_spec.hh"
#include "control/settings.hh"

namespace sidecore::cli {

namespace {

bool is_for(const control::SettingDescription& setting, WordsFor whose) {
    return (setting.group == control::worker_group) == (whose != WordsFor::queues);
}

const control::SettingDescription* find_setting(std::string_view word, WordsFor whose) {
    for (const control::SettingDescription& setting : control::all_settings()) {
        if (setting.word == word && is_for(setting, whose)) {
            return &setting;
        }
    }
    return nullptr;
}

template <typename Number>
std::optional<Number> number_from(std::string_view text) {
    Number number = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && rest == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

Result<control::Json> setting_value(const control::SettingDescription& setting, std::string_view value) {
    if (value == "inherit") {
        return control::Json(nullptr);
    }
    if (setting.type == control::SettingType::boolean && (value == "true" || value == "false")) {
        return control::Json(value == "true");
    }
    if (setting.type == control::SettingType::boolean) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{}: \"{}\" is not true or false", setting.word, value));
    }
    if (setting.type != control::SettingType::integer) {
        return control::Json(value);
    }
    const auto number = number_from<std::uint64_t>(value);
    if (!number) {
        return failure(ErrorKind::invalid_argument, fmt::format("{}: \"{}\" is no number", setting.word, value));
    }
    return control::Json(*number);
}

std::string absolute(const std::string& path) {
    return std::filesystem::absolute(path).lexically_normal().string();
}

/// An empty word says nothing.
void add_text(control::Json& json, const char* key, const std::string& value) {
    if (!value.empty()) {
        json[key] = value;
    }
}

Result<control::Json> storage_from(const StorageArguments& arguments) {
    const auto given = static_cast<int>(!arguments.file.empty()) + static_cast<int>(!arguments.memory_size.empty()) +
                       static_cast<int>(!arguments.null_size.empty());
    if (given != 1) {
        return failure(ErrorKind::invalid_argument, "one of --blk-file, --memory-size and --null-size is needed");
    }
    control::Json storage;
    if (!arguments.file.empty()) {
        storage = {{"kind", "file"}, {"path", absolute(arguments.file)}};
    } else if (!arguments.memory_size.empty()) {
        storage = {{"kind", "memory"}, {"size", arguments.memory_size}};
    } else {
        storage = {{"kind", "null"}, {"size", arguments.null_size}};
    }
    if (arguments.direct) {
        storage["direct"] = true;
    }
    if (!arguments.engine.empty()) {
        storage["engine"] = arguments.engine;
    }
    if (arguments.threads) {
        storage["threads"] = *arguments.threads;
    }
    return storage;
}

/// The members of a SCSI disk, after those that `json` has.
Result<control::Json> with_disk(control::Json json, const ScsiDiskArguments& arguments) {
    if (arguments.storage.read_only) {
        json["read_only"] = true;
    }
    add_text(json, "serial", arguments.storage.serial);
    add_text(json, "vendor", arguments.vendor);
    add_text(json, "product", arguments.product);
    add_text(json, "revision", arguments.revision);
    if (arguments.rotational) {
        json["rotational"] = true;
    }
    for (const auto& [key, path] : {std::pair("reservations_file", &arguments.reservations_file),
                                    std::pair("state_file", &arguments.state_file)}) {
        if (!path->empty()) {
            json[key] = absolute(*path);
        }
    }
    SIDECORE_TRY_ASSIGN(json["storage"], storage_from(arguments.storage));
    return json;
}

/// Whether any option of a disk was given.
bool says_anything(const StorageArguments& storage) {
    return storage.direct || storage.read_only || storage.threads ||
           !(storage.file + storage.memory_size + storage.null_size + storage.engine + storage.serial).empty();
}

bool says_anything(const ScsiDiskArguments& disk) {
    return disk.rotational || says_anything(disk.storage) ||
           !(disk.vendor + disk.product + disk.revision + disk.reservations_file + disk.state_file).empty();
}

}  // namespace

std::string setting_words(WordsFor whose) {
    std::vector<std::string_view> words;
    for (const control::SettingDescription& setting : control::all_settings()) {
        if (is_for(setting, whose)) {
            words.push_back(setting.word);
        }
    }
    return fmt::format("{}", fmt::join(words, ", "));
}

Result<control::Json> settings_from_words(const std::vector<std::string>& words, WordsFor whose) {
    control::Json json = control::Json::object();
    for (const std::string& word : words) {
        const std::size_t equals = word.find('=');
        const auto* setting = find_setting(std::string_view(word).substr(0, equals), whose);
        if (equals == std::string::npos || setting == nullptr) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("\"{}\" is no setting; write KEY=VALUE or KEY=inherit with one of {}", word,
                                       setting_words(whose)));
        }
        control::Json& group = whose == WordsFor::one_worker ? json : json[setting->group];
        if (group.contains(setting->key)) {
            return failure(ErrorKind::invalid_argument, fmt::format("{} is there twice", setting->word));
        }
        SIDECORE_TRY_ASSIGN(group[setting->key], setting_value(*setting, std::string_view(word).substr(equals + 1)));
    }
    return json;
}

Result<control::QueueTarget> queue_target_from(std::string_view word) {
    const std::size_t slash = word.find('/');
    control::QueueTarget target{std::string(word.substr(0, slash))};
    if (!control::is_valid_name(target.device)) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("\"{}\" is no device and no queue; write DEVICE or DEVICE/QUEUE", word));
    }
    if (slash != std::string_view::npos) {
        target.queue = number_from<std::uint16_t>(word.substr(slash + 1));
        if (!target.queue) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("\"{}\" is no queue; write a number after the slash, from 0", word));
        }
    }
    return target;
}

Result<control::PinRequest> pin_request_from(std::string_view word) {
    if (word == "none") {
        return control::PinRequest{};
    }
    const auto cpu = number_from<std::uint32_t>(word);
    if (!cpu) {
        return failure(ErrorKind::invalid_argument, fmt::format("\"{}\" is no CPU; write its number, or none", word));
    }
    return control::PinRequest{cpu};
}

Result<control::Json> limits_from_arguments(const LimitArguments& arguments) {
    control::Json change = control::Json::object();
    const auto is_none = [](std::string_view word) { return word == "0" || word == "none"; };
    for (const auto& [key, word] :
         {std::pair("transmit_rate", &arguments.transmit_rate), std::pair("receive_rate", &arguments.receive_rate),
          std::pair("burst", &arguments.burst)}) {
        if (!word->empty()) {
            change[key] = is_none(*word) ? control::Json(nullptr) : control::Json(*word);
        }
    }
    for (const auto& [key, word] : {std::pair("transmit_packets", &arguments.transmit_packets),
                                    std::pair("receive_packets", &arguments.receive_packets)}) {
        if (word->empty()) {
            continue;
        }
        const auto number = number_from<std::uint64_t>(*word);
        if (!number && !is_none(*word)) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("{}: \"{}\" is no number of packets; write one, or none", key, *word));
        }
        change[key] = is_none(*word) ? control::Json(nullptr) : control::Json(*number);
    }
    if (change.empty()) {
        return failure(ErrorKind::invalid_argument, "which limit? See sidecore limit --help");
    }
    return change;
}

Result<control::CaptureRequest> capture_request_from(const std::string& snaplen, const std::string& direction) {
    control::Json request = control::Json::object();
    if (!snaplen.empty()) {
        request["snaplen"] = snaplen;
    }
    if (!direction.empty()) {
        request["direction"] = direction;
    }
    return control::parse_capture_request(control::to_text(request));
}

Result<control::Json> device_from_arguments(const AddArguments& arguments) {
    if (arguments.name.empty() || arguments.socket_path.empty()) {
        return failure(ErrorKind::invalid_argument, "a name and --socket-path are needed");
    }
    control::Json device = {{"name", arguments.name}, {"socket", absolute(arguments.socket_path)}};
    if (arguments.connect) {
        device["mode"] = "connect";
    }
    add_text(device, "retry_interval", arguments.retry_interval);
    add_text(device, "socket_permissions", arguments.socket_permissions);
    add_text(device, "socket_group", arguments.socket_group);
    if (arguments.queues) {
        device["queues"] = *arguments.queues;
    }
    if (arguments.storage.read_only) {
        device["read_only"] = true;
    }
    add_text(device, "serial", arguments.storage.serial);
    add_text(device, "vm", arguments.vm);
    add_text(device, "worker", arguments.worker);
    if (!arguments.scsi) {
        SIDECORE_TRY_ASSIGN(device["storage"], storage_from(arguments.storage));
    } else if (says_anything(arguments.storage)) {
        return failure(ErrorKind::invalid_argument,
                       "--scsi excludes the options of a disk: add the device, then its disks with \"unit add\"");
    } else {
        device["type"] = "scsi";
    }
    SIDECORE_TRY_ASSIGN(const control::Json settings, settings_from_words(arguments.setting_words, WordsFor::queues));
    device.update(settings);
    return device;
}

Result<control::Json> disk_from_arguments(const std::string& name, const ScsiDiskArguments& arguments) {
    return with_disk({{"name", name}}, arguments);
}

Result<control::Json> unit_from_arguments(const AddUnitArguments& arguments) {
    control::Json unit = control::Json::object();
    if (arguments.address.find(':') != std::string::npos) {
        SIDECORE_TRY_ASSIGN(const control::UnitAddress address, control::parse_unit_address(arguments.address));
        unit["target"] = address.target;
        unit["lun"] = address.lun;
    } else if (!arguments.address.empty()) {
        const auto target = number_from<std::uint8_t>(arguments.address);
        if (!target) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("\"{}\" is no place for a unit; write TARGET:LUN or TARGET, for the target's "
                                       "next LUN",
                                       arguments.address));
        }
        unit["target"] = *target;
    }
    if (arguments.shared_disk.empty()) {
        return with_disk(std::move(unit), arguments.disk);
    }
    if (says_anything(arguments.disk)) {
        return failure(ErrorKind::invalid_argument,
                       "--disk excludes the options of a disk: the shared disk has its own");
    }
    unit["disk"] = arguments.shared_disk;
    return unit;
}

Result<ResizeArguments> resize_from_words(const std::vector<std::string>& words) {
    ResizeArguments arguments;
    for (const std::string& word : words) {
        // No size has a colon, and no unit lacks one.
        if (!arguments.unit && arguments.size.empty() && word.find(':') != std::string::npos) {
            SIDECORE_TRY_ASSIGN(arguments.unit, control::parse_unit_address(word));
        } else if (arguments.size.empty()) {
            arguments.size = word;
        } else {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("\"{}\" is one word too many; write DEVICE [TARGET:LUN] [SIZE]", word));
        }
    }
    return arguments;
}

control::Json switch_from_arguments(const std::string& name, const AddSwitchArguments& arguments) {
    control::Json spec = {{"name", name}};
    if (!arguments.tap.empty()) {
        spec["uplink"] = {{"kind", "tap"}, {"interface", arguments.tap}};
    }
    if (arguments.mtu) {
        spec["mtu"] = *arguments.mtu;
    }
    if (!arguments.worker.empty()) {
        spec["worker"] = arguments.worker;
    }
    if (!arguments.age.empty()) {
        spec["age"] = arguments.age;
    }
    if (arguments.stations) {
        spec["stations"] = *arguments.stations;
    }
    return spec;
}

}  // namespace sidecore::cli
