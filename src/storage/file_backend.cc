// SPDX-License-Identifier: Apache-2.0
#include "storage/file_backend.hh"

#include <spdlog/spdlog.h>

#include "base/format.hh"
#include "storage/argument_check.hh"
#include "storage/io_uring_queue.hh"

namespace sidecore::storage {

std::string_view to_string(FileEngine engine) noexcept {
    switch (engine) {
        case FileEngine::automatic:
            return "auto";
        case FileEngine::io_uring:
            return "io_uring";
        case FileEngine::threads:
            return "threads";
    }
    return "unknown";
}

Result<FileEngine> parse_file_engine(std::string_view name) {
    for (const FileEngine engine : {FileEngine::automatic, FileEngine::io_uring, FileEngine::threads}) {
        if (to_string(engine) == name) {
            return engine;
        }
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("\"{}\" is no I/O engine; use auto, io_uring or threads", name));
}

Result<std::unique_ptr<FileBackend>> FileBackend::create(const FileOptions& options) {
    if (options.threads == 0 || options.threads > FileThreadPool::threads_max) {
        return failure(ErrorKind::out_of_range, fmt::format("a disk can have 1 to {} I/O threads, not {}",
                                                            FileThreadPool::threads_max, options.threads));
    }
    SIDECORE_TRY_ASSIGN(auto file, DiskFile::open(options.path, options.direct, options.read_only));

    std::string fallback_note;
    if (options.engine != FileEngine::threads) {
        Result<void> available = probe_io_uring();
        if (available) {
            std::string note = file->traits().in_memory ? "io_uring, in memory" : "io_uring";
            return std::unique_ptr<FileBackend>(new FileBackend(std::move(file), nullptr, std::move(note)));
        }
        if (options.engine == FileEngine::io_uring) {
            available.error().message += "; use engine \"auto\" or \"threads\"";
            return tl::unexpected(std::move(available.error()).within(options.path));
        }
        spdlog::warn("{}: {}; using up to {} threads with preadv2 and pwritev2 instead", options.path,
                     available.error().message, options.threads);
        fallback_note = fmt::format(", because {}", available.error().message);
    }
    SIDECORE_TRY_ASSIGN(auto pool, FileThreadPool::create(*file, options.threads));
    return std::unique_ptr<FileBackend>(
        new FileBackend(std::move(file), std::move(pool), fmt::format("{} threads{}", options.threads, fallback_note)));
}

std::string FileBackend::description() const {
    const FileTraits& traits = file_->traits();
    return fmt::format("{}, {}, {}{} ({})", file_->path(), format_size(traits.capacity_bytes.load()),
                       traits.direct ? "direct" : "buffered", traits.read_only ? ", read-only" : "", engine_note_);
}

Result<std::unique_ptr<BlockQueue>> FileBackend::open_queue(std::uint32_t depth) {
    return pool_ == nullptr ? open_io_uring_queue(*file_, depth) : pool_->open_queue(depth);
}

}  // namespace sidecore::storage
