// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.hh"

namespace sidecore::storage::test {

/// A directory of its own, gone with all that is in it at the end. Below $TMPDIR, else /var/tmp (on a disk, unlike /tmp
/// on some hosts), or below `parent`.
class TemporaryDirectory {
public:
    explicit TemporaryDirectory(std::string_view parent = {});
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    const std::string& path() const noexcept { return path_; }
    std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

private:
    std::string path_;
};

/// A sparse file of so many bytes; returns its path.
std::string make_file(const std::string& path, std::uint64_t bytes);

/// Whether files in this directory open with O_DIRECT.
bool has_direct_io(const std::string& directory);

/// A loop device with blocks of `block_bytes` over a file; detached when closed. Not every host has them.
class LoopDevice {
public:
    static Result<LoopDevice> attach(const std::string& path, std::uint32_t block_bytes);
    const std::string& path() const noexcept { return path_; }

    /// Tells the device that its file has another size.
    void take_new_size() const;

private:
    Fd fd_;
    std::string path_;
};

}  // namespace sidecore::storage::test
