// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vhost_user/connection.hh"
#include "vhost_user/fake_handler.hh"
#include "vhost_user/session.hh"

namespace sidecore::vhost_user::testing {

inline std::pair<Fd, Fd> socket_pair() {
    std::array<int, 2> fds{-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    return {Fd(fds[0]), Fd(fds[1])};
}

inline Fd memory_file(std::uint64_t size) {
    Fd file(::memfd_create("guest", MFD_CLOEXEC));
    EXPECT_TRUE(file.valid());
    EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
    return file;
}

inline Fd eventfd() {
    auto fd = make_eventfd();
    EXPECT_TRUE(fd);
    return fd ? std::move(*fd) : Fd();
}

inline std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        ++count;
    }
    return count;
}

/// A conversation in two steps, both in the test's own thread: the front-end's messages are queued in the socket, then
/// the session runs until it has read them all; what it answered is read afterwards. So there is no race in the test.
class SessionScript : public ::testing::Test {
public:
    static constexpr std::uint64_t memory_size = 1 << 20;
    static constexpr std::uint64_t user_base = 0x7f00'0000'0000;
    static constexpr std::uint64_t virtio_features = 0x1'3000'0000;
    static constexpr std::uint32_t need_reply = header_flags::need_reply;

    SessionScript() : SessionScript(4) {}
    explicit SessionScript(std::uint16_t queues) : handler(queues) {
        auto [front_end, back_end] = socket_pair();
        connection_.emplace(std::move(front_end));
        auto created = Session::create(Connection(std::move(back_end)), handler, "test");
        EXPECT_TRUE(created);
        session = std::move(*created);
    }
    ~SessionScript() override { EXPECT_THAT(handler.broken_promises, ::testing::IsEmpty()); }

    FakeHandler handler;
    std::unique_ptr<Session> session;
    Fd memory = memory_file(memory_size);

    Connection& front_end() { return *connection_; }

    void send_bytes(Request request, std::span<const std::byte> payload, const std::vector<int>& fds = {},
                    std::uint32_t flags = 0) {
        ASSERT_TRUE(connection_->send(make_header(request, payload.size(), flags), payload, fds));
    }
    template <WirePayload T>
    void send(Request request, const T& payload, const std::vector<int>& fds = {}, std::uint32_t flags = 0) {
        send_bytes(request, payload_bytes(payload), fds, flags);
    }
    void send(Request request, std::uint32_t flags = 0) { send_bytes(request, {}, {}, flags); }
    void send_u64(Request request, std::uint64_t value, std::uint32_t flags = 0) { send(request, value, {}, flags); }

    /// The session reads all that was sent and then sees the front-end stop.
    Result<void> run() {
        ::shutdown(connection_->fd(), SHUT_WR);
        return session->run();
    }

    /// What the session has sent, after run(). Ends the session.
    std::vector<Message> replies() {
        session.reset();
        std::vector<Message> all;
        for (;;) {
            auto message = connection_->receive();
            if (!message) {
                EXPECT_EQ(message.error().kind, ErrorKind::closed) << message.error().message;
                return all;
            }
            all.push_back(std::move(*message));
        }
    }

    /// The u64 of each reply, which must be one.
    std::vector<std::uint64_t> reply_values() {
        std::vector<std::uint64_t> values;
        for (const Message& message : replies()) {
            EXPECT_EQ(message.payload.size(), sizeof(std::uint64_t)) << describe_request(message.header.request);
            EXPECT_EQ(message.header.flags, header_flags::version | header_flags::reply);
            values.push_back(message.payload.size() == sizeof(std::uint64_t)
                                 ? read_payload<std::uint64_t>(message.payload)
                                 : ~std::uint64_t{0});
        }
        return values;
    }

    void negotiate(std::uint64_t protocol_features = Session::offered_protocol_features) {
        send_u64(Request::set_protocol_features, protocol_features);
        send_u64(Request::set_features, virtio_features | protocol_features_mask);
    }

    MemoryRegion region() const { return {0, memory_size, user_base, 0}; }

    std::vector<std::byte> table(const std::vector<MemoryRegion>& regions) {
        std::vector<std::byte> payload;
        append_payload(payload, MemoryTableHeader{static_cast<std::uint32_t>(regions.size()), 0});
        for (const MemoryRegion& region : regions) {
            append_payload(payload, region);
        }
        return payload;
    }

    void send_memory(std::uint32_t flags = 0) {
        send_bytes(Request::set_mem_table, table({region()}), {memory.get()}, flags);
    }

    /// Vring `index` in its own 64 KiB of the memory.
    VringAddr addresses(std::uint32_t index) const {
        const std::uint64_t base = user_base + std::uint64_t{0x10000} * index;
        return {index, 0, base, base + 0x8000, base + 0x4000, 0};
    }

    void send_setup(std::uint32_t index, std::uint32_t size = 256, std::uint32_t base = 0) {
        send(Request::set_vring_num, VringState{index, size});
        send(Request::set_vring_base, VringState{index, base});
        send(Request::set_vring_addr, addresses(index));
    }

    void send_fd(Request request, std::uint32_t index, std::uint32_t flags = 0) {
        const Fd fd = eventfd();
        send(request, std::uint64_t{index}, {fd.get()}, flags);
    }
    void send_no_fd(Request request, std::uint32_t index) { send_u64(request, index | vring_fd::no_fd); }

    /// Memory and a vring that runs.
    void send_started(std::uint32_t index = 0) {
        send_memory();
        send_setup(index);
        send_fd(Request::set_vring_kick, index);
    }

    void expect_violation(const std::string& text) {
        const Result<void> result = run();
        ASSERT_FALSE(result) << "expected: " << text;
        EXPECT_EQ(result.error().kind, ErrorKind::protocol_violation) << result.error().message;
        EXPECT_THAT(result.error().message, ::testing::HasSubstr(text));
        EXPECT_FALSE(handler.any_started());
    }

private:
    std::optional<Connection> connection_;
};

}  // namespace sidecore::vhost_user::testing
