// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/descriptor_kind.hh"

#include <fcntl.h>
#include <sys/socket.h>

#include "base/fd.hh"

namespace sidecore::vhost_user {

DescriptorKind kind_of(int fd) noexcept {
    if (is_eventfd(fd)) {
        return DescriptorKind::eventfd;
    }
    int type = 0;
    socklen_t length = sizeof(type);
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0) {
        return DescriptorKind::socket;
    }
    if (::fcntl(fd, F_GETPIPE_SZ) >= 0) {
        return DescriptorKind::pipe;
    }
    return DescriptorKind::other;
}

}  // namespace sidecore::vhost_user
