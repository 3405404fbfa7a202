// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.hh"
#include "network/packet_tools.hh"

namespace sidecore::network::test {

/// A directory of its own, gone with all that is in it at the end.
class TemporaryDirectory {
public:
    TemporaryDirectory();
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

private:
    std::string path_;
};

/// A listening UNIX socket.
Fd listen_on(const std::string& path);

/// The other end of a stream: speaks the protocol, or does not. It waits, as a process of its own would.
class StreamPeer {
public:
    /// Both wait for the other side.
    static StreamPeer connect(const std::string& path);
    static StreamPeer accept(int listener);

    void put(const Bytes& packet) { write(frame(packet)); }

    /// The next packet; empty: none came in time, or the connection has ended.
    Bytes take(int timeout_ms = 20'000);

    /// Any bytes.
    void write(std::span<const std::byte> bytes);

    /// A packet behind its length.
    static Bytes frame(const Bytes& packet);

    /// Waits until the other side has ended the connection, whatever it sends before. False: it does not.
    bool ends();

private:
    explicit StreamPeer(Fd fd) : fd_(std::move(fd)) {}
    bool read(std::span<std::byte> room, int timeout_ms);

    Fd fd_;
};

}  // namespace sidecore::network::test
