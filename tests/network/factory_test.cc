// SPDX-License-Identifier: Apache-2.0
#include "network/factory.hh"

#include <algorithm>
#include <functional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network/stream_peer.hh"

namespace sidecore::network::test {
namespace {

using testing::HasSubstr;

constexpr NetworkKind every_kind[] = {NetworkKind::null, NetworkKind::loopback, NetworkKind::tap, NetworkKind::stream,
                                      NetworkKind::af_xdp};

NetworkSpec network_of(NetworkKind kind) {
    NetworkSpec spec;
    spec.kind = kind;
    if (kind == NetworkKind::stream) {
        spec.path = "/nowhere/socket";
    } else if (kind == NetworkKind::af_xdp) {
        spec.name = "nowhere";
    }
    return spec;
}

void expect_setting_refused(const NetworkSpec& spec, const std::string& setting) {
    const auto backend = open_network(spec);
    ASSERT_FALSE(backend) << to_string(spec.kind) << ' ' << setting;
    EXPECT_EQ(backend.error().kind, ErrorKind::invalid_argument);
    EXPECT_THAT(backend.error().message, HasSubstr('"' + setting + '"'));
}

TEST(NetworkFactoryTest, NamesAreThoseOfTheConfiguration) {
    for (const NetworkKind kind : every_kind) {
        EXPECT_EQ(parse_network_kind(to_string(kind)), kind);
    }
    EXPECT_THAT(parse_network_kind("tun").error().message, HasSubstr("tap, stream, af_xdp, loopback or null"));
}

TEST(NetworkFactoryTest, MakesEachKind) {
    const TemporaryDirectory directory;
    for (const NetworkKind kind : {NetworkKind::null, NetworkKind::loopback, NetworkKind::stream}) {
        NetworkSpec spec = network_of(kind);
        if (kind == NetworkKind::loopback) {
            spec.pairs = 3;
        } else if (kind == NetworkKind::stream) {
            spec.path = directory / "socket";
            spec.listen = true;
        }
        const auto backend = open_network(spec);
        ASSERT_TRUE(backend) << backend.error().message;
        EXPECT_EQ((*backend)->kind(), to_string(kind));
        if (kind == NetworkKind::loopback) {
            EXPECT_EQ((*backend)->max_pairs(), 3);
        }
    }
}

TEST(NetworkFactoryTest, WhatMakesNoSenseForAKindIsRefused) {
    struct Setting {
        std::string name;
        std::function<void(NetworkSpec&)> set;
        std::vector<NetworkKind> allowed;
    };
    const std::vector<Setting> settings{
        {"name", [](NetworkSpec& spec) { spec.name = "x"; }, {NetworkKind::tap, NetworkKind::af_xdp}},
        {"fds", [](NetworkSpec& spec) { spec.fds = {0}; }, {NetworkKind::tap}},
        {"mtu", [](NetworkSpec& spec) { spec.mtu = 1500; }, {NetworkKind::tap}},
        {"up", [](NetworkSpec& spec) { spec.up = false; }, {NetworkKind::tap}},
        {"path", [](NetworkSpec& spec) { spec.path = "/x"; }, {NetworkKind::stream}},
        {"listen", [](NetworkSpec& spec) { spec.listen = false; }, {NetworkKind::stream}},
        {"pairs",
         [](NetworkSpec& spec) { spec.pairs = 1; },
         {NetworkKind::tap, NetworkKind::loopback, NetworkKind::af_xdp}},
        {"queue", [](NetworkSpec& spec) { spec.queue = 0; }, {NetworkKind::af_xdp}},
        {"mode", [](NetworkSpec& spec) { spec.mode = XdpMode::copy; }, {NetworkKind::af_xdp}},
    };
    for (const Setting& setting : settings) {
        for (const NetworkKind kind : every_kind) {
            if (std::find(setting.allowed.begin(), setting.allowed.end(), kind) == setting.allowed.end()) {
                NetworkSpec spec = network_of(kind);
                setting.set(spec);
                expect_setting_refused(spec, setting.name);
            }
        }
    }
}

TEST(NetworkFactoryTest, OpenDescriptorsComeWithEverythingElse) {
    NetworkSpec good = network_of(NetworkKind::tap);
    good.fds = {0};
    NetworkSpec spec = good;
    spec.name = "x";
    expect_setting_refused(spec, "name");
    spec = good;
    spec.pairs = 1;
    expect_setting_refused(spec, "pairs");
    spec = good;
    spec.mtu = 1500;
    expect_setting_refused(spec, "mtu");
    spec = good;
    spec.up = true;
    expect_setting_refused(spec, "up");
    EXPECT_THAT(open_network(good).error().message, HasSubstr("no queue of a tap"));
}

TEST(NetworkFactoryTest, AStreamNeedsAPath) {
    NetworkSpec spec;
    spec.kind = NetworkKind::stream;
    expect_setting_refused(spec, "path");
}

TEST(NetworkFactoryTest, AnAfXdpSocketNeedsAnInterface) {
    NetworkSpec spec;
    spec.kind = NetworkKind::af_xdp;
    expect_setting_refused(spec, "name");
    spec.name = "nowhere";
    const auto backend = open_network(spec);
    ASSERT_FALSE(backend);
    EXPECT_EQ(backend.error().kind, ErrorKind::not_found);
}

TEST(NetworkFactoryTest, ALoopbackHasABoundedNumberOfPairs) {
    NetworkSpec spec = network_of(NetworkKind::loopback);
    for (const std::uint16_t pairs : {std::uint16_t{0}, std::uint16_t{17}}) {
        spec.pairs = pairs;
        EXPECT_EQ(open_network(spec).error().kind, ErrorKind::out_of_range);
    }
}

}  // namespace
}  // namespace sidecore::network::test
