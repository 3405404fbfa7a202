// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "storage/block_backend.hh"
#include "storage/file_backend.hh"

namespace sidecore::storage {

enum class StorageKind : std::uint8_t { null, memory, file };

std::string_view to_string(StorageKind kind) noexcept;
Result<StorageKind> parse_storage_kind(std::string_view name);

/// A disk's storage as a configuration or a command line says it. What was not said is absent, so that what makes no
/// sense for a kind can be refused instead of ignored.
struct StorageSpec {
    StorageKind kind = StorageKind::file;
    bool read_only = false;
    std::optional<std::uint64_t> size_bytes;  ///< null and memory: needed; file: not allowed, it has its own
    std::string path;                         ///< file: needed; others: must be empty
    std::optional<bool> direct;               ///< file; default false
    std::optional<FileEngine> engine;         ///< file; default automatic
    std::optional<std::uint32_t> threads;     ///< file, unless engine is io_uring; default FileOptions::threads
};

/// Errors say which setting does not fit, by the names above without the units: "size", "path".
Result<std::unique_ptr<BlockBackend>> open_storage(const StorageSpec& spec);

}  // namespace sidecore::storage
