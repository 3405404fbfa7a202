// SPDX-License-Identifier: Apache-2.0
#include "base/thread.hh"

#include <cerrno>
#include <csignal>
#include <pthread.h>
#include <system_error>
#include <utility>

#include "base/format.hh"

namespace sidecore {

Result<std::thread> start_thread(const char* name, std::function<void()> run) {
    sigset_t blocked;
    sigset_t before;
    ::sigfillset(&blocked);
    for (const int own_fault : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) {
        ::sigdelset(&blocked, own_fault);
    }
    ::pthread_sigmask(SIG_SETMASK, &blocked, &before);
    std::thread thread;
    try {
        thread = std::thread(std::move(run));
    } catch (const std::system_error&) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!thread.joinable()) {
        return failure_from_errno(fmt::format("starting the thread {}", name), EAGAIN);
    }
    ::pthread_setname_np(thread.native_handle(), name);
    return thread;
}

}  // namespace sidecore
