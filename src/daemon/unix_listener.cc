// SPDX-License-Identifier: Apache-2.0
#include "daemon/unix_listener.hh"

#include <filesystem>
#include <grp.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "base/format.hh"
#include "vhost_user/socket.hh"

namespace sidecore::daemon {

Result<Fd> listen_unix(const std::string& path, std::uint32_t permissions, const std::string& group) {
    const struct group* entry = nullptr;
    if (!group.empty()) {
        // Nothing else in the process asks for groups, so the static buffer does no harm.
        entry = ::getgrnam(group.c_str());  // NOLINT(concurrency-mt-unsafe)
        if (entry == nullptr) {
            return failure(ErrorKind::not_found, fmt::format("{}: there is no group \"{}\"", path, group));
        }
    }
    std::error_code ignored;  // binding fails if the directory is still missing, and says so
    std::filesystem::create_directory(std::filesystem::path(path).parent_path(), ignored);
    SIDECORE_TRY_ASSIGN(Fd listener, vhost_user::listen_unix(path, permissions));
    if (entry != nullptr && ::lchown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid) != 0) {
        auto error = failure_from_errno(fmt::format("giving {} to the group \"{}\"", path, group));
        ::unlink(path.c_str());
        return error;
    }
    return listener;
}

}  // namespace sidecore::daemon
