// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hh"

namespace sidecore::control {

/// Durations, sizes, rates and permissions as people write them in the configuration, on the command line and in requests.
/// What format_* makes, parse_* reads back to exactly the same number.

/// "3s", "1.5ms", "500us", "100ns", "2m", "1h", or "0"; no other number goes without a unit. Nanoseconds.
Result<std::uint64_t> parse_duration_ns(std::string_view text);

/// The shortest whole number that says it exactly: "3s", "1500us", "0".
std::string format_duration(std::uint64_t duration_ns);

/// A length of time at a glance, for people: "35 ns", "3.2 s", "5 min", "2 d".
std::string rough_duration(std::uint64_t duration_ns);

/// "64M", "64MiB", "10GiB", "1.5G" or plain bytes: "4096". K, M, G, T and P are powers of 1024; "MB" and its
/// sisters mean two things to two people and are refused.
Result<std::uint64_t> parse_size_bytes(std::string_view text);

/// The shortest whole number that says it exactly: "64MiB", "1000", "0".
std::string format_size(std::uint64_t size_bytes);

/// "1 Gbit", "2.5Gbit", "100 Mbit/s", "64kbit" or plain bits per second: "9600". k, M and G are powers of 1000.
Result<std::uint64_t> parse_rate_bits(std::string_view text);

/// The shortest whole number that says it exactly: "1Gbit", "1500Mbit", "12bit", "0".
std::string format_rate(std::uint64_t bits_per_s);

/// Permissions of a socket in octal, "0" to "0777": who may connect.
Result<std::uint32_t> parse_permissions(std::string_view text);

/// "0660"
std::string format_permissions(std::uint32_t permissions);

}  // namespace sidecore::control
