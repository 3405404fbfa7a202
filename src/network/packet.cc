// SPDX-License-Identifier: Apache-2.0
#include "network/packet.hh"

namespace sidecore::network {

InfoFault check(const PacketInfo& info, std::uint32_t bytes) noexcept {
    constexpr unsigned known_flags = PacketInfo::flag_needs_checksum | PacketInfo::flag_data_valid;
    if ((info.flags & ~known_flags) != 0) {
        return InfoFault::unknown_flags;
    }
    constexpr std::uint32_t checksum_bytes = 2;
    if (info.needs_checksum() && std::uint32_t{info.checksum_start} + info.checksum_offset + checksum_bytes > bytes) {
        return InfoFault::checksum_outside;
    }
    switch (info.gso_type & ~unsigned{PacketInfo::gso_ecn}) {
        case PacketInfo::gso_none:
            return info.gso_type == PacketInfo::gso_none ? InfoFault::none : InfoFault::unknown_gso;
        case PacketInfo::gso_tcp4:
        case PacketInfo::gso_tcp6:
            break;
        case PacketInfo::gso_udp:
        case PacketInfo::gso_udp_l4:
            if ((info.gso_type & PacketInfo::gso_ecn) != 0) {
                return InfoFault::unknown_gso;
            }
            break;
        default:
            return InfoFault::unknown_gso;
    }
    if (info.segment_bytes == 0) {
        return InfoFault::no_segment_size;
    }
    return info.needs_checksum() ? InfoFault::none : InfoFault::no_checksum;
}

}  // namespace sidecore::network
