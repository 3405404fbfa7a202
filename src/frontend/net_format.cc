// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_format.hh"

#include "base/format.hh"

namespace sidecore::frontend {

namespace {

/// A feature and those of which it needs one.
struct Requirement {
    unsigned feature;
    std::uint64_t one_of;
};

// In an order in which what is needed stands before what needs it.
constexpr std::array requirements{
    Requirement{net_feature_guest_tso4, net_features(net_feature_guest_csum)},
    Requirement{net_feature_guest_tso6, net_features(net_feature_guest_csum)},
    Requirement{net_feature_guest_ecn, net_features(net_feature_guest_tso4, net_feature_guest_tso6)},
    Requirement{net_feature_guest_ufo, net_features(net_feature_guest_csum)},
    Requirement{net_feature_guest_uso4, net_features(net_feature_guest_csum)},
    Requirement{net_feature_guest_uso6, net_features(net_feature_guest_csum)},
    Requirement{net_feature_host_tso4, net_features(net_feature_csum)},
    Requirement{net_feature_host_tso6, net_features(net_feature_csum)},
    Requirement{net_feature_host_ecn, net_features(net_feature_host_tso4, net_feature_host_tso6)},
    Requirement{net_feature_host_ufo, net_features(net_feature_csum)},
    Requirement{net_feature_host_uso, net_features(net_feature_csum)},
    Requirement{net_feature_ctrl_guest_offloads, net_features(net_feature_ctrl_vq)},
    Requirement{net_feature_ctrl_rx, net_features(net_feature_ctrl_vq)},
    Requirement{net_feature_ctrl_vlan, net_features(net_feature_ctrl_vq)},
    Requirement{net_feature_ctrl_rx_extra, net_features(net_feature_ctrl_vq)},
    Requirement{net_feature_guest_announce, net_features(net_feature_ctrl_vq)},
    Requirement{net_feature_ctrl_mac_addr, net_features(net_feature_ctrl_vq)},
};

/// The features of which one has to be negotiated for a segmentation type; 0: there is no such type.
std::uint64_t allowing(std::uint8_t gso_type) noexcept {
    switch (gso_type) {
        case NetHeader::gso_tcp4:
            return net_features(net_feature_guest_tso4);
        case NetHeader::gso_tcp6:
            return net_features(net_feature_guest_tso6);
        case NetHeader::gso_udp:
            return net_features(net_feature_guest_ufo);
        case NetHeader::gso_udp_l4:
            return net_features(net_feature_guest_uso4, net_feature_guest_uso6);
        default:
            return 0;
    }
}

}  // namespace

std::uint64_t net_without_orphans(std::uint64_t features) noexcept {
    for (const Requirement& requirement : requirements) {
        if ((features & requirement.one_of) == 0) {
            features &= ~feature_mask(requirement.feature);
        }
    }
    return features;
}

std::uint32_t net_receive_bytes(std::uint64_t features) noexcept {
    return (features & net_guest_segmentation) != 0 ? 65601 : 1526;
}

std::string net_header_violation(const NetHeader& header, std::uint64_t features) {
    if (header.flags != 0 && (features & feature_mask(net_feature_guest_csum)) == 0) {
        return fmt::format("the header's flags are {:#x} without GUEST_CSUM", header.flags);
    }
    if ((header.flags & NetHeader::flag_rsc_info) != 0) {
        return "the header has RSC_INFO, which was not negotiated";
    }
    if (header.gso_type == NetHeader::gso_none) {
        return {};
    }
    if ((allowing(static_cast<std::uint8_t>(header.gso_type & ~unsigned{NetHeader::gso_ecn})) & features) == 0) {
        return fmt::format("segmentation type {:#x} was not negotiated", header.gso_type);
    }
    if ((header.gso_type & NetHeader::gso_ecn) != 0 && (features & feature_mask(net_feature_guest_ecn)) == 0) {
        return "the header has ECN without GUEST_ECN";
    }
    if ((header.flags & NetHeader::flag_needs_csum) == 0) {
        return "segmentation without NEEDS_CSUM";
    }
    if (header.gso_size == 0) {
        return "segmentation with a gso_size of 0";
    }
    return {};
}

}  // namespace sidecore::frontend
