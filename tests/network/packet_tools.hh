// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <sys/uio.h>
#include <vector>

#include <gtest/gtest.h>

#include "base/error.hh"
#include "base/fd.hh"
#include "network/packet.hh"

namespace sidecore::network::test {

using Bytes = std::vector<std::byte>;
using Random = std::mt19937_64;

/// An Ethernet frame of `bytes`, 14 or more: to everybody, from 02:00:00:00:00:01, of the type that is free for experiments, which no
/// host answers, and with random contents.
Bytes make_packet(Random& random, std::size_t bytes);

/// Whether it is one of those, and not something that a host says of its own accord.
bool is_ours(std::span<const std::byte> packet);

/// A packet in memory, cut into that many pieces (fewer if it has not so many bytes), each allocated for itself.
class PacketBuffer {
public:
    explicit PacketBuffer(const Bytes& contents, std::size_t pieces = 1, const PacketInfo& info = {});
    Packet packet() const { return {info_, data_, bytes_}; }

    /// Overwrites the contents, as a guest may when it has its buffers back.
    void spoil();

private:
    PacketInfo info_;
    std::uint32_t bytes_;
    std::vector<std::unique_ptr<std::byte[]>> pieces_;
    std::vector<iovec> data_;
};

/// Where a packet of any length can be received, in that many pieces, each allocated for itself.
class Room {
public:
    explicit Room(std::size_t pieces = 1, std::size_t bytes = max_packet_bytes);
    std::span<const iovec> pieces() const { return data_; }
    Bytes first(std::size_t bytes) const;

private:
    std::vector<std::unique_ptr<std::byte[]>> pieces_;
    std::vector<iovec> data_;
};

/// Watches a descriptor as a worker does: in epoll, edge-triggered, and never reads it.
class EdgeWatch {
public:
    explicit EdgeWatch(int fd);

    /// Whether it has been signalled since the last call; waits for it so long.
    bool signalled(int timeout_ms = 20'000);

private:
    Fd epoll_;
};

template <typename T>
T must(Result<T> result) {
    if (!result) {
        ADD_FAILURE() << result.error().message;
        std::abort();
    }
    return std::move(*result);
}

}  // namespace sidecore::network::test
