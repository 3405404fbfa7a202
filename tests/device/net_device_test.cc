// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/driven_net.hh"

namespace sidecore::device {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr MacAddress address{0x52, 0x54, 0, 0x12, 0x34, 0x56};

std::unique_ptr<NetDevice> device_on(const std::shared_ptr<FakeLink::State>& link, NetDevice::Options options) {
    return must(NetDevice::create(std::make_unique<FakeLink>(link), std::move(options)));
}

net::Config config_of(const NetDevice& device) {
    net::Config config{};
    std::array<std::byte, sizeof config> bytes;
    device.read_config(0, bytes);
    std::memcpy(&config, bytes.data(), sizeof config);
    return config;
}

std::string error_of(NetDevice::Options options) {
    const auto made =
        NetDevice::create(std::make_unique<FakeLink>(std::make_shared<FakeLink::State>()), std::move(options));
    return made ? "" : made.error().message;
}

TEST(NetDevice, UsesChainsInOrder) {
    const auto device = device_on(std::make_shared<FakeLink::State>(), {});
    EXPECT_TRUE(device->in_order());
    EXPECT_NE(device->features() & net::feature_in_order, 0U);
}

TEST(NetDevice, OffersWhatItIsAskedForAndWhatTheLinkCanDo) {
    const auto link = std::make_shared<FakeLink::State>();
    const auto plain = device_on(
        link, {.control = false, .mergeable = false, .offloads = false, .event_index = false, .indirect = false});
    EXPECT_EQ(plain->features(), net::feature_version_1 | net::feature_in_order | net::feature_status);
    EXPECT_EQ(plain->max_queues(), 2);
    const auto full = device_on(link, {.pairs = 8, .mac = address, .mtu = 9000, .speed_mbit = 10'000});
    EXPECT_EQ(full->max_queues(), 17);
    for (const std::uint64_t feature : {net::feature_csum,
                                        net::feature_guest_csum,
                                        net::feature_ctrl_guest_offloads,
                                        net::feature_mtu,
                                        net::feature_mac,
                                        net::feature_guest_tso4,
                                        net::feature_guest_tso6,
                                        net::feature_guest_ecn,
                                        net::feature_guest_ufo,
                                        net::feature_host_tso4,
                                        net::feature_host_tso6,
                                        net::feature_host_ecn,
                                        net::feature_host_ufo,
                                        net::feature_mrg_rxbuf,
                                        net::feature_status,
                                        net::feature_ctrl_vq,
                                        net::feature_ctrl_rx,
                                        net::feature_ctrl_vlan,
                                        net::feature_mq,
                                        net::feature_ctrl_mac_addr,
                                        net::feature_guest_uso4,
                                        net::feature_guest_uso6,
                                        net::feature_host_uso,
                                        net::feature_speed_duplex,
                                        net::feature_guest_announce}) {
        EXPECT_NE(full->features() & feature, 0U) << feature;
    }
    link->offloads = {.checksum = true, .tso4 = true};
    const auto some = device_on(link, {});
    EXPECT_EQ(some->features() & (net::feature_csum | net::feature_host_tso4 | net::feature_host_tso6 |
                                  net::feature_host_ecn | net::feature_host_ufo | net::feature_host_uso),
              net::feature_csum | net::feature_host_tso4);
    link->offloads = {.checksum = false, .tso4 = true};
    EXPECT_EQ(device_on(link, {})->features() & (net::feature_csum | net::feature_host_tso4 | net::feature_guest_tso4),
              0U)
        << "nothing goes without checksums (5.1.3.1)";
}

TEST(NetDevice, RefusesImpossibleOptions) {
    EXPECT_THAT(error_of({.pairs = 0}), HasSubstr("1 to 8 queue pairs, not 0"));
    EXPECT_THAT(error_of({.pairs = 9}), HasSubstr("1 to 8 queue pairs, not 9"));
    EXPECT_THAT(error_of({.mtu = 67}), HasSubstr("68 to 65521"));
    EXPECT_THAT(error_of({.mac = MacAddress{1, 0, 0, 0, 0, 1}}), HasSubstr("01:00:00:00:00:01 is a multicast address"));
}

TEST(NetDevice, ItsConfigurationSaysWhatItIs) {
    const auto device =
        device_on(std::make_shared<FakeLink::State>(), {.pairs = 4, .mac = address, .mtu = 9000, .speed_mbit = 10'000});
    net::Config config = config_of(*device);
    EXPECT_EQ(config.mac, address);
    EXPECT_EQ(config.status, net::Config::status_link_up);
    EXPECT_EQ(config.max_virtqueue_pairs, 4);
    EXPECT_EQ(config.mtu, 9000);
    EXPECT_EQ(config.speed, 10'000U);
    EXPECT_EQ(config.duplex, net::Config::duplex_full);
    device->set_link(false);
    EXPECT_TRUE(device->set_mtu(1400));
    EXPECT_FALSE(device->set_mtu(10));
    config = config_of(*device);
    EXPECT_EQ(config.status, 0);
    EXPECT_EQ(config.mtu, 1400);
    std::array<std::byte, 8> beyond;
    beyond.fill(std::byte{9});
    device->read_config(sizeof(net::Config), beyond);
    EXPECT_EQ(beyond, (std::array<std::byte, 8>{}));
}

TEST(NetDevice, OnlyTheMacAddressIsTheDriversToWrite) {
    const auto device = device_on(std::make_shared<FakeLink::State>(), {});
    const std::array<std::byte, 6> written{std::byte{2}, std::byte{3}, std::byte{4},
                                           std::byte{5}, std::byte{6}, std::byte{7}};
    EXPECT_TRUE(device->write_config(0, written, false));
    EXPECT_EQ(device->mac(), (MacAddress{2, 3, 4, 5, 6, 7}));
    EXPECT_FALSE(device->write_config(1, written, false));
    EXPECT_EQ(device->mac(), (MacAddress{2, 3, 4, 5, 6, 7}));
    device->reset();
    EXPECT_EQ(device->mac(), std::nullopt);
}

TEST(NetDevice, TheLinkLearnsWhichOffloadsTheDriverTakes) {
    const auto link = std::make_shared<FakeLink::State>();
    const auto device = device_on(link, {});
    device->accept_features(net::feature_guest_csum | net::feature_guest_tso4 | net::feature_guest_uso4);
    EXPECT_EQ(link->accepted, (network::Offloads{.checksum = true, .tso4 = true}));
    device->accept_features(net::feature_guest_tso4);
    EXPECT_EQ(link->accepted, network::Offloads{});
    device->reset();
    EXPECT_EQ(link->accepted, network::Offloads{});
}

TEST(NetDevice, WithoutAControlQueueTheEnabledReceiveQueuesAreThePairsInUse) {
    const auto link = std::make_shared<FakeLink::State>();
    const auto device = device_on(link, {.pairs = 4});
    device->accept_features(device->features() & ~net::feature_ctrl_vq);
    for (std::uint16_t index = 0; index < 4; ++index) {
        device->queue_enabled(index, true);
    }
    EXPECT_EQ(link->pairs, 2);
    device->queue_enabled(6, true);
    EXPECT_EQ(link->pairs, 2) << "pair 2 is missing";
    device->queue_enabled(4, true);
    EXPECT_EQ(link->pairs, 4);
    device->queue_enabled(2, false);
    EXPECT_EQ(link->pairs, 1);
}

TEST(NetDevice, AMovedGuestIsAnnounced) {
    const auto link = std::make_shared<FakeLink::State>();
    EXPECT_TRUE(device_on(link, {})->announce_mac(address));
    EXPECT_THAT(link->announced, ElementsAre(0x52, 0x54, 0, 0x12, 0x34, 0x56));
}

TEST(NetDevice, IsMadeKnownAgainWithoutItsDriversHelp) {
    const auto link = std::make_shared<FakeLink::State>();
    const auto nameless = device_on(link, {});
    nameless->accept_features(nameless->features());
    const auto refused = nameless->announce();
    ASSERT_FALSE(refused) << "there is no control queue, and no address";
    EXPECT_EQ(refused.error().kind, ErrorKind::unsupported);
    EXPECT_EQ(config_of(*nameless).status, net::Config::status_link_up);

    const auto known = device_on(link, {.mac = address});
    EXPECT_EQ(known->announce().value(), false);
    EXPECT_THAT(link->announced, ElementsAre(0x52, 0x54, 0, 0x12, 0x34, 0x56));
}

class NetControl : public testing::Test {
protected:
    static constexpr std::uint16_t control = 8;  // with 4 pairs and MQ
    DrivenNet net{control, {.name = "net0", .pairs = 4}};

    /// The acknowledgement, or nothing if there was none.
    std::optional<int> command(std::uint8_t kind, std::uint8_t what, const std::vector<std::uint8_t>& data) {
        const frontend::GuestBuffer place = net.buffer(2 + data.size());
        place.host[0] = std::byte{kind};
        place.host[1] = std::byte{what};
        std::ranges::copy(std::as_bytes(std::span(data)), place.host + 2);
        const frontend::GuestBuffer answer = net.buffer(1);
        answer.host[0] = std::byte{0xee};
        std::vector<frontend::Piece> pieces{{place.address, 2, false}};
        if (!data.empty()) {
            pieces.push_back({place.address + 2, static_cast<std::uint32_t>(data.size()), false});
        }
        pieces.push_back({answer.address, 1, true});
        net.offer(pieces);
        net.serve();
        const auto used = net.used();
        if (used.size() != 1 || used[0].length != 1) {
            return std::nullopt;
        }
        return std::to_integer<int>(answer.host[0]);
    }
};

TEST_F(NetControl, PairsAreUsedAsCommanded) {
    EXPECT_EQ(command(4, 0, {3, 0}), 0);
    EXPECT_EQ(net.link().pairs, 3);
    EXPECT_EQ(net.device().pairs_in_use(), 3);
    EXPECT_EQ(command(4, 0, {5, 0}), 1);
    EXPECT_EQ(command(4, 0, {0, 0}), 1);
    EXPECT_EQ(command(4, 0, {1}), 1);
    EXPECT_EQ(command(4, 1, {1, 0}), 1) << "RSS is not offered";
    EXPECT_EQ(net.link().pairs, 3);
    net.device().queue_enabled(0, true);
    EXPECT_EQ(net.link().pairs, 3) << "the driver has said it itself";
}

TEST_F(NetControl, FiltersAreKept) {
    EXPECT_EQ(command(0, 0, {0}), 0);
    EXPECT_EQ(command(0, 1, {1}), 0);
    EXPECT_EQ(command(0, 5, {1}), 0);
    EXPECT_EQ(command(0, 6, {1}), 1);
    EXPECT_EQ(command(0, 0, {0, 0}), 1);
    EXPECT_EQ(command(1, 0, {1, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 2}), 0);
    EXPECT_EQ(command(1, 0, {2, 0, 0, 0, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0}), 1) << "shorter than it says";
    EXPECT_EQ(command(1, 0, {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}), 1);
    EXPECT_EQ(command(2, 0, {100, 0}), 0);
    EXPECT_EQ(command(2, 0, {101, 0}), 0);
    EXPECT_EQ(command(2, 1, {100, 0}), 0);
    EXPECT_EQ(command(2, 0, {0, 16}), 1) << "beyond 12 bits";
    const NetFilter filter = net.device().filter();
    EXPECT_FALSE(filter.promiscuous);
    EXPECT_TRUE(filter.all_multicast);
    EXPECT_TRUE(filter.no_broadcast);
    EXPECT_EQ(filter.unicast_addresses, 1U);
    EXPECT_EQ(filter.multicast_addresses, 2U);
    EXPECT_EQ(filter.vlans, 1U);
}

TEST_F(NetControl, TheAddressAndTheOffloadsChange) {
    EXPECT_EQ(command(1, 1, {2, 0, 0, 0, 0, 9}), 0);
    EXPECT_EQ(net.device().mac(), (MacAddress{2, 0, 0, 0, 0, 9}));
    EXPECT_EQ(command(1, 1, {3, 0, 0, 0, 0, 9}), 1) << "a multicast address";
    EXPECT_EQ(command(5, 0, {0x02, 0, 0, 0, 0, 0, 0, 0}), 0);
    EXPECT_EQ(net.link().accepted, network::Offloads{.checksum = true});
    EXPECT_EQ(command(5, 0, {0, 8, 0, 0, 0, 0, 0, 0}), 1) << "HOST_TSO4 is no offload of the guest's";
    EXPECT_EQ(net.link().accepted, network::Offloads{.checksum = true});
}

TEST_F(NetControl, TheDriverIsAskedToAnnounceItselfUntilItHas) {
    EXPECT_EQ(command(3, 0, {}), 1) << "nobody has asked";
    EXPECT_EQ(net.device().announce().value(), true);
    EXPECT_EQ(config_of(net.device()).status, net::Config::status_link_up | net::Config::status_announce);
    EXPECT_EQ(command(3, 1, {}), 1) << "no such command";
    EXPECT_EQ(command(3, 0, {0}), 1) << "with data";
    EXPECT_EQ(config_of(net.device()).status, net::Config::status_link_up | net::Config::status_announce);
    EXPECT_EQ(command(3, 0, {}), 0);
    EXPECT_EQ(config_of(net.device()).status, net::Config::status_link_up);
    EXPECT_EQ(command(3, 0, {}), 1);

    EXPECT_TRUE(net.device().announce());
    net.device().reset();
    EXPECT_EQ(config_of(net.device()).status, net::Config::status_link_up) << "the next driver has not been asked";
}

TEST_F(NetControl, UnknownCommandsAreRefusedAndMalformedOnesTooOrBreakTheQueue) {
    EXPECT_EQ(command(77, 0, {0}), 1);
    EXPECT_EQ(command(3, 0, {0}), 1) << "nothing has been asked of the driver";
    const frontend::GuestBuffer answer = net.buffer(1);
    net.offer(std::array{frontend::Piece{net.buffer(1).address, 1, false}, frontend::Piece{answer.address, 1, true}});
    net.serve();
    EXPECT_EQ(net.used().size(), 1U);
    EXPECT_EQ(answer.host[0], std::byte{1});
    net.offer(std::array{frontend::Piece{net.buffer(4).address, 4, false}});
    EXPECT_EQ(net.serve().end, engine::TurnEnd::broken);
}

TEST(NetControlIndex, IsTheThirdQueueWithoutMultiqueue) {
    DrivenNet net(2, {.name = "net0", .pairs = 4}, net::feature_mq);
    EXPECT_THAT(net.queue().name(), HasSubstr("control"));
}

}  // namespace
}  // namespace sidecore::device
