// SPDX-License-Identifier: Apache-2.0
#include "storage/execute_step.hh"

#include <cerrno>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

namespace sidecore::storage {

std::int64_t execute_step(const FileStep& step, int fd) noexcept {
    const auto offset = static_cast<off_t>(step.offset_bytes);
    const auto count = static_cast<int>(step.segments.size());
    std::int64_t result = 0;
    switch (step.kind) {
        case FileStep::Kind::nothing:
            break;
        case FileStep::Kind::read:
            result = ::preadv2(fd, step.segments.data(), count, offset, step.flags);
            break;
        case FileStep::Kind::write:
            result = ::pwritev2(fd, step.segments.data(), count, offset, step.flags);
            break;
        case FileStep::Kind::fallocate:
            result = ::fallocate(fd, step.flags, offset, static_cast<off_t>(step.length_bytes));
            break;
        case FileStep::Kind::sync:
            result = ::fdatasync(fd);
            break;
    }
    return result < 0 ? -errno : result;
}

}  // namespace sidecore::storage
