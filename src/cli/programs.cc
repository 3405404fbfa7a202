// SPDX-License-Identifier: Apache-2.0
#include "cli/programs.hh"

#include <array>
#include <fcntl.h>
#include <filesystem>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include "base/fd.hh"
#include "base/format.hh"

namespace sidecore::cli {

Error become(std::string_view name, char** arguments) {
    std::error_code error;
    const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
    for (const auto& path : {folder / name, folder.parent_path() / "sbin" / name}) {
        ::execv(path.c_str(), arguments);
    }
    ::execvp(std::string(name).c_str(), arguments);
    return Error::from_errno(fmt::format("starting {}", name));
}

Result<std::string> output_of(std::string_view name, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), std::string(name));
    std::vector<char*> words;
    words.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) {
        words.push_back(argument.data());
    }
    words.push_back(nullptr);
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return failure_from_errno("making a pipe");
    }
    const Fd out(ends[0]);
    Fd in(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) {
        return failure_from_errno(fmt::format("starting {}", name));
    }
    if (child == 0) {  // there is only this thread, so all may be done here
        ::dup2(in.get(), STDOUT_FILENO);
        fmt::print(stderr, "sidecore: {}\n", become(name, words.data()).message);
        ::_exit(1);
    }
    in.reset();
    std::string text;
    std::array<char, 4096> chunk{};
    for (ssize_t bytes = 0; (bytes = ::read(out.get(), chunk.data(), chunk.size())) > 0;) {
        text.append(chunk.data(), static_cast<std::size_t>(bytes));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) {
        return failure(ErrorKind::system, fmt::format("{} failed", name));
    }
    return text;
}

}  // namespace sidecore::cli
