// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/device_spec.hh"

namespace sidecore::control {
namespace {

using ::testing::HasSubstr;

std::string with(const std::string& members) {
    return R"({"name": "n", "type": "net", "socket": "/run/n")" + (members.empty() ? "" : ", " + members) + "}";
}

std::string error_of(const std::string& members) {
    const auto spec = parse_device_spec(with(members));
    return spec ? "" : spec.error().message;
}

constexpr auto loopback = R"("network": {"kind": "loopback"})";

TEST(NetSpec, IsReadAndWrittenAgain) {
    const auto spec = parse_device_spec(
        with(R"("pairs": 4, "mac": "52:54:00:12:34:56", "mtu": 9000, "speed": 10000, "offloads": false,
               "network": {"kind": "tap", "interface": "tap0"})"));
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->queues, 9);
    EXPECT_EQ(spec->net.pairs, 4);
    EXPECT_EQ(spec->net.mac, "52:54:00:12:34:56");
    EXPECT_EQ(spec->net.mtu, 9000);
    EXPECT_EQ(spec->net.speed_mbit, 10'000U);
    EXPECT_FALSE(spec->net.offloads);
    EXPECT_EQ(spec->net.network.kind, NetworkKind::tap);
    EXPECT_EQ(spec->net.network.interface, "tap0");
    EXPECT_EQ(parse_device_spec(to_json(*spec).dump()), *spec);

    const auto stream =
        parse_device_spec(with(R"("network": {"kind": "stream", "path": "/run/passt", "listen": true})"));
    ASSERT_TRUE(stream) << stream.error().message;
    EXPECT_EQ(stream->queues, 3);
    EXPECT_EQ(parse_device_spec(to_json(*stream).dump()), *stream);

    const auto port = parse_device_spec(
        with(R"("pairs": 2, "network": {"kind": "af_xdp", "interface": "eth1", "queue": 4, "mode": "zerocopy"})"));
    ASSERT_TRUE(port) << port.error().message;
    EXPECT_EQ(port->net.network.kind, NetworkKind::af_xdp);
    EXPECT_EQ(port->net.network.interface, "eth1");
    EXPECT_EQ(port->net.network.queue, 4);
    EXPECT_EQ(port->net.network.mode, XdpMode::zero_copy);
    EXPECT_EQ(parse_device_spec(to_json(*port).dump()), *port);
}

TEST(NetSpec, MayBeAPortOfASwitch) {
    const auto trunk = parse_device_spec(with(R"("network": {"kind": "switch", "switch": "lan"})"));
    ASSERT_TRUE(trunk) << trunk.error().message;
    EXPECT_EQ(trunk->net.network, (NetworkSpec{.kind = NetworkKind::port, .switch_name = "lan"}));
    EXPECT_EQ(parse_device_spec(to_json(*trunk).dump()), *trunk);
    const auto port =
        parse_device_spec(with(R"("network": {"kind": "switch", "switch": "lan", "vlan": 4094, "isolated": true})"));
    ASSERT_TRUE(port) << port.error().message;
    EXPECT_EQ(port->net.network.vlan, 4094);
    EXPECT_TRUE(port->net.network.isolated);
    EXPECT_EQ(parse_device_spec(to_json(*port).dump()), *port);
}

TEST(NetSpec, SaysWhatIsWrong) {
    EXPECT_THAT(error_of(R"("network": {"kind": "switch"})"), HasSubstr("switch"));
    EXPECT_THAT(error_of(R"("network": {"kind": "switch", "switch": "l a n"})"), HasSubstr("switch has to be"));
    EXPECT_THAT(error_of(R"("network": {"kind": "switch", "switch": "lan", "vlan": 0})"), HasSubstr("vlan"));
    EXPECT_THAT(error_of(R"("network": {"kind": "tap", "vlan": 1})"),
                HasSubstr("vlan means nothing for kind = \"tap\""));
    EXPECT_THAT(error_of(R"("network": {"kind": "tap", "switch": "lan"})"), HasSubstr("switch means nothing"));
    EXPECT_THAT(error_of(""), HasSubstr("network"));
    EXPECT_THAT(error_of(std::string(loopback) + R"(, "mac": "52:54:00:12:34")"), HasSubstr("unicast address like"));
    EXPECT_THAT(error_of(std::string(loopback) + R"(, "mac": "01:00:00:00:00:01")"), HasSubstr("unicast address like"));
    EXPECT_THAT(error_of(std::string(loopback) + R"(, "mac": "52-54-00-12-34-56")"), HasSubstr("unicast address like"));
    EXPECT_THAT(error_of(std::string(loopback) + R"(, "pairs": 17)"), HasSubstr("pairs"));
    EXPECT_THAT(error_of(std::string(loopback) + R"(, "mtu": 60)"), HasSubstr("mtu"));
    EXPECT_THAT(error_of(std::string(loopback) + R"(, "queues": 2)"),
                HasSubstr("queues means nothing for type = \"net\""));
    EXPECT_THAT(error_of(std::string(loopback) + R"(, "read_only": true)"), HasSubstr("read_only means nothing"));
    EXPECT_THAT(error_of(R"("network": {"kind": "loopback", "path": "/x"})"),
                HasSubstr("path means nothing for kind = \"loopback\""));
    EXPECT_THAT(error_of(R"("network": {"kind": "stream"})"), HasSubstr("path"));
    EXPECT_THAT(error_of(R"("network": {"kind": "tap", "interface": "a-name-that-is-too-long"})"),
                HasSubstr("1 to 15 characters"));
    EXPECT_THAT(error_of(R"("network": {"kind": "tap", "interface": "a/b"})"), HasSubstr("1 to 15 characters"));
    EXPECT_THAT(error_of(R"("network": {"kind": "wire"})"), HasSubstr("allowed are"));
    EXPECT_THAT(error_of(R"("network": {"kind": "af_xdp"})"), HasSubstr("interface"));
    EXPECT_THAT(error_of(R"("network": {"kind": "af_xdp", "interface": "eth1", "mode": "fast"})"),
                HasSubstr("\"auto\", \"copy\", \"zerocopy\""));
    EXPECT_THAT(error_of(R"("network": {"kind": "af_xdp", "interface": "eth1", "queue": 5000})"), HasSubstr("queue"));
    EXPECT_THAT(error_of(R"("network": {"kind": "tap", "queue": 1})"),
                HasSubstr("queue means nothing for kind = \"tap\""));
    EXPECT_THAT(error_of(R"("network": {"kind": "stream", "path": "/x", "interface": "eth1"})"),
                HasSubstr("interface means nothing for kind = \"stream\""));
}

TEST(NetSpec, ADiskHasNoNetwork) {
    const auto spec =
        parse_device_spec(R"({"name": "d", "socket": "/run/d", "storage": {"kind": "null", "size": 512}, "mac": "x"})");
    ASSERT_FALSE(spec);
    EXPECT_THAT(spec.error().message, HasSubstr("mac means nothing for type = \"blk\""));
}

TEST(Mac, IsFormattedAsItIsRead) {
    const auto mac = parse_mac("0a:00:27:FF:00:01");
    ASSERT_TRUE(mac);
    EXPECT_EQ(format_mac(*mac), "0a:00:27:ff:00:01");
    EXPECT_FALSE(parse_mac("00:00:00:00:00:00"));
}

}  // namespace
}  // namespace sidecore::control
