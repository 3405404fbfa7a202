// SPDX-License-Identifier: Apache-2.0
#include "storage/thread_tools.hh"

#include <atomic>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace sidecore::storage::test {

namespace {

using Program = std::vector<sock_filter>;

void load(Program& program, std::size_t offset) {
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
}

/// What is loaded equals `value`: `action`. Else it goes on.
void if_equal(Program& program, long value, std::uint32_t action) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(value), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, action));
}

/// For the calling thread, for the rest of its life.
bool install(Program program) {
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

std::atomic<int> trapped_calls{0};

template <typename Visit>
void for_each_thread(std::string_view name, Visit visit) {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string found;
        std::getline(std::ifstream(task.path() / "comm"), found);
        if (found == name) {
            visit(task.path());
        }
    }
}

}  // namespace

void run_without_system_calls(std::initializer_list<long> forbidden, const std::function<void()>& body) {
    std::thread([&] {
        Program program;
        load(program, offsetof(seccomp_data, nr));
        for (const long number : forbidden) {
            if_equal(program, number, SECCOMP_RET_ERRNO | EPERM);
        }
        ASSERT_TRUE(install(program));
        body();
    }).join();
}

int count_io_system_calls(int fd, const std::function<void()>& body) {
    struct sigaction trap {};
    struct sigaction before {};
    trap.sa_handler = [](int) { trapped_calls.fetch_add(1, std::memory_order_relaxed); };
    EXPECT_EQ(::sigaction(SIGSYS, &trap, &before), 0);
    trapped_calls = 0;
    std::thread([&] {
        Program program;
        load(program, offsetof(seccomp_data, nr));
        for (const long number :
             {SYS_io_uring_enter, SYS_preadv2, SYS_pwritev2, SYS_fallocate, SYS_fdatasync, SYS_timerfd_settime}) {
            if_equal(program, number, SECCOMP_RET_TRAP);
        }
        // Not every read and write: sanitizers make some of their own.
        program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 1, 0));
        program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3));
        load(program, offsetof(seccomp_data, args));
        if_equal(program, fd, SECCOMP_RET_TRAP);
        ASSERT_TRUE(install(program));
        body();
    }).join();
    EXPECT_EQ(::sigaction(SIGSYS, &before, nullptr), 0);
    return trapped_calls;
}

void run_as_nobody(const std::function<void()>& body) {
    std::thread([&] {
        constexpr unsigned nobody = 65534;
        if (::geteuid() == 0) {
            // For this thread only; takes the right to override permissions away too.
            ::setfsgid(nobody);
            ::setfsuid(nobody);
        }
        body();
    }).join();
}

std::uint64_t context_switches(std::string_view thread_name) {
    std::uint64_t sum = 0;
    for_each_thread(thread_name, [&](const std::filesystem::path& task) {
        std::ifstream status(task / "status");
        for (std::string line; std::getline(status, line);) {
            if (line.find("ctxt_switches:") != std::string::npos) {
                sum += std::stoull(line.substr(line.find(':') + 1));
            }
        }
    });
    return sum;
}

std::size_t count_threads(std::string_view thread_name) {
    std::size_t count = 0;
    for_each_thread(thread_name, [&](const std::filesystem::path&) { ++count; });
    return count;
}

}  // namespace sidecore::storage::test
