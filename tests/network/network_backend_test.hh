// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "network/kinds.hh"
#include "network/packet_tools.hh"

namespace sidecore::network::test {

/// A link of each kind, and its back-end's first pair.
class NetworkBackendTest : public testing::TestWithParam<Kind> {
protected:
    void SetUp() override {
        sender_ = must(link_.backend->open_sender(0));
        receiver_ = must(link_.backend->open_receiver(0));
    }

    bool send(const Bytes& contents, std::size_t pieces = 1, const PacketInfo& info = {}) {
        PacketBuffer buffer(contents, pieces, info);
        const Packet packet = buffer.packet();
        const bool done = sender_->send({&packet, 1}) == 1;
        buffer.spoil();
        return done;
    }

    /// The next packet of ours; empty if there is none.
    Bytes receive(std::size_t pieces = 1) {
        const Room room(pieces);
        for (;;) {
            Bytes packet = room.first(receiver_->receive(info_, room.pieces()));
            if (packet.empty() || is_ours(packet)) {
                return packet;
            }
        }
    }

    /// The same, as a worker does it: sleeps until one comes.
    Bytes wait_and_receive(EdgeWatch& watch, std::size_t pieces = 1) {
        for (;;) {
            Bytes packet = receive(pieces);
            if (!packet.empty()) {
                return packet;
            }
            if (receiver_->arm() && !watch.signalled()) {
                ADD_FAILURE() << "slept on";
                return {};
            }
        }
    }

    std::vector<std::size_t> lengths() const {
        std::vector<std::size_t> out{14, 15, 59, 60, 64, 100, 1499, 1514, 4096, 9000};
        if (GetParam().longest > 60'000) {
            out.push_back(65'535);
        }
        std::erase_if(out,
                      [](std::size_t bytes) { return bytes < GetParam().shortest || bytes >= GetParam().longest; });
        out.push_back(GetParam().longest);
        return out;
    }

    /// One by chance, less than `bound`.
    std::size_t length(std::size_t bound) {
        const std::size_t shortest = GetParam().shortest;
        return shortest + random_() % (std::min(bound, GetParam().longest) - shortest);
    }

    Link link_ = GetParam().open();
    Random random_{5};
    std::unique_ptr<PacketSender> sender_;
    std::unique_ptr<PacketReceiver> receiver_;
    PacketInfo info_;
};

}  // namespace sidecore::network::test
