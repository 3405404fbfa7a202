// SPDX-License-Identifier: Apache-2.0
#include "base/state_file.hh"

#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.hh"
#include "base/format.hh"

namespace sidecore {

namespace {

Result<void> write_all(const Fd& file, const std::string& path, std::string_view contents) {
    while (!contents.empty()) {
        const ssize_t written = ::write(file.get(), contents.data(), contents.size());
        if (written < 0 && errno != EINTR) {
            return failure_from_errno(fmt::format("writing {}", path));
        }
        contents.remove_prefix(static_cast<std::size_t>(written < 0 ? 0 : written));
    }
    if (::fsync(file.get()) != 0) {
        return failure_from_errno(fmt::format("making {} stable", path));
    }
    return {};
}

std::string folder_of(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

/// Or else a file that was renamed or removed may be back, or gone, after a crash.
Result<void> make_folder_stable(const std::string& path) {
    const std::string folder = folder_of(path);
    const Fd opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened || ::fsync(opened.get()) != 0) {
        return failure_from_errno(fmt::format("making {} stable", folder));
    }
    return {};
}

Result<void> replace(const std::string& path, const std::string& temporary, std::string_view contents) {
    {
        const Fd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!file) {
            return failure_from_errno(fmt::format("making {}", temporary));
        }
        SIDECORE_TRY(write_all(file, temporary, contents));
    }
    if (std::rename(temporary.c_str(), path.c_str()) != 0) {
        return failure_from_errno(fmt::format("renaming {} to {}", temporary, path));
    }
    return make_folder_stable(path);
}

}  // namespace

Result<std::string> read_state_file(const std::string& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        const int error = errno;
        Error problem = Error::from_errno(fmt::format("opening {}", path), error);
        if (error == ENOENT) {
            problem.kind = ErrorKind::not_found;
        }
        return tl::unexpected(std::move(problem));
    }
    std::string contents;
    std::array<char, 4096> some;
    for (;;) {
        const ssize_t got = ::read(file.get(), some.data(), some.size());
        if (got == 0) {
            return contents;
        }
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return failure_from_errno(fmt::format("reading {}", path));
        }
        contents.append(some.data(), static_cast<std::size_t>(got));
        if (contents.size() > state_file_bytes_max) {
            return failure(
                ErrorKind::invalid_argument,
                fmt::format("{} is longer than {} bytes, so it is no file of ours", path, state_file_bytes_max));
        }
    }
}

Result<void> write_state_file(const std::string& path, std::string_view contents) {
    const std::string temporary = path + ".new";
    auto replaced = replace(path, temporary, contents);
    if (!replaced) {
        ::unlink(temporary.c_str());
    }
    return replaced;
}

Result<void> remove_state_file(const std::string& path) {
    if (::unlink(path.c_str()) != 0) {
        return errno == ENOENT ? Result<void>{} : failure_from_errno(fmt::format("removing {}", path));
    }
    return make_folder_stable(path);
}

}  // namespace sidecore
