// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "storage/block_backend.hh"
#include "storage/disk_file.hh"
#include "storage/thread_pool_queue.hh"

namespace sidecore::storage {

/// Who does a file's I/O.
enum class FileEngine : std::uint8_t {
    automatic,  ///< "auto": io_uring if the host lets us, else threads
    io_uring,
    threads,
};

std::string_view to_string(FileEngine engine) noexcept;
Result<FileEngine> parse_file_engine(std::string_view name);

struct FileOptions {
    std::string path;     ///< of a regular file or a block device
    bool direct = false;  ///< O_DIRECT: past the host's page cache
    bool read_only = false;
    FileEngine engine = FileEngine::automatic;
    std::uint32_t threads = 16;  ///< engine `threads`: how many at most, 1 to FileThreadPool::threads_max
};

/// A disk whose contents are a regular file or a block device, locked against other users while it is open.
///
/// Blocks: a block device has its own logical blocks; a file has blocks of 512 bytes, or what direct I/O to it needs.
/// Requests in smaller units fail with -EINVAL (VIRTIO 5.2.5 lets a driver use 512-byte units whatever
/// blk_size says; drivers do not, and obeying would mean to read, change and write back blocks that other queues
/// write to at the same time).
///
/// Discards give space back where the file system or device can (of block devices, those that can also write zeroes by
/// command); else the geometry says that they cannot, and they succeed without effect. Zeroes can always be written.
/// Completed writes are in the host's page cache or the device's cache until a flush, unless they are durable
/// (RWF_DSYNC).
class FileBackend final : public BlockBackend {
public:
    /// Engine `automatic` without io_uring on the host is logged as a warning, and description() tells.
    static Result<std::unique_ptr<FileBackend>> create(const FileOptions& options);

    std::string_view kind() const noexcept override { return "file"; }
    std::string description() const override;
    BlockGeometry geometry() const override { return file_->geometry(); }
    AllocatedRun allocated_run(std::uint64_t offset_bytes) const noexcept override {
        return file_->allocated_run(offset_bytes);
    }
    Result<std::unique_ptr<BlockQueue>> open_queue(std::uint32_t depth) override;
    Result<void> resize(std::uint64_t capacity_bytes) override { return file_->resize(capacity_bytes); }

    /// What does the I/O: io_uring or threads.
    FileEngine engine() const noexcept { return pool_ == nullptr ? FileEngine::io_uring : FileEngine::threads; }

private:
    FileBackend(std::unique_ptr<DiskFile> file, std::unique_ptr<FileThreadPool> pool, std::string engine_note)
        : file_(std::move(file)), pool_(std::move(pool)), engine_note_(std::move(engine_note)) {}

    const std::unique_ptr<DiskFile> file_;
    const std::unique_ptr<FileThreadPool> pool_;  // null: io_uring
    const std::string engine_note_;               // "io_uring", "16 threads", and why
};

}  // namespace sidecore::storage
