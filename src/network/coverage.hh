// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "network/packet.hh"

namespace sidecore::network {

/// The offloads that a link's other end has accepted, where every packet can be held against them.
///
/// Thread: set() by the control thread, covers() by any.
class Coverage {
public:
    void set(const Offloads& offloads) noexcept {
        accepted_.store(static_cast<std::uint8_t>((offloads.checksum ? checksum : 0U) | (offloads.tso4 ? tso4 : 0U) |
                                                  (offloads.tso6 ? tso6 : 0U) | (offloads.ecn ? ecn : 0U) |
                                                  (offloads.ufo ? ufo : 0U) | (offloads.uso ? uso : 0U)),
                        std::memory_order_relaxed);
    }

    /// Whether a packet with this info may be handed over as it is. One that check() refuses is not covered by anything.
    bool covers(const PacketInfo& info) const noexcept {
        const unsigned needed = needed_for(info);
        return (needed & ~unsigned{accepted_.load(std::memory_order_relaxed)}) == 0;
    }

private:
    static constexpr unsigned checksum = 1;
    static constexpr unsigned tso4 = 2;
    static constexpr unsigned tso6 = 4;
    static constexpr unsigned ecn = 8;
    static constexpr unsigned ufo = 16;
    static constexpr unsigned uso = 32;
    static constexpr unsigned unknown = 64;  // never accepted

    static unsigned needed_for(const PacketInfo& info) noexcept {
        const unsigned basic = info.flags != 0 ? checksum : 0U;  // VIRTIO 1.3, 5.1.6.4.1: DATA_VALID, too
        const unsigned with_ecn = (info.gso_type & PacketInfo::gso_ecn) != 0 ? ecn : 0U;
        switch (info.gso_type & ~unsigned{PacketInfo::gso_ecn}) {
            case PacketInfo::gso_none:
                return basic | with_ecn;
            case PacketInfo::gso_tcp4:
                return basic | with_ecn | tso4;
            case PacketInfo::gso_tcp6:
                return basic | with_ecn | tso6;
            case PacketInfo::gso_udp:
                return basic | ufo;
            case PacketInfo::gso_udp_l4:
                return basic | uso;
            default:
                return unknown;
        }
    }

    std::atomic<std::uint8_t> accepted_{0};
};

/// Whether every offload of `part` is in `whole`.
inline bool within(const Offloads& part, const Offloads& whole) noexcept {
    return part.checksum <= whole.checksum && part.tso4 <= whole.tso4 && part.tso6 <= whole.tso6 &&
           part.ecn <= whole.ecn && part.ufo <= whole.ufo && part.uso <= whole.uso;
}

/// Whether they can go together: all but the checksum need the checksum.
inline bool consistent(const Offloads& offloads) noexcept {
    return offloads.checksum || offloads == Offloads{};
}

}  // namespace sidecore::network
