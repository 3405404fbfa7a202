// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hh"

namespace sidecore::interop {

/// One message of a recorded conversation; README.md in this folder describes the format.
struct RecordedMessage {
    bool from_front_end = false;
    std::uint32_t request = 0;
    std::uint32_t flags = 0;
    std::vector<std::string> descriptors;  ///< their kinds: "eventfd", "socket", "pipe", "file:<bytes>"
    std::vector<std::byte> payload;
    std::size_t line = 0;  ///< in the file, from 1
};

/// Reads a recording. Errors name the line.
Result<std::vector<RecordedMessage>> read_recording(const std::filesystem::path& path);

}  // namespace sidecore::interop
