// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/little_endian.hh"

/// The virtio network device as the driver sees it (VIRTIO 1.3, 5.1).
namespace sidecore::device::net {

/// Feature bits (5.1.3) and the ones of every device that matter here (6).
enum Feature : std::uint64_t {
    feature_csum = std::uint64_t{1} << 0U,
    feature_guest_csum = std::uint64_t{1} << 1U,
    feature_ctrl_guest_offloads = std::uint64_t{1} << 2U,
    feature_mtu = std::uint64_t{1} << 3U,
    feature_mac = std::uint64_t{1} << 5U,
    feature_guest_tso4 = std::uint64_t{1} << 7U,
    feature_guest_tso6 = std::uint64_t{1} << 8U,
    feature_guest_ecn = std::uint64_t{1} << 9U,
    feature_guest_ufo = std::uint64_t{1} << 10U,
    feature_host_tso4 = std::uint64_t{1} << 11U,
    feature_host_tso6 = std::uint64_t{1} << 12U,
    feature_host_ecn = std::uint64_t{1} << 13U,
    feature_host_ufo = std::uint64_t{1} << 14U,
    feature_mrg_rxbuf = std::uint64_t{1} << 15U,
    feature_status = std::uint64_t{1} << 16U,
    feature_ctrl_vq = std::uint64_t{1} << 17U,
    feature_ctrl_rx = std::uint64_t{1} << 18U,
    feature_ctrl_vlan = std::uint64_t{1} << 19U,
    feature_ctrl_rx_extra = std::uint64_t{1} << 20U,
    feature_guest_announce = std::uint64_t{1} << 21U,
    feature_mq = std::uint64_t{1} << 22U,
    feature_ctrl_mac_addr = std::uint64_t{1} << 23U,
    feature_indirect = std::uint64_t{1} << 28U,
    feature_event_index = std::uint64_t{1} << 29U,
    feature_version_1 = std::uint64_t{1} << 32U,
    feature_in_order = std::uint64_t{1} << 35U,
    feature_guest_uso4 = std::uint64_t{1} << 54U,
    feature_guest_uso6 = std::uint64_t{1} << 55U,
    feature_host_uso = std::uint64_t{1} << 56U,
    feature_speed_duplex = std::uint64_t{1} << 63U,
};

/// Configuration space (5.1.4) up to the fields of the features above.
struct Config {
    std::array<std::uint8_t, 6> mac;
    LittleEndian<std::uint16_t> status;
    LittleEndian<std::uint16_t> max_virtqueue_pairs;
    LittleEndian<std::uint16_t> mtu;
    LittleEndian<std::uint32_t> speed;  // in Mbit/s
    std::uint8_t duplex;

    static constexpr std::uint16_t status_link_up = 1;
    static constexpr std::uint16_t status_announce = 2;
    static constexpr std::uint32_t speed_unknown = 0xffff'ffff;
    static constexpr std::uint8_t duplex_full = 1;
    static constexpr std::uint8_t duplex_unknown = 0xff;
};
static_assert(offsetof(Config, status) == 6 && offsetof(Config, mtu) == 10 && offsetof(Config, speed) == 12);
static_assert(offsetof(Config, duplex) == 16);

/// In front of each packet (5.1.6). Without VERSION_1 and MRG_RXBUF the last field is not there.
struct Header {
    std::uint8_t flags = 0;
    std::uint8_t gso_type = 0;
    LittleEndian<std::uint16_t> header_bytes{};
    LittleEndian<std::uint16_t> segment_bytes{};
    LittleEndian<std::uint16_t> checksum_start{};
    LittleEndian<std::uint16_t> checksum_offset{};
    LittleEndian<std::uint16_t> num_buffers{};

    static constexpr std::size_t short_bytes = 10;
};
static_assert(sizeof(Header) == 12);

/// The control queue's commands (5.1.6.5).
enum class ControlClass : std::uint8_t { rx = 0, mac = 1, vlan = 2, announce = 3, mq = 4, guest_offloads = 5 };

enum class RxCommand : std::uint8_t {
    promiscuous = 0,
    all_multicast = 1,
    all_unicast = 2,
    no_multicast = 3,
    no_unicast = 4,
    no_broadcast = 5,
};
enum class MacCommand : std::uint8_t { table_set = 0, addr_set = 1 };
enum class VlanCommand : std::uint8_t { add = 0, del = 1 };

inline constexpr std::uint8_t announce_ack = 0;
inline constexpr std::uint8_t mq_pairs_set = 0;
inline constexpr std::uint16_t mq_pairs_max = 0x8000;
inline constexpr std::uint8_t guest_offloads_set = 0;

enum class Acknowledgement : std::uint8_t { ok = 0, error = 1 };

}  // namespace sidecore::device::net
