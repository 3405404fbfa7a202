// SPDX-License-Identifier: Apache-2.0
// `sidecore capture`, against a server with made-up packets.

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.hh"
#include "capture/pcapng.hh"
#include "cli/run_program.hh"
#include "daemon/control_server.hh"
#include "daemon/fake_service.hh"
#include "daemon/guest.hh"
#include "daemon/scratch_folder.hh"

namespace sidecore::cli {
namespace {

namespace pcapng = capture::pcapng;
using capture::Direction;
using test::eventually;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class CaptureCommand : public ::testing::Test {
protected:
    std::unique_ptr<test::Program> start(std::vector<std::string> words) {
        words.insert(words.begin(), {SIDECORE_PROGRAM, "capture"});
        return run(std::move(words));
    }
    std::unique_ptr<test::Program> run(std::vector<std::string> words) {
        return std::make_unique<test::Program>(
            std::move(words), "", -1, std::vector<std::pair<std::string, std::string>>{{"SIDECORE_SOCKET", socket_}});
    }
    static bool begun(test::Program& program) { return program.wait_for_error_output("capturing the packets of"); }

    void pass(int count, Direction direction = Direction::in) {
        for (int i = 0; i < count; ++i) {
            service_.pass(100, std::byte{0x55}, direction);
        }
    }
    /// Packets in a file that consists of whole blocks; none if it does not.
    static std::optional<std::size_t> packets_in(const std::string& path) {
        std::ifstream file(path, std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        std::size_t packets = 0;
        std::size_t whole = 0;
        pcapng::BlockCutter cutter;
        const auto cut = cutter.feed(std::as_bytes(std::span(text)), [&](const pcapng::Block& block) {
            packets += block.type == pcapng::BlockType::enhanced_packet ? 1 : 0;
            whole += block.bytes.size();
            return true;
        });
        return cut && whole == text.size() ? std::optional(packets) : std::nullopt;
    }
    bool captures_end() {
        return eventually([this] { return !service_.captures().active(); });
    }

    test::ScratchFolder folder_;
    const std::string socket_ = folder_ / "control.sock";
    const std::string file_ = folder_ / "packets.pcapng";
    test::FakeService service_;
    std::unique_ptr<daemon::ControlServer> server_ =
        daemon::ControlServer::create({socket_, 0600, ""}, service_).value();
};

TEST_F(CaptureCommand, WritesAFileThatIsValidAllTheTime) {
    const auto program = start({"disk0", "-w", file_});
    ASSERT_TRUE(begun(*program));
    pass(3);
    EXPECT_TRUE(eventually([&] { return packets_in(file_) == 3U; }));
    pass(2);
    EXPECT_TRUE(eventually([&] { return packets_in(file_) == 5U; }));
    program->send(SIGINT);
    const auto ended = program->wait();
    EXPECT_EQ(ended.status, 0);
    EXPECT_THAT(ended.err, EndsWith("5 packets captured\n0 packets dropped by the capture\n"));
    EXPECT_EQ(ended.out, "");
    EXPECT_EQ(packets_in(file_), 5U);
    struct stat status {};
    ASSERT_EQ(::stat(file_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    EXPECT_TRUE(captures_end());
}

TEST_F(CaptureCommand, TcpdumpReadsIt) {
    const auto program = start({"disk0", "--write", file_, "--snaplen", "60", "--count", "2"});
    ASSERT_TRUE(begun(*program));
    // Ethernet, IPv4 from 10.0.0.1 to 10.0.0.2, UDP from 1000 to 2000.
    const std::string packet(
        "\x52\x54\0\0\0\2\x52\x54\0\0\0\1\x08\0"
        "\x45\0\0\x24\0\0\0\0\x40\x11\x66\xc7\x0a\0\0\1\x0a\0\0\2"
        "\x03\xe8\x07\xd0\0\x10\0\0"
        "payload!",
        50);
    const auto bytes = std::as_bytes(std::span(packet));
    const iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
    const network::Packet packets[]{{{}, {&piece, 1}, static_cast<std::uint32_t>(bytes.size())}};
    service_.captures().take(Direction::out, 1, 1'700'000'000'123'456'789, packets);
    pass(10);
    ASSERT_EQ(program->wait().status, 0);

    const auto shown = run({"/usr/bin/tcpdump", "--nano", "-ttnr", file_})->wait();
    EXPECT_EQ(shown.status, 0) << shown.err;
    EXPECT_THAT(shown.err, HasSubstr("link-type EN10MB (Ethernet), snapshot length 60"));
    EXPECT_THAT(shown.out, StartsWith("1700000000.123456789 IP 10.0.0.1.1000 > 10.0.0.2.2000: UDP, length 8\n"));
    EXPECT_EQ(packets_in(file_), 2U);
}

TEST_F(CaptureCommand, StandardOutputCanBeRead) {
    const auto program = start({"disk0", "-w", "-", "-c", "3", "-Q", "in"});
    ASSERT_TRUE(begun(*program));
    pass(5, Direction::out);
    pass(5);
    const auto ended = program->wait();
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("3 packets captured\n"));
    std::ofstream(file_, std::ios::binary) << ended.out;
    EXPECT_EQ(packets_in(file_), 3U);
    EXPECT_THAT(service_.log(), ::testing::ElementsAre("capture disk0 ?direction=in"));
}

TEST_F(CaptureCommand, EndsWhenTheReaderOfStandardOutputIsGone) {
    const auto program = run({"/bin/sh", "-c", fmt::format("{} capture disk0 -w - | head -c 1", SIDECORE_PROGRAM)});
    const auto ended = program->wait();
    EXPECT_THAT(ended.err, HasSubstr("0 packets captured\n")) << "though no packet has passed";
    EXPECT_TRUE(captures_end());
}

TEST_F(CaptureCommand, EndsAfterATime) {
    const auto ended = start({"disk0", "-w", file_, "--seconds", "0.05"})->wait();
    EXPECT_EQ(ended.status, 0);
    EXPECT_THAT(ended.err, HasSubstr("0 packets captured\n"));
    EXPECT_EQ(packets_in(file_), 0U);
}

TEST_F(CaptureCommand, ReplacesAnOldFileOnceTheCaptureHasBegun) {
    std::ofstream(file_) << std::string(10'000, 'x');
    EXPECT_EQ(start({"none", "-w", file_})->wait().status, 1);
    EXPECT_EQ(std::filesystem::file_size(file_), 10'000U);
    EXPECT_EQ(start({"disk0", "-w", file_, "--seconds", "0.01"})->wait().status, 0);
    EXPECT_EQ(packets_in(file_), 0U);
}

TEST_F(CaptureCommand, ItsDeathEndsTheCapture) {
    const auto program = start({"disk0", "-w", file_});
    ASSERT_TRUE(begun(*program));
    pass(1);
    EXPECT_TRUE(eventually([&] { return packets_in(file_) == 1U; }));
    EXPECT_TRUE(service_.captures().active());
    program->send(SIGKILL);
    EXPECT_TRUE(captures_end());
    EXPECT_EQ(program->wait().status, -1);
}

TEST_F(CaptureCommand, TheEndOfDeviceOrDaemonIsItsEnd) {
    const auto first = start({"disk0", "-w", file_});
    ASSERT_TRUE(begun(*first));
    pass(4);
    server_.reset();
    auto ended = first->wait();
    EXPECT_EQ(ended.status, 0);
    EXPECT_THAT(ended.err, HasSubstr("the capture has ended: the device is removed, or the daemon stops\n"));
    EXPECT_TRUE(packets_in(file_).has_value());

    server_ = daemon::ControlServer::create({socket_, 0600, ""}, service_).value();
    const auto second = start({"disk0", "-w", file_});
    ASSERT_TRUE(begun(*second));
    pass(4);
    service_.captures().end();
    ended = second->wait();
    EXPECT_EQ(ended.status, 0);
    EXPECT_THAT(ended.err, HasSubstr("4 packets captured\n0 packets dropped by the capture\n"));
    EXPECT_EQ(packets_in(file_), 4U);
}

TEST_F(CaptureCommand, DropsAreTold) {
    const auto program = start({"disk0", "-w", file_});
    ASSERT_TRUE(begun(*program));
    program->send(SIGSTOP);
    pass(20'000);
    program->send(SIGCONT);
    EXPECT_TRUE(eventually([&] {
        pass(1);  // the file ends with what came after
        const auto packets = packets_in(file_);
        return packets && *packets > 100;
    }));
    service_.captures().end();
    const auto ended = program->wait();
    EXPECT_EQ(ended.status, 0);
    EXPECT_THAT(ended.err, AllOf(HasSubstr(" packets captured\n"), ::testing::Not(HasSubstr("\n0 packets dropped"))));
}

TEST_F(CaptureCommand, FailuresAreErrors) {
    const auto fails = [this](std::vector<std::string> words, int status, const std::string& message) {
        const auto ended = start(std::move(words))->wait();
        EXPECT_EQ(ended.status, status);
        EXPECT_THAT(ended.err, AllOf(StartsWith("sidecore: "), HasSubstr(message)));
    };
    fails({"none", "-w", file_}, 1, "there is no device \"none\"");
    fails({"../policy", "-w", file_}, 1, "there is no device \"../policy\"");
    fails({"disk0", "-w", folder_ / "none/file"}, 1, "No such file or directory");
    fails({"disk0", "-w", "/dev/full"}, 1, "No space left on device");
    fails({"disk0", "-w", file_, "--snaplen", "5"}, 2, "snaplen");
    fails({"disk0", "-w", file_, "--direction", "up"}, 2, "direction");
    EXPECT_EQ(start({"disk0"})->wait().status, 2);
    EXPECT_TRUE(captures_end());
    service_.fail_with(Error{ErrorKind::unsupported, "disk0: a blk device has no packets", 0});
    fails({"disk0", "-w", file_}, 1, "a blk device has no packets");
    server_.reset();
    fails({"disk0", "-w", file_}, 1, "control.sock");
}

}  // namespace
}  // namespace sidecore::cli
