// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.hh"
#include "base/fd.hh"
#include "storage/block_backend.hh"

namespace sidecore::storage {

/// What has to be known of an open file to do I/O on it. Sizes in bytes, powers of two but for the capacity.
///
/// Thread: the atomics from any thread; the others are written before the first queue is opened.
struct FileTraits {
    bool read_only = false;
    bool direct = false;     ///< opened with O_DIRECT
    bool in_memory = false;  ///< no read or write waits for a device: a file system of memory, without swap
    std::uint32_t logical_block_bytes = 512;   ///< of offsets and lengths
    std::uint32_t memory_alignment_bytes = 1;  ///< of buffers; 1 unless direct
    std::atomic<std::uint64_t> capacity_bytes{0};

    /// What the file system has not yet refused; set to false by the operation that is first told so.
    std::atomic<bool> can_punch{true};
    std::atomic<bool> can_zero_range{true};
};

/// A regular file or block device, open and locked as the contents of a disk.
///
/// The lock is an advisory one on the open file description (for the whole file; shared if read-only), which
/// other instances, QEMU among them, respect. A block device that is to be written is opened exclusively too, so
/// that one with a mounted file system is refused.
///
/// Thread: one control thread at a time; fd() and traits() from any.
class DiskFile {
public:
    /// Errors name the path and say what to do.
    static Result<std::unique_ptr<DiskFile>> open(std::string path, bool direct, bool read_only);
    ~DiskFile();
    DiskFile(const DiskFile&) = delete;
    DiskFile& operator=(const DiskFile&) = delete;

    int fd() const noexcept { return fd_.get(); }
    const std::string& path() const noexcept { return path_; }
    FileTraits& traits() noexcept { return traits_; }
    const FileTraits& traits() const noexcept { return traits_; }

    BlockGeometry geometry() const;

    /// See BlockBackend::allocated_run(). From any thread: nothing else uses the open file's position.
    AllocatedRun allocated_run(std::uint64_t offset_bytes) const noexcept;

    /// See BlockBackend::resize(). A regular file is cut or extended, a block device only looked at again.
    Result<void> resize(std::uint64_t capacity_bytes);

private:
    DiskFile(std::string path, Fd fd, bool block_device)
        : path_(std::move(path)), fd_(std::move(fd)), block_device_(block_device) {}

    Result<void> lock();
    Result<void> find_traits(bool direct, bool read_only);
    Result<void> find_direct_alignment();
    Result<std::uint64_t> current_bytes() const;
    Result<std::uint64_t> usable_bytes() const;

    const std::string path_;
    const Fd fd_;
    const bool block_device_;
    FileTraits traits_;
    BlockGeometry geometry_;  // all but the capacity and what the traits' atomics say
};

}  // namespace sidecore::storage
