// SPDX-License-Identifier: Apache-2.0
#include "control/storage_spec.hh"

#include <algorithm>
#include <array>

#include "base/format.hh"

namespace sidecore::control {

namespace {

constexpr std::uint64_t sector_bytes = 512;
constexpr std::uint64_t max_storage_bytes = 1ULL << 62U;
constexpr std::uint64_t max_storage_threads = 256;

constexpr std::array<std::string_view, 3> storage_kinds{"null", "memory", "file"};
constexpr std::array<std::string_view, 3> file_engines{"auto", "io_uring", "threads"};

StorageSpec read_storage_table(const Value& table, Problems& problems) {
    TableReader reader(table, "storage", problems);
    StorageSpec storage;
    reader.require("kind");
    const auto kind = reader.choice("kind", storage_kinds);
    storage.kind = static_cast<StorageKind>(kind.value_or(0));
    storage.path = read_path(reader, "path", max_path_bytes);
    storage.size_bytes = reader.size("size", sector_bytes, max_storage_bytes).value_or(0);
    if (storage.size_bytes % sector_bytes != 0) {
        reader.report("size", fmt::format("size has to be a multiple of {} bytes", sector_bytes));
    }
    storage.direct = reader.boolean("direct").value_or(false);
    storage.engine = static_cast<FileEngine>(reader.choice("engine", file_engines).value_or(0));
    if (const auto threads = reader.integer("threads", 1, max_storage_threads)) {
        storage.threads = static_cast<std::uint32_t>(*threads);
    }
    if (kind && storage.kind == StorageKind::file) {
        reader.require("path");
        reader.refuse("size", "for kind = \"file\", where the file gives it");
        if (storage.engine == FileEngine::io_uring) {
            reader.refuse("threads", "for engine = \"io_uring\"");
        }
    } else if (kind) {
        const std::string choice = fmt::format("for kind = \"{}\"", to_string(storage.kind));
        reader.require("size");
        reader.refuse("path", choice);
        reader.refuse("direct", choice);
        reader.refuse("engine", choice);
        reader.refuse("threads", choice);
    }
    reader.finish();
    return storage;
}

}  // namespace

std::string_view to_string(StorageKind kind) noexcept {
    return storage_kinds[static_cast<std::size_t>(kind)];
}

std::string_view to_string(FileEngine engine) noexcept {
    return file_engines[static_cast<std::size_t>(engine)];
}

StorageSpec read_storage(TableReader& reader, Problems& problems) {
    reader.require("storage");
    const Value* table = reader.table("storage");
    return table != nullptr ? read_storage_table(*table, problems) : StorageSpec{};
}

std::string read_path(TableReader& reader, std::string_view key, std::uint64_t max_bytes) {
    std::optional<std::string> path = reader.text(key);
    if (path && !path->starts_with('/')) {
        reader.report(key, fmt::format("{} has to be an absolute path", key));
    } else if (path && path->size() > max_bytes) {
        reader.report(key, fmt::format("{} is longer than {} bytes", key, max_bytes));
    }
    return path.value_or("");
}

std::string read_printable(TableReader& reader, std::string_view key, std::size_t max_bytes) {
    std::string text = reader.text(key).value_or("");
    const bool printable = std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
    if (!printable || text.size() > max_bytes) {
        reader.report(key, fmt::format("{} has to be at most {} printable ASCII characters", key, max_bytes));
    }
    return text;
}

Json to_json(const StorageSpec& storage) {
    Json json = {{"kind", to_string(storage.kind)}};
    if (storage.kind != StorageKind::file) {
        json["size"] = storage.size_bytes;
        return json;
    }
    json["path"] = storage.path;
    if (storage.direct) {
        json["direct"] = true;
    }
    if (storage.engine != FileEngine::automatic) {
        json["engine"] = to_string(storage.engine);
    }
    if (storage.threads) {
        json["threads"] = *storage.threads;
    }
    return json;
}

}  // namespace sidecore::control
