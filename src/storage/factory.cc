// SPDX-License-Identifier: Apache-2.0
#include "storage/factory.hh"

#include "base/format.hh"
#include "storage/memory_backend.hh"
#include "storage/null_backend.hh"

namespace sidecore::storage {

namespace {

Result<void> refuse(bool given, StorageKind kind, std::string_view setting, std::string_view why) {
    if (given) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("a disk of kind \"{}\" cannot have \"{}\": {}", to_string(kind), setting, why));
    }
    return {};
}

/// What only files have.
Result<void> check_has_no_file(const StorageSpec& spec) {
    constexpr std::string_view why = "it has no file";
    SIDECORE_TRY(refuse(!spec.path.empty(), spec.kind, "path", why));
    SIDECORE_TRY(refuse(spec.direct.has_value(), spec.kind, "direct", why));
    SIDECORE_TRY(refuse(spec.engine.has_value(), spec.kind, "engine", why));
    SIDECORE_TRY(refuse(spec.threads.has_value(), spec.kind, "threads", why));
    if (!spec.size_bytes) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("a disk of kind \"{}\" needs \"size\"", to_string(spec.kind)));
    }
    return {};
}

Result<std::unique_ptr<BlockBackend>> open_file(const StorageSpec& spec) {
    if (spec.path.empty()) {
        return failure(ErrorKind::invalid_argument, "a disk of kind \"file\" needs \"path\"");
    }
    SIDECORE_TRY(refuse(spec.size_bytes.has_value(), spec.kind, "size",
                        "its size is that of the file; resize it to change that"));
    FileOptions options;
    options.path = spec.path;
    options.read_only = spec.read_only;
    options.direct = spec.direct.value_or(options.direct);
    options.engine = spec.engine.value_or(options.engine);
    options.threads = spec.threads.value_or(options.threads);
    SIDECORE_TRY(refuse(spec.threads.has_value() && options.engine == FileEngine::io_uring, spec.kind, "threads",
                        "its engine is io_uring, which has none"));
    return FileBackend::create(options);
}

}  // namespace

std::string_view to_string(StorageKind kind) noexcept {
    switch (kind) {
        case StorageKind::null:
            return "null";
        case StorageKind::memory:
            return "memory";
        case StorageKind::file:
            return "file";
    }
    return "unknown";
}

Result<StorageKind> parse_storage_kind(std::string_view name) {
    for (const StorageKind kind : {StorageKind::null, StorageKind::memory, StorageKind::file}) {
        if (to_string(kind) == name) {
            return kind;
        }
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("\"{}\" is no kind of storage; use null, memory or file", name));
}

Result<std::unique_ptr<BlockBackend>> open_storage(const StorageSpec& spec) {
    switch (spec.kind) {
        case StorageKind::null:
            SIDECORE_TRY(check_has_no_file(spec));
            return NullBackend::create({.capacity_bytes = *spec.size_bytes, .read_only = spec.read_only});
        case StorageKind::memory:
            SIDECORE_TRY(check_has_no_file(spec));
            return MemoryBackend::create({.capacity_bytes = *spec.size_bytes, .read_only = spec.read_only});
        case StorageKind::file:
            return open_file(spec);
    }
    return failure(ErrorKind::invalid_argument, "unknown kind of storage");
}

}  // namespace sidecore::storage
