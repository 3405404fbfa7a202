// SPDX-License-Identifier: Apache-2.0
#include "storage/disk_file.hh"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <linux/fs.h>
#include <linux/magic.h>
#include <optional>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <spdlog/spdlog.h>

#include "base/format.hh"
#include "storage/argument_check.hh"

namespace sidecore::storage {

namespace {

constexpr std::uint32_t direct_alignment_max = 64 * 1024;

Error explain_open(const std::string& path, bool direct, bool read_only, int os_error) {
    std::string_view advice;
    switch (os_error) {
        case ENOENT:
            advice = "create the file first, for example with \"truncate -s 10G FILE\"";
            break;
        case EACCES:
        case EPERM:
            advice = read_only ? "give the user that the daemon runs as permission to read it"
                               : "give the user that the daemon runs as permission to read and write it, or make "
                                 "the disk read-only";
            break;
        case EROFS:
            advice = "its file system is read-only: make the disk read-only too";
            break;
        case EBUSY:
            advice = "the host uses this device, for a mounted file system or a volume; one disk has one user";
            break;
        case EINVAL:
            if (direct) {
                advice = "its file system cannot do direct I/O: use direct = false";
            }
            break;
        default:
            break;
    }
    Error error = Error::from_errno(fmt::format("opening {}", path), os_error);
    if (!advice.empty()) {
        error.message += fmt::format("; {}", advice);
    }
    if (os_error == ENOENT) {
        error.kind = ErrorKind::not_found;
    }
    return error;
}

/// A file of /sys/dev/block/<device>/queue, of a partition the one of its disk.
std::optional<std::uint64_t> read_queue_limit(dev_t device, std::string_view name) {
    for (const std::string_view directory : {"queue", "../queue"}) {
        std::ifstream file(fmt::format("/sys/dev/block/{}:{}/{}/{}", major(device), minor(device), directory, name));
        std::uint64_t value = 0;
        if (file >> value) {
            return value;
        }
    }
    return std::nullopt;
}

template <typename T>
std::optional<T> ask_device(int fd, unsigned long request) {
    T value{};
    if (::ioctl(fd, request, &value) != 0) {
        return std::nullopt;
    }
    return value;
}

/// One block from the start of the file, as direct I/O does it: 0 or errno.
int try_direct_read(int fd, std::uint32_t bytes) {
    const std::unique_ptr<void, decltype(&std::free)> buffer(
        std::aligned_alloc(direct_alignment_max, direct_alignment_max), &std::free);
    if (buffer == nullptr) {
        return ENOMEM;
    }
    return ::pread(fd, buffer.get(), bytes, 0) < 0 ? errno : 0;
}

/// Whether what the file holds is in memory at all times. Of a tmpfs, pages go to swap space, if there is any now.
bool stays_in_memory(int fd) {
    struct statfs file_system {};
    struct sysinfo host {};
    if (::fstatfs(fd, &file_system) != 0 || ::sysinfo(&host) != 0) {
        return false;
    }
    return file_system.f_type == RAMFS_MAGIC || (file_system.f_type == TMPFS_MAGIC && host.totalswap == 0);
}

std::uint32_t plausible_block(std::uint64_t bytes, std::uint32_t otherwise) {
    return std::has_single_bit(bytes) && bytes >= otherwise && bytes <= direct_alignment_max
               ? static_cast<std::uint32_t>(bytes)
               : otherwise;
}

}  // namespace

Result<std::unique_ptr<DiskFile>> DiskFile::open(std::string path, bool direct, bool read_only) {
    // Looked at before it is opened: opening a FIFO waits, and opening a tape rewinds it.
    struct stat before {};
    if (::stat(path.c_str(), &before) != 0) {
        return tl::unexpected(explain_open(path, direct, read_only, errno));
    }
    const bool block_device = S_ISBLK(before.st_mode);
    if (S_ISDIR(before.st_mode)) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{} is a directory; a disk needs a regular file or a block device", path));
    }
    if (!S_ISREG(before.st_mode) && !block_device) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{} is neither a regular file nor a block device", path));
    }

    int flags = O_CLOEXEC | O_NOCTTY | (read_only ? O_RDONLY : O_RDWR) | (direct ? O_DIRECT : 0);
    if (block_device && !read_only) {
        flags |= O_EXCL;
    }
    Fd fd(::open(path.c_str(), flags));
    if (!fd) {
        return tl::unexpected(explain_open(path, direct, read_only, errno));
    }
    struct stat after {};
    if (::fstat(fd.get(), &after) != 0 || (after.st_mode & S_IFMT) != (before.st_mode & S_IFMT)) {
        return failure(ErrorKind::invalid_argument, fmt::format("{} was replaced while it was opened", path));
    }

    std::unique_ptr<DiskFile> file(new DiskFile(std::move(path), std::move(fd), block_device));
    SIDECORE_TRY(file->lock());
    SIDECORE_TRY(file->find_traits(direct, read_only));
    return file;
}

DiskFile::~DiskFile() {
    // Closing would do, if only this process held the open file. The kernel may hold it a little longer for an io_uring.
    struct flock whole {};
    whole.l_type = F_UNLCK;
    whole.l_whence = SEEK_SET;
    ::fcntl(fd(), F_OFD_SETLK, &whole);
}

Result<void> DiskFile::lock() {
    const bool read_only = (::fcntl(fd(), F_GETFL) & O_ACCMODE) == O_RDONLY;
    struct flock whole {};
    whole.l_type = static_cast<short>(read_only ? F_RDLCK : F_WRLCK);
    whole.l_whence = SEEK_SET;
    if (::fcntl(fd(), F_OFD_SETLK, &whole) == 0) {
        return {};
    }
    if (errno == EAGAIN || errno == EACCES) {
        return failure(ErrorKind::already_exists,
                       fmt::format("{} is in use already: another disk or another program has it locked{}. A file "
                                   "can be shared only if all its users are read-only",
                                   path_, read_only ? " for writing" : ""));
    }
    spdlog::warn("{}: its file system has no locks ({}); nothing keeps others from writing to it", path_,
                 Error::from_errno("locking").message);
    return {};
}

Result<void> DiskFile::find_traits(bool direct, bool read_only) {
    struct stat status {};
    if (::fstat(fd(), &status) != 0) {
        return failure_from_errno(fmt::format("looking at {}", path_));
    }
    traits_.read_only = read_only;
    traits_.direct = direct;
    traits_.in_memory = !block_device_ && stays_in_memory(fd());
    if (block_device_) {
        traits_.logical_block_bytes =
            plausible_block(static_cast<std::uint64_t>(ask_device<int>(fd(), BLKSSZGET).value_or(0)), 512);
    }
    if (direct) {
        SIDECORE_TRY(find_direct_alignment());
    }
    SIDECORE_TRY_ASSIGN(traits_.capacity_bytes, usable_bytes());

    geometry_.logical_block_bytes = traits_.logical_block_bytes;
    if (block_device_) {
        geometry_.physical_block_bytes =
            plausible_block(ask_device<unsigned>(fd(), BLKPBSZGET).value_or(0), traits_.logical_block_bytes);
        geometry_.optimal_io_bytes = ask_device<unsigned>(fd(), BLKIOOPT).value_or(0);
        geometry_.discard_granularity_bytes = plausible_block(
            read_queue_limit(status.st_rdev, "discard_granularity").value_or(0), traits_.logical_block_bytes);
        traits_.can_punch = read_queue_limit(status.st_rdev, "write_zeroes_max_bytes").value_or(0) != 0;
    } else {
        geometry_.physical_block_bytes =
            plausible_block(static_cast<std::uint64_t>(status.st_blksize), traits_.logical_block_bytes);
        geometry_.discard_granularity_bytes = geometry_.physical_block_bytes;
        // Beyond the end there is nothing to lose, and the file does not grow.
        const auto beyond = static_cast<off_t>((static_cast<std::uint64_t>(status.st_size) / direct_alignment_max + 1) *
                                               direct_alignment_max);
        traits_.can_punch = !read_only && ::fallocate(fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, beyond,
                                                      direct_alignment_max) == 0;
    }
    geometry_.read_only = read_only;
    geometry_.can_write_zeroes = !read_only;
    geometry_.volatile_write_cache = !read_only;
    return {};
}

Result<void> DiskFile::find_direct_alignment() {
    std::uint32_t first = traits_.logical_block_bytes;
    std::uint32_t last = direct_alignment_max;
    std::uint32_t memory_bytes = 0;
#if defined(STATX_DIOALIGN)
    struct statx status {};
    if (::statx(fd(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 && (status.stx_mask & STATX_DIOALIGN) != 0 &&
        std::has_single_bit(status.stx_dio_offset_align) && std::has_single_bit(status.stx_dio_mem_align)) {
        first = std::max(first, status.stx_dio_offset_align);
        last = first;
        memory_bytes = status.stx_dio_mem_align;
    }
#endif
    // File systems and kernels that do not tell are asked by trying. This also finds the ones that open with
    // O_DIRECT and refuse it later.
    int os_error = EINVAL;
    for (std::uint32_t block = first; block <= last && os_error == EINVAL; block *= 2) {
        os_error = try_direct_read(fd(), block);
        if (os_error == 0) {
            traits_.logical_block_bytes = block;
            traits_.memory_alignment_bytes = memory_bytes != 0 ? memory_bytes : block;
        }
    }
    if (os_error == EINVAL) {
        return failure(ErrorKind::unsupported,
                       fmt::format("{}: its file system cannot do direct I/O; use direct = false", path_));
    }
    if (os_error != 0) {
        return failure_from_errno(fmt::format("reading the start of {}", path_), os_error);
    }
    if (!block_device_ && traits_.logical_block_bytes > sector_bytes) {
        spdlog::info(
            "{}: the disk has blocks of {} bytes, because direct I/O to this file needs that; an image made "
            "for 512-byte blocks needs direct = false",
            path_, traits_.logical_block_bytes);
    }
    return {};
}

Result<std::uint64_t> DiskFile::current_bytes() const {
    if (block_device_) {
        const auto bytes = ask_device<std::uint64_t>(fd(), BLKGETSIZE64);
        if (!bytes) {
            return failure_from_errno(fmt::format("asking for the size of {}", path_));
        }
        return *bytes;
    }
    struct stat status {};
    if (::fstat(fd(), &status) != 0) {
        return failure_from_errno(fmt::format("asking for the size of {}", path_));
    }
    return static_cast<std::uint64_t>(status.st_size);
}

Result<std::uint64_t> DiskFile::usable_bytes() const {
    SIDECORE_TRY_ASSIGN(const std::uint64_t bytes, current_bytes());
    const std::uint64_t usable = bytes - bytes % traits_.logical_block_bytes;
    if (usable == 0) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{} {}; give it a size first, for example with \"truncate -s 10G FILE\"", path_,
                                   bytes == 0 ? std::string("is empty")
                                              : fmt::format("has {} bytes, less than one block of {}", bytes,
                                                            traits_.logical_block_bytes)));
    }
    if (usable != bytes) {
        spdlog::warn("{}: its size of {} bytes is no multiple of {}; the last {} bytes are left out", path_, bytes,
                     traits_.logical_block_bytes, bytes - usable);
    }
    return usable;
}

BlockGeometry DiskFile::geometry() const {
    BlockGeometry geometry = geometry_;
    geometry.capacity_bytes = traits_.capacity_bytes.load(std::memory_order_relaxed);
    geometry.can_discard = !traits_.read_only && traits_.can_punch.load(std::memory_order_relaxed);
    geometry.write_zeroes_may_unmap = geometry.can_discard;
    return geometry;
}

AllocatedRun DiskFile::allocated_run(std::uint64_t offset_bytes) const noexcept {
    constexpr AllocatedRun unknown{true, UINT64_MAX};
    if (block_device_) {
        return unknown;
    }
    const auto offset = static_cast<off_t>(offset_bytes);
    const off_t data = ::lseek(fd(), offset, SEEK_DATA);
    if (data < 0) {
        // ENXIO: a hole up to the end, or the file has been cut off before. Else the file system cannot tell.
        return errno == ENXIO ? AllocatedRun{false, UINT64_MAX} : unknown;
    }
    if (data > offset) {
        return {false, static_cast<std::uint64_t>(data - offset)};
    }
    const off_t hole = ::lseek(fd(), offset, SEEK_HOLE);
    return hole > offset ? AllocatedRun{true, static_cast<std::uint64_t>(hole - offset)} : unknown;
}

Result<void> DiskFile::resize(std::uint64_t capacity_bytes) {
    if (capacity_bytes == 0) {
        SIDECORE_TRY_ASSIGN(const std::uint64_t usable, usable_bytes());
        traits_.capacity_bytes.store(usable, std::memory_order_relaxed);
        return {};
    }
    SIDECORE_TRY(check_capacity(capacity_bytes, traits_.logical_block_bytes));
    if (block_device_) {
        SIDECORE_TRY_ASSIGN(const std::uint64_t usable, usable_bytes());
        if (usable == capacity_bytes) {
            traits_.capacity_bytes.store(usable, std::memory_order_relaxed);
            return {};
        }
        return failure(ErrorKind::unsupported,
                       fmt::format("{} is a block device; change its size on the host, then resize the disk without "
                                   "giving a size",
                                   path_));
    }
    if (traits_.read_only) {
        return failure(ErrorKind::unsupported, fmt::format("{} is open read-only", path_));
    }
    // Requests must not see a size that the file does not have: a shrinking one is announced before, a growing
    // one after.
    const std::uint64_t old_bytes = traits_.capacity_bytes.load(std::memory_order_relaxed);
    if (capacity_bytes < old_bytes) {
        traits_.capacity_bytes.store(capacity_bytes, std::memory_order_relaxed);
    }
    if (::ftruncate(fd(), static_cast<off_t>(capacity_bytes)) != 0) {
        const int os_error = errno;
        traits_.capacity_bytes.store(old_bytes, std::memory_order_relaxed);
        return failure_from_errno(fmt::format("resizing {} to {}", path_, format_size(capacity_bytes)), os_error);
    }
    traits_.capacity_bytes.store(capacity_bytes, std::memory_order_relaxed);
    return {};
}

}  // namespace sidecore::storage
