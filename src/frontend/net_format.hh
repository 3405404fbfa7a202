// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/little_endian.hh"
#include "frontend/split_ring.hh"

// virtio-net as VIRTIO 5.1 has it, from the driver's side.

namespace sidecore::frontend {

// Feature bits (5.1.3). GUEST_x: what the driver takes; HOST_x: what the device takes.
inline constexpr unsigned net_feature_csum = 0;
inline constexpr unsigned net_feature_guest_csum = 1;
inline constexpr unsigned net_feature_ctrl_guest_offloads = 2;
inline constexpr unsigned net_feature_mtu = 3;
inline constexpr unsigned net_feature_mac = 5;
inline constexpr unsigned net_feature_guest_tso4 = 7;
inline constexpr unsigned net_feature_guest_tso6 = 8;
inline constexpr unsigned net_feature_guest_ecn = 9;
inline constexpr unsigned net_feature_guest_ufo = 10;
inline constexpr unsigned net_feature_host_tso4 = 11;
inline constexpr unsigned net_feature_host_tso6 = 12;
inline constexpr unsigned net_feature_host_ecn = 13;
inline constexpr unsigned net_feature_host_ufo = 14;
inline constexpr unsigned net_feature_mrg_rxbuf = 15;
inline constexpr unsigned net_feature_status = 16;
inline constexpr unsigned net_feature_ctrl_vq = 17;
inline constexpr unsigned net_feature_ctrl_rx = 18;
inline constexpr unsigned net_feature_ctrl_vlan = 19;
inline constexpr unsigned net_feature_ctrl_rx_extra = 20;
inline constexpr unsigned net_feature_guest_announce = 21;
inline constexpr unsigned net_feature_mq = 22;
inline constexpr unsigned net_feature_ctrl_mac_addr = 23;
inline constexpr unsigned net_feature_guest_uso4 = 54;
inline constexpr unsigned net_feature_guest_uso6 = 55;
inline constexpr unsigned net_feature_host_uso = 56;
inline constexpr unsigned net_feature_guest_hdrlen = 59;
inline constexpr unsigned net_feature_speed_duplex = 63;

template <typename... Bits>
constexpr std::uint64_t net_features(Bits... bits) noexcept {
    return (std::uint64_t{0} | ... | feature_mask(bits));
}

/// All of the above, and what the split ring of this folder can do.
inline constexpr std::uint64_t net_default_features =
    net_features(net_feature_csum, net_feature_guest_csum, net_feature_ctrl_guest_offloads, net_feature_mtu,
                 net_feature_mac, net_feature_guest_tso4, net_feature_guest_tso6, net_feature_guest_ecn,
                 net_feature_guest_ufo, net_feature_host_tso4, net_feature_host_tso6, net_feature_host_ecn,
                 net_feature_host_ufo, net_feature_mrg_rxbuf, net_feature_status, net_feature_ctrl_vq,
                 net_feature_ctrl_rx, net_feature_ctrl_vlan, net_feature_ctrl_rx_extra, net_feature_guest_announce,
                 net_feature_mq, net_feature_ctrl_mac_addr, net_feature_guest_uso4, net_feature_guest_uso6,
                 net_feature_host_uso, net_feature_guest_hdrlen, net_feature_speed_duplex) |
    net_features(feature_indirect, feature_event_index, feature_version_1);

/// Features that let the driver get packets beyond its link's length.
inline constexpr std::uint64_t net_guest_segmentation =
    net_features(net_feature_guest_tso4, net_feature_guest_tso6, net_feature_guest_ufo, net_feature_guest_uso4,
                 net_feature_guest_uso6);

/// `features` without those whose requirements (5.1.3.1) are not among them. MQ stays without CTRL_VQ: a VMM that
/// answers the control queue itself shows its back-end just that.
std::uint64_t net_without_orphans(std::uint64_t features) noexcept;

/// What each packet starts with (5.1.6). A legacy driver without MRG_RXBUF has it without `buffers`.
struct NetHeader {
    static constexpr std::uint8_t flag_needs_csum = 1;
    static constexpr std::uint8_t flag_data_valid = 2;
    static constexpr std::uint8_t flag_rsc_info = 4;
    static constexpr std::uint8_t gso_none = 0;
    static constexpr std::uint8_t gso_tcp4 = 1;
    static constexpr std::uint8_t gso_udp = 3;
    static constexpr std::uint8_t gso_tcp6 = 4;
    static constexpr std::uint8_t gso_udp_l4 = 5;
    static constexpr std::uint8_t gso_ecn = 0x80;  ///< added

    std::uint8_t flags = 0;
    std::uint8_t gso_type = gso_none;
    LittleEndian<std::uint16_t> header_length{};  ///< hdr_len
    LittleEndian<std::uint16_t> gso_size{};
    LittleEndian<std::uint16_t> csum_start{};
    LittleEndian<std::uint16_t> csum_offset{};
    LittleEndian<std::uint16_t> buffers{};  ///< num_buffers; 0 in what is sent
};
static_assert(sizeof(NetHeader) == 12 && offsetof(NetHeader, buffers) == 10);

/// Bytes of a NetHeader that are there with these features: 12 or 10.
constexpr std::uint32_t net_header_bytes(std::uint64_t features) noexcept {
    return (features & net_features(feature_version_1, net_feature_mrg_rxbuf)) != 0 ? 12 : 10;
}

/// Smallest buffer, header included, that every packet fits into if buffers are not merged (5.1.6.3.1): 65601 bytes
/// where packets beyond the link's length may come, else 1526.
std::uint32_t net_receive_bytes(std::uint64_t features) noexcept;

/// What a device must not have put into the header of a packet for us (5.1.6.4.1), but for num_buffers, in words; empty: nothing.
std::string net_header_violation(const NetHeader& header, std::uint64_t features);

/// The configuration space up to `duplex` (5.1.4). Which fields exist depends on the features.
struct NetConfig {
    static constexpr std::uint16_t link_up = 1;
    static constexpr std::uint16_t announce = 2;

    std::array<std::uint8_t, 6> mac{};
    LittleEndian<std::uint16_t> status{};
    LittleEndian<std::uint16_t> max_virtqueue_pairs{};
    LittleEndian<std::uint16_t> mtu{};
    LittleEndian<std::uint32_t> speed{};  ///< Mbit/s
    std::uint8_t duplex = 0;
    std::array<std::uint8_t, 3> unused{};  ///< of the struct; nobody is asked for it
};
static_assert(sizeof(NetConfig) == 20 && offsetof(NetConfig, max_virtqueue_pairs) == 8 &&
              offsetof(NetConfig, mtu) == 10 && offsetof(NetConfig, speed) == 12 && offsetof(NetConfig, duplex) == 16);

inline constexpr std::uint32_t net_config_bytes = 17;  ///< of NetConfig, as they are asked for
inline constexpr std::uint16_t net_max_pairs = 0x8000;

/// Classes of the control queue (5.1.6.5), and the commands of each.
enum class NetClass : std::uint8_t { rx = 0, mac = 1, vlan = 2, announce = 3, mq = 4, guest_offloads = 5 };

inline constexpr std::uint8_t net_rx_promiscuous = 0;
inline constexpr std::uint8_t net_rx_all_multicast = 1;
inline constexpr std::uint8_t net_rx_all_unicast = 2;
inline constexpr std::uint8_t net_rx_no_multicast = 3;
inline constexpr std::uint8_t net_rx_no_unicast = 4;
inline constexpr std::uint8_t net_rx_no_broadcast = 5;
inline constexpr std::uint8_t net_mac_table_set = 0;
inline constexpr std::uint8_t net_mac_addr_set = 1;
inline constexpr std::uint8_t net_vlan_add = 0;
inline constexpr std::uint8_t net_vlan_delete = 1;
inline constexpr std::uint8_t net_announce_ack = 0;
inline constexpr std::uint8_t net_mq_pairs_set = 0;
inline constexpr std::uint8_t net_guest_offloads_set = 0;

inline constexpr std::uint8_t net_ack_ok = 0;
inline constexpr std::uint8_t net_ack_error = 1;
inline constexpr std::uint8_t net_ack_not_written = 0xff;  ///< what the driver puts there before

}  // namespace sidecore::frontend
