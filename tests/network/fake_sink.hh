// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "network/frames.hh"
#include "network/network_backend.hh"
#include "network/packet_tools.hh"

namespace sidecore::network::test {

/// A guest's buffers: room for so many frames.
class FakeSink final : public PacketSink {
public:
    bool deliver(const Packet& packet) noexcept override {
        if (room == 0) {
            return false;
        }
        --room;
        frames.push_back(bytes_of(packet));
        infos.push_back(packet.info);
        shown = false;
        return true;
    }
    void flush() noexcept override {
        shown = true;
        ++flushes;
    }

    std::size_t room = 1000;
    std::vector<Bytes> frames;
    std::vector<PacketInfo> infos;
    bool shown = true;
    int flushes = 0;
};

}  // namespace sidecore::network::test
