// SPDX-License-Identifier: Apache-2.0
// A front-end that the fuzzer invents talks to a session: mostly sound messages in a sensible order, or bytes as they
// come. The session must end, keep its promises to the handler, stop what it started, and leak nothing.
#include <cstdio>
#include <cstdlib>
#include <span>
#include <sys/socket.h>
#include <unistd.h>

#include <spdlog/spdlog.h>

#include "vhost_user/fake_handler.hh"
#include "vhost_user/message_generator.hh"
#include "vhost_user/session.hh"

namespace {

using namespace sidecore;
using namespace sidecore::vhost_user;

[[noreturn]] void find(const char* what) {
    std::fprintf(stderr, "found: %s\n", what);
    std::abort();
}

/// The lowest free descriptor: the same before and after if nothing was leaked.
int lowest_free_descriptor() {
    const int fd = ::dup(STDERR_FILENO);
    ::close(fd);
    return fd;
}

void send_as_messages(std::span<const std::uint8_t> data, Connection& front_end) {
    std::size_t position = 0;
    vhost_user::testing::MessageGenerator generator(
        [&] { return position < data.size() ? data[position++] : std::uint8_t{0}; });
    generator.send_conversation(front_end);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
    spdlog::set_level(spdlog::level::off);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::span data(bytes, size);
    const int free_before = lowest_free_descriptor();
    vhost_user::testing::FakeHandler handler;
    {
        int pair[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
            find("no sockets");
        }
        Connection front_end{Fd(pair[0])};
        auto session = Session::create(Connection(Fd(pair[1])), handler, "fuzz");
        if (!session) {
            find("no session");
        }
        if (data[0] == 0xff) {
            static_cast<void>(::send(front_end.fd(), data.data() + 1, data.size() - 1, MSG_NOSIGNAL));
        } else {
            send_as_messages(data, front_end);
        }
        ::shutdown(front_end.fd(), SHUT_WR);
        static_cast<void>((*session)->run());
    }
    if (!handler.broken_promises.empty()) {
        find(handler.broken_promises.front().c_str());
    }
    if (handler.any_started()) {
        find("a vring is still started");
    }
    handler.channel.reset();
    if (lowest_free_descriptor() != free_before) {
        find("a leaked descriptor");
    }
    return 0;
}
