// SPDX-License-Identifier: Apache-2.0
#include "network/header_chain.hh"

#include "network/network_order.hh"

namespace sidecore::network {

namespace {

constexpr std::uint8_t protocol_hop_by_hop = 0;
constexpr std::uint8_t protocol_routing = 43;
constexpr std::uint8_t protocol_destination = 60;

class Follower {
public:
    Follower(std::span<const std::byte> head, std::uint32_t packet_bytes) noexcept
        : head_(head), packet_bytes_(packet_bytes) {}

    HeaderChain follow() noexcept {
        chain_.end = ethernet();
        return chain_;
    }

private:
    /// Why the next `bytes` from `offset` on cannot be read, or transport if they can.
    HeaderEnd reach(std::size_t offset, std::size_t bytes) const noexcept {
        if (offset + bytes <= head_.size()) {
            return HeaderEnd::transport;
        }
        return offset + bytes <= packet_bytes_ ? HeaderEnd::too_long : HeaderEnd::malformed;
    }

    HeaderEnd ethernet() noexcept {
        if (const HeaderEnd end = reach(0, ethernet_bytes); end != HeaderEnd::transport) {
            return end;
        }
        std::size_t offset = ether_type_offset;
        std::uint16_t type = load_16(&head_[offset]);
        while ((type == ether_type_vlan || type == ether_type_service_vlan) && chain_.vlan_tags < vlan_tags_max) {
            if (const HeaderEnd end = reach(offset, vlan_tag_bytes + 2); end != HeaderEnd::transport) {
                return end;
            }
            if (chain_.vlan_tags++ == 0) {
                chain_.vlan = load_16(&head_[offset + 2]) & 0xfffU;
            }
            offset += vlan_tag_bytes;
            type = load_16(&head_[offset]);
        }
        chain_.network_offset = static_cast<std::uint16_t>(offset + 2);
        switch (type) {
            case ether_type_ipv4:
                return ipv4();
            case ether_type_ipv6:
                return ipv6();
            default:
                return HeaderEnd::no_network;
        }
    }

    HeaderEnd ipv4() noexcept {
        const std::size_t at = chain_.network_offset;
        if (const HeaderEnd end = reach(at, ipv4_bytes_min); end != HeaderEnd::transport) {
            return end;
        }
        const unsigned version_and_words = load_8(&head_[at]);
        const std::size_t bytes = std::size_t{version_and_words & 0xfU} * 4;
        if (version_and_words >> 4U != 4 || bytes < ipv4_bytes_min) {
            return HeaderEnd::malformed;
        }
        if (const HeaderEnd end = reach(at, bytes); end != HeaderEnd::transport) {
            return end;
        }
        chain_.protocol = load_8(&head_[at + 9]);
        chain_.transport_offset = static_cast<std::uint16_t>(at + bytes);
        constexpr unsigned more_fragments_and_offset = 0x3fff;
        return (load_16(&head_[at + 6]) & more_fragments_and_offset) == 0 ? HeaderEnd::transport
                                                                          : HeaderEnd::is_fragment;
    }

    HeaderEnd ipv6() noexcept {
        chain_.ipv6 = true;
        const std::size_t at = chain_.network_offset;
        if (const HeaderEnd end = reach(at, ipv6_bytes); end != HeaderEnd::transport) {
            return end;
        }
        if (load_8(&head_[at]) >> 4U != 6) {
            return HeaderEnd::malformed;
        }
        std::size_t field = at + 6;
        std::size_t offset = at + ipv6_bytes;
        fragment_before(offset, field);
        for (;;) {  // ends with the head: each header has 8 bytes or more
            const std::uint8_t next = load_8(&head_[field]);
            if (next != protocol_hop_by_hop && next != protocol_routing && next != protocol_destination) {
                chain_.protocol = next;
                chain_.transport_offset = static_cast<std::uint16_t>(offset);
                return next == protocol_ipv6_fragment ? HeaderEnd::is_fragment : HeaderEnd::transport;
            }
            if (const HeaderEnd end = reach(offset, 8); end != HeaderEnd::transport) {
                return end;
            }
            const std::size_t bytes = (std::size_t{load_8(&head_[offset + 1])} + 1) * 8;
            if (const HeaderEnd end = reach(offset, bytes); end != HeaderEnd::transport) {
                return end;
            }
            if (next == protocol_routing && load_8(&head_[offset + 3]) != 0) {
                chain_.routed = true;
            }
            field = offset;
            offset += bytes;
            if (next != protocol_destination) {
                fragment_before(offset, field);
            }
        }
    }

    void fragment_before(std::size_t offset, std::size_t field) noexcept {
        chain_.fragment_offset = static_cast<std::uint16_t>(offset);
        chain_.next_header_offset = static_cast<std::uint16_t>(field);
    }

    const std::span<const std::byte> head_;
    const std::uint32_t packet_bytes_;
    HeaderChain chain_;
};

}  // namespace

HeaderChain follow_headers(std::span<const std::byte> head, std::uint32_t packet_bytes) noexcept {
    return Follower(head, packet_bytes).follow();
}

}  // namespace sidecore::network
