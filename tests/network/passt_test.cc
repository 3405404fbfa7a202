// SPDX-License-Identifier: Apache-2.0
// Against a peer that others have written: passt, which is a whole network to whoever connects to it.
#include <array>
#include <csignal>
#include <cstring>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "engine/wait.hh"
#include "network/packet_tools.hh"
#include "network/stream_backend.hh"
#include "network/stream_peer.hh"

namespace sidecore::network::test {
namespace {

/// The programs of that name; none on a machine that does not have it, so that there is no test then.
std::vector<std::string> installed(const std::string& name) {
    std::vector<std::string> found;
    for (const char* folder : {"/usr/bin/", "/usr/local/bin/"}) {
        if (::access((folder + name).c_str(), X_OK) == 0) {
            found.push_back(folder + name);
            break;
        }
    }
    return found;
}

/// A child, gone at the end.
class Program {
public:
    explicit Program(std::vector<std::string> arguments) {
        std::vector<char*> pointers;
        for (std::string& argument : arguments) {
            pointers.push_back(argument.data());
        }
        pointers.push_back(nullptr);
        const pid_t parent = ::getpid();
        child_ = ::fork();
        if (child_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() == parent) {
                ::execv(pointers[0], pointers.data());
            }
            ::_exit(127);
        }
        EXPECT_GT(child_, 0);
    }
    ~Program() {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

private:
    pid_t child_ = -1;
};

constexpr std::array<std::uint8_t, 6> host_mac{2, 0, 0, 0, 0, 2};

/// RFC 826: who has 10.0.2.2, asked by 10.0.2.15 at 02:00:00:00:00:01.
constexpr std::array<std::uint8_t, 42> question{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,  1, 8, 6,
                                                0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,  0, 0, 1,
                                                10,   0,    2,    15,   0,    0,    0, 0, 0, 0, 10, 0, 2, 2};

class PasstTest : public testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PasstTest);

TEST_P(PasstTest, AnswersWhoHasAnAddress) {
    const TemporaryDirectory directory;
    const std::string path = directory / "socket";
    const Program passt({GetParam(), "--foreground", "--quiet", "--ipv4-only", "--socket", path, "--interface", "lo",
                         "--address", "10.0.2.15", "--netmask", "24", "--gateway", "10.0.2.2", "--mac-addr",
                         "02:00:00:00:00:02", "--runas", std::to_string(::getuid())});
    StreamOptions options;
    options.path = path;
    options.reconnect_ms = 5;
    const auto backend = must(StreamBackend::create(options));
    const auto sender = must(backend->open_sender(0));
    const auto receiver = must(backend->open_receiver(0));
    EdgeWatch watch(receiver->packet_fd());
    Bytes contents(question.size());
    std::memcpy(contents.data(), question.data(), question.size());
    const PacketBuffer buffer(contents, 3);
    const Packet packet = buffer.packet();
    ASSERT_TRUE(eventually([&] {
        const std::uint64_t before = sender->dropped();
        return sender->send({&packet, 1}) == 1 && sender->dropped() == before;
    })) << "it does not listen";

    const Room room;
    PacketInfo info;
    std::uint32_t bytes = 0;
    while ((bytes = receiver->receive(info, room.pieces())) == 0) {
        ASSERT_TRUE(!receiver->arm() || watch.signalled()) << "no answer";
    }
    const Bytes answer = room.first(bytes);
    ASSERT_GE(answer.size(), question.size());
    constexpr std::size_t operation_at = 21;
    constexpr std::size_t sender_at = 22;
    EXPECT_EQ(std::memcmp(answer.data(), question.data() + 6, 6), 0) << "to us";
    EXPECT_EQ(answer[operation_at], std::byte{2}) << "a reply";
    EXPECT_EQ(std::memcmp(answer.data() + sender_at, host_mac.data(), host_mac.size()), 0);
    EXPECT_EQ(std::memcmp(answer.data() + sender_at + 6, question.data() + 38, 4), 0) << "of the address in question";
}

INSTANTIATE_TEST_SUITE_P(Installed, PasstTest, testing::ValuesIn(installed("passt")),
                         [](const auto&) { return "passt"; });

}  // namespace
}  // namespace sidecore::network::test
