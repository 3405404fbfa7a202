// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "base/fd.hh"

namespace sidecore::test {

/// A program as a user would start it, with its output kept.
///
/// Thread: one. The destructor kills it if it still runs.
class Program {
public:
    struct Ended {
        int status = -1;  ///< exit status; -1: it was killed by a signal, or by us because it took too long
        std::string out;
        std::string err;
    };

    /// `inherited`: a descriptor that the program gets as its number 3, or -1. `environment`: additions.
    explicit Program(std::vector<std::string> words, const std::string& input = {}, int inherited = -1,
                     const std::vector<std::pair<std::string, std::string>>& environment = {}) {
        std::array<int, 2> in{};
        std::array<int, 2> out{};
        std::array<int, 2> err{};
        if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0 ||
            ::pipe2(err.data(), O_CLOEXEC) != 0) {
            std::abort();
        }
        std::vector<char*> arguments;
        for (std::string& word : words) {
            arguments.push_back(word.data());
        }
        arguments.push_back(nullptr);
        // Only what may be done between fork() and exec() in a process with threads, but for setenv(), whose lock the
        // test's own thread would have to hold right now.
        pid_ = ::fork();
        if (pid_ == 0) {
            ::dup2(in[0], STDIN_FILENO);
            ::dup2(out[1], STDOUT_FILENO);
            ::dup2(err[1], STDERR_FILENO);
            if (inherited >= 0) {
                ::dup2(inherited, inherited_number);
                ::fcntl(inherited_number, F_SETFD, 0);
            }
            for (const auto& [name, value] : environment) {
                ::setenv(name.c_str(), value.c_str(), 1);
            }
            ::execv(arguments[0], arguments.data());
            constexpr int exec_failed = 127;
            ::_exit(exec_failed);
        }
        ::close(in[0]);
        ::close(out[1]);
        ::close(err[1]);
        out_ = Fd(out[0]);
        err_ = Fd(err[0]);
        const Fd writer(in[1]);
        [[maybe_unused]] const auto written = ::write(writer.get(), input.data(), input.size());
    }
    ~Program() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    static constexpr int inherited_number = 3;

    pid_t pid() const noexcept { return pid_; }
    void send(int signal) const { ::kill(pid_, signal); }

    /// Waits until its error output contains `text`; false if it ended, or 20 s have passed, before that.
    bool wait_for_error_output(const std::string& text) {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        while (ended_.err.find(text) == std::string::npos) {
            if (std::chrono::steady_clock::now() > deadline || !read_some()) {
                return false;
            }
        }
        return true;
    }

    /// Waits for its end, at most 20 s.
    Ended wait() {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        while (read_some() && std::chrono::steady_clock::now() < deadline) {
        }
        if (std::chrono::steady_clock::now() >= deadline) {
            ::kill(pid_, SIGKILL);
        }
        int status = 0;
        ::waitpid(std::exchange(pid_, -1), &status, 0);
        ended_.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        return ended_;
    }

private:
    static constexpr std::chrono::seconds patience{20};

    /// False when both outputs have ended.
    bool read_some() {
        constexpr int tick_ms = 100;
        std::array<pollfd, 2> waiting{{{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}}};
        if (!out_ && !err_) {
            return false;
        }
        if (::poll(waiting.data(), waiting.size(), tick_ms) > 0) {
            take(waiting[0], out_, ended_.out);
            take(waiting[1], err_, ended_.err);
        }
        return true;
    }

    static void take(const pollfd& ready, Fd& fd, std::string& text) {
        if (ready.revents == 0) {
            return;
        }
        std::array<char, 4096> chunk{};
        const auto bytes = ::read(fd.get(), chunk.data(), chunk.size());
        if (bytes <= 0) {
            fd.reset();
        } else {
            text.append(chunk.data(), static_cast<std::size_t>(bytes));
        }
    }

    pid_t pid_ = -1;
    Fd out_;
    Fd err_;
    Ended ended_;
};

}  // namespace sidecore::test
