// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/json.hh"
#include "control/value.hh"

namespace sidecore::control {

enum class StorageKind : std::uint8_t {
    null,    ///< reads zeroes, forgets writes
    memory,  ///< the daemon's own memory, gone with the device
    file,    ///< a regular file or a block device
};
enum class FileEngine : std::uint8_t {
    automatic,  ///< io_uring where the host allows it, else threads
    io_uring,
    threads,
};

/// Where a disk's data are: the table `storage` of a device, of a unit and of a shared disk.
struct StorageSpec {
    StorageKind kind = StorageKind::null;
    std::string path;              ///< file: absolute
    std::uint64_t size_bytes = 0;  ///< null, memory: a multiple of 512; file: always 0, the file has a size
    bool direct = false;           ///< file: past the page cache
    FileEngine engine = FileEngine::automatic;  ///< file
    std::optional<std::uint32_t> threads;       ///< file, engine not io_uring: how many at most

    friend bool operator==(const StorageSpec&, const StorageSpec&) = default;
};

std::string_view to_string(StorageKind kind) noexcept;
std::string_view to_string(FileEngine engine) noexcept;

/// Reads the table `storage`, which has to be there.
StorageSpec read_storage(TableReader& reader, Problems& problems);
Json to_json(const StorageSpec& storage);

/// Reads the path of a file, or one of at most `max_bytes`, which is reported if it is not absolute or too long; "" if the key is absent.
inline constexpr std::uint64_t max_path_bytes = 4095;
std::string read_path(TableReader& reader, std::string_view key, std::uint64_t max_bytes = max_path_bytes);

/// Reads printable ASCII, which is reported if it is not or too long; "" if the key is absent.
std::string read_printable(TableReader& reader, std::string_view key, std::size_t max_bytes);

}  // namespace sidecore::control
