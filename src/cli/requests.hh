// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "control/capture.hh"
#include "control/json.hh"
#include "control/service.hh"

namespace sidecore::cli {

// From words on a command line to the bodies of requests. What is wrong with a value is the daemon's to say; here it is
// only put in its place.

/// Whose settings words are about, and so which there are and how a request holds them.
enum class WordsFor : std::uint8_t {
    queues,      ///< of the daemon, a device or a queue: {"policy": {…}, …}
    workers,     ///< of all workers: {"workers": {…}}
    one_worker,  ///< {…}
};

/// "policy=rate", "poll_start_rate=8", "tick=inherit" → {"policy": {"kind": "rate", "poll_start_rate": 8, "tick": null}}.
/// Refused: words without '=', unknown or repeated keys, numbers that are none.
Result<control::Json> settings_from_words(const std::vector<std::string>& words, WordsFor whose);

/// Names of settings on the command line, for help: "policy, prefer, …".
std::string setting_words(WordsFor whose);

/// "disk0" or "disk0/2". Refused: what is no name of a device, what is no number after the slash.
Result<control::QueueTarget> queue_target_from(std::string_view word);

/// "3" or "none".
Result<control::PinRequest> pin_request_from(std::string_view word);

/// As words; empty: not given.
struct LimitArguments {
    std::string transmit_rate{};
    std::string receive_rate{};
    std::string transmit_packets{};
    std::string receive_packets{};
    std::string burst{};
};

/// The body of PATCH /v1/devices/NAME/limits; "0" and "none" become null. Refused: nothing given, numbers that are none.
Result<control::Json> limits_from_arguments(const LimitArguments& arguments);

/// What may be captured: a size like "96" or "1KiB", and "in", "out" or "both"; empty: all.
Result<control::CaptureRequest> capture_request_from(const std::string& snaplen, const std::string& direction);

/// A disk's storage, and what else all disks have.
struct StorageArguments {
    std::string file;
    std::string memory_size;
    std::string null_size;
    bool direct = false;
    std::string engine;
    std::optional<std::uint64_t> threads;
    bool read_only = false;
    std::string serial;
};

struct AddArguments {
    std::string name;
    std::string socket_path;
    bool scsi = false;  ///< no storage then: units are added later
    bool connect = false;
    std::string retry_interval;
    std::string socket_permissions;
    std::string socket_group;
    StorageArguments storage;
    std::string vm;
    std::optional<std::uint64_t> queues;
    std::string worker;
    std::vector<std::string> setting_words;
};

/// The body of POST /v1/devices. Relative paths start in the current directory.
Result<control::Json> device_from_arguments(const AddArguments& arguments);

/// What only SCSI disks have.
struct ScsiDiskArguments {
    StorageArguments storage{};
    std::string vendor{};
    std::string product{};
    std::string revision{};
    bool rotational = false;
    std::string reservations_file{};
    std::string state_file{};
};

/// The body of POST /v1/disks.
Result<control::Json> disk_from_arguments(const std::string& name, const ScsiDiskArguments& arguments);

struct AddUnitArguments {
    std::string address;  ///< "0:1", "0" or ""
    std::string shared_disk{};
    ScsiDiskArguments disk{};
};

/// The body of POST /v1/devices/NAME/units. Refused: an address that is none, a shared disk and storage of its own.
Result<control::Json> unit_from_arguments(const AddUnitArguments& arguments);

/// What the words after a device's name say: "0:1", "20GiB", both or nothing.
struct ResizeArguments {
    std::optional<control::UnitAddress> unit{};
    std::string size{};  ///< empty: what the file has

    friend bool operator==(const ResizeArguments&, const ResizeArguments&) = default;
};
Result<ResizeArguments> resize_from_words(const std::vector<std::string>& words);

struct AddSwitchArguments {
    std::string tap;
    std::optional<std::uint64_t> mtu;
    std::string worker;
    std::string age;
    std::optional<std::uint64_t> stations;
};

/// The body of POST /v1/switches.
control::Json switch_from_arguments(const std::string& name, const AddSwitchArguments& arguments);

}  // namespace sidecore::cli
