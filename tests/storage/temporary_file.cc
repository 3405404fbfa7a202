// SPDX-License-Identifier: Apache-2.0
#include "storage/temporary_file.hh"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/format.hh"

namespace sidecore::storage::test {

TemporaryDirectory::TemporaryDirectory(std::string_view parent) {
    const char* from_environment = std::getenv("TMPDIR");
    std::string base(parent);
    if (base.empty()) {
        base = from_environment != nullptr ? from_environment : "/var/tmp";
    }
    path_ = base + "/sidecore-storage-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) {
        ADD_FAILURE() << "no temporary directory below " << base;
        std::abort();
    }
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string make_file(const std::string& path, std::uint64_t bytes) {
    const Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    EXPECT_TRUE(fd.valid()) << path;
    EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
    return path;
}

bool has_direct_io(const std::string& directory) {
    const std::string path = directory + "/direct-io";
    const Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600));
    ::unlink(path.c_str());
    return fd.valid();
}

Result<LoopDevice> LoopDevice::attach(const std::string& path, std::uint32_t block_bytes) {
    const Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    const Fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!control || !file) {
        return failure_from_errno("opening /dev/loop-control");
    }
    // Somebody else may take the free device before we do.
    for (int attempt = 0; attempt < 50; ++attempt) {
        const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
        if (number < 0) {
            return failure_from_errno("looking for a free loop device");
        }
        LoopDevice device;
        device.path_ = fmt::format("/dev/loop{}", number);
        device.fd_ = Fd(::open(device.path_.c_str(), O_RDWR | O_CLOEXEC));
        if (!device.fd_) {
            return failure_from_errno(device.path_);
        }
        loop_config config{};
        config.fd = static_cast<std::uint32_t>(file.get());
        config.block_size = block_bytes;
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
        if (::ioctl(device.fd_.get(), LOOP_CONFIGURE, &config) == 0) {
            return device;
        }
        if (errno != EBUSY) {
            return failure_from_errno(fmt::format("attaching {}", device.path_));
        }
    }
    return failure(ErrorKind::timed_out, "all loop devices are busy");
}

void LoopDevice::take_new_size() const {
    EXPECT_EQ(::ioctl(fd_.get(), LOOP_SET_CAPACITY, 0), 0);
}

}  // namespace sidecore::storage::test
