// SPDX-License-Identifier: Apache-2.0
#include "network/kinds.hh"

#include <utility>

#include "engine/wait.hh"
#include "network/af_xdp_backend.hh"
#include "network/loopback_backend.hh"
#include "network/stream_backend.hh"
#include "network/stream_peer.hh"
#include "network/switch.hh"
#include "network/tap_backend.hh"
#include "network/tap_ground.hh"
#include "network/xdp_ground.hh"

namespace sidecore::network::test {

namespace {

/// A sender and a receiver of a back-end's first pair. For the loopback these are its second ones: at most one of the receivers is used at a
/// time.
class PairFarEnd final : public FarEnd {
public:
    explicit PairFarEnd(NetworkBackend& backend)
        : sender_(must(backend.open_sender(0))), receiver_(must(backend.open_receiver(0))) {}

    void put(const Bytes& packet) override {
        const PacketBuffer buffer(packet);
        const Packet one = buffer.packet();
        ASSERT_TRUE(eventually([&] { return sender_->send({&one, 1}) == 1; }));
    }
    Bytes take(int timeout_ms, bool) override {
        const Room room;
        PacketInfo info;
        std::uint32_t bytes = 0;
        eventually([&] { return (bytes = receiver_->receive(info, room.pieces())) != 0; },
                   std::chrono::milliseconds(timeout_ms));
        return room.first(bytes);
    }

private:
    std::unique_ptr<PacketSender> sender_;
    std::unique_ptr<PacketReceiver> receiver_;
};

class StreamFarEnd final : public FarEnd {
public:
    explicit StreamFarEnd(StreamPeer peer) : peer_(std::move(peer)) {}
    void put(const Bytes& packet) override { peer_.put(packet); }
    Bytes take(int timeout_ms, bool) override { return peer_.take(timeout_ms); }

private:
    StreamPeer peer_;
};

/// The host's side of a tap interface, or the other end of a cable.
class SocketFarEnd final : public FarEnd {
public:
    explicit SocketFarEnd(const std::string& interface) : socket_(interface) {}
    void put(const Bytes& packet) override { socket_.put(packet); }
    Bytes take(int timeout_ms, bool all) override {
        for (;;) {
            Bytes packet = socket_.take(timeout_ms);
            if (packet.empty() || all || is_ours(packet)) {
                return packet;
            }
        }
    }

private:
    PacketSocket socket_;
};

Kind loopback_kind() {
    Kind kind;
    kind.name = "loopback";
    kind.longest = max_packet_bytes;
    kind.keeps_info = true;
    kind.has_network = false;
    kind.open = [] {
        Link link;
        link.backend = must(LoopbackBackend::create({.pairs = 2}));
        link.far = std::make_unique<PairFarEnd>(*link.backend);
        return link;
    };
    return kind;
}

/// Two ports; inboxes that have room for all that a test sends, since what finds one full is lost.
Kind switch_kind(std::uint16_t pairs) {
    Kind kind;
    kind.name = pairs == 1 ? "switch" : "switch_multi_queue";
    kind.longest = max_packet_bytes;
    kind.fills_up = false;
    kind.open = [pairs] {
        constexpr std::size_t inbox_bytes = std::size_t{16} << 20U;
        const auto learning_switch = must(Switch::create());
        const std::shared_ptr<NetworkBackend> other =
            must(learning_switch->add_port({.name = "far", .inbox_bytes = inbox_bytes}));
        Link link;
        link.ground = other;
        link.backend = must(learning_switch->add_port({.name = "near", .pairs = pairs, .inbox_bytes = inbox_bytes}));
        link.far = std::make_unique<PairFarEnd>(*other);
        return link;
    };
    return kind;
}

Kind stream_kind(bool listen) {
    Kind kind;
    kind.name = listen ? "stream_listening" : "stream_connecting";
    kind.longest = max_packet_bytes;
    kind.open = [listen] {
        auto directory = std::make_shared<TemporaryDirectory>();
        StreamOptions options;
        options.path = *directory / "socket";
        options.listen = listen;
        Link link;
        link.ground = directory;
        if (listen) {
            link.backend = must(StreamBackend::create(options));
            link.far = std::make_unique<StreamFarEnd>(StreamPeer::connect(options.path));
        } else {
            const Fd listener = listen_on(options.path);
            link.backend = must(StreamBackend::create(options));
            link.far = std::make_unique<StreamFarEnd>(StreamPeer::accept(listener.get()));
        }
        // Until the back-end has noticed, packets are dropped.
        const auto sender = must(link.backend->open_sender(0));
        Random random(1);
        const PacketBuffer buffer(make_packet(random, 14));
        const Packet packet = buffer.packet();
        EXPECT_TRUE(eventually([&] {
            const std::uint64_t before = sender->dropped();
            return sender->send({&packet, 1}) == 1 && sender->dropped() == before;
        }));
        EXPECT_EQ(link.far->take().size(), 14U);
        return link;
    };
    return kind;
}

Kind tap_kind(std::uint16_t pairs) {
    Kind kind;
    kind.name = pairs == 1 ? "tap" : "tap_multi_queue";
    kind.fills_up = false;
    kind.open = [pairs] {
        Link link;
        link.ground = std::make_shared<NetworkNamespace>();
        TapOptions options;
        options.pairs = pairs;
        options.mtu = 9000;
        auto backend = must(TapBackend::create(options));
        link.far = std::make_unique<SocketFarEnd>(backend->name());
        link.backend = std::move(backend);
        return link;
    };
    return kind;
}

/// One end of a cable, natively; or several queues of one whose driver cannot run the program.
Kind af_xdp_kind(bool native) {
    Kind kind;
    kind.name = native ? "af_xdp" : "af_xdp_generic_multi_queue";
    kind.shortest = 60;
    kind.longest = native ? 3414 : 3840;
    kind.fills_up = false;
    kind.open = [native] {
        Link link;
        link.ground = std::make_shared<NetworkNamespace>();
        make_veth(native ? VethOptions{} : VethOptions{.near_mtu = 3826, .far_mtu = 9000, .queues = 4});
        AfXdpOptions options;
        options.interface = "near";
        options.pairs = native ? 1 : 4;
        link.backend = must(AfXdpBackend::create(options));
        link.far = std::make_unique<SocketFarEnd>("far");
        return link;
    };
    return kind;
}

}  // namespace

std::vector<Kind> all_kinds() {
    std::vector<Kind> kinds{loopback_kind(), stream_kind(false), stream_kind(true), switch_kind(1), switch_kind(4)};
    if (has_tap()) {
        kinds.push_back(tap_kind(1));
        kinds.push_back(tap_kind(4));
    }
    if (has_af_xdp()) {
        kinds.push_back(af_xdp_kind(true));
        kinds.push_back(af_xdp_kind(false));
    }
    return kinds;
}

std::ostream& operator<<(std::ostream& out, const Kind& kind) {
    return out << kind.name;
}

}  // namespace sidecore::network::test
