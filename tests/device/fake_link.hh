// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "network/network_backend.hh"

namespace sidecore::device {

/// A packet as it went or will go over the link.
struct LinkPacket {
    network::PacketInfo info;
    std::vector<std::byte> bytes;

    friend bool operator==(const LinkPacket&, const LinkPacket&) = default;
};

/// A network whose every move the test makes. One thread.
class FakeLink final : public network::NetworkBackend {
public:
    /// What there is of it while a device has it, and after.
    struct State {
        std::vector<LinkPacket> sent;
        std::size_t room = SIZE_MAX;  ///< packets that send() still takes
        bool room_armed = false;
        std::deque<LinkPacket> waiting;  ///< for receive()
        bool packet_armed = false;
        network::PacketSink* sink = nullptr;
        network::Offloads offloads{true, true, true, true, true, true};
        network::Offloads accepted;
        std::uint16_t pairs = 1;
        std::vector<std::uint8_t> announced;
    };

    explicit FakeLink(std::shared_ptr<State> state) : state_(std::move(state)) {}

    std::string_view kind() const noexcept override { return "fake"; }
    std::string description() const override { return "fake"; }
    network::Offloads takes() const noexcept override { return state_->offloads; }
    network::Offloads gives() const noexcept override { return state_->offloads; }
    Result<void> accept(const network::Offloads& offloads) override {
        state_->accepted = offloads;
        return {};
    }
    std::uint16_t max_pairs() const noexcept override { return 8; }
    Result<void> set_pairs(std::uint16_t pairs) override {
        state_->pairs = pairs;
        return {};
    }
    Result<std::unique_ptr<network::PacketSender>> open_sender(std::uint16_t) override {
        return std::make_unique<Sender>(state_);
    }
    Result<std::unique_ptr<network::PacketReceiver>> open_receiver(std::uint16_t) override {
        return std::make_unique<Receiver>(state_);
    }
    Result<void> announce(std::span<const std::uint8_t, 6> mac) override {
        state_->announced.assign(mac.begin(), mac.end());
        return {};
    }

private:
    class Sender final : public network::PacketSender {
    public:
        explicit Sender(std::shared_ptr<State> state) : state_(std::move(state)) {}
        std::size_t send(std::span<const network::Packet> packets) noexcept override {
            std::size_t done = 0;
            for (; done < packets.size() && state_->room != 0; ++done, --state_->room) {
                LinkPacket& copy = state_->sent.emplace_back(LinkPacket{packets[done].info, {}});
                for (const iovec& piece : packets[done].data) {
                    const auto* from = static_cast<const std::byte*>(piece.iov_base);
                    copy.bytes.insert(copy.bytes.end(), from, from + piece.iov_len);
                }
            }
            return done;
        }
        bool can_send() noexcept override { return state_->room != 0; }
        bool arm() noexcept override {
            state_->room_armed = state_->room == 0;
            return state_->room_armed;
        }
        std::uint64_t dropped() const noexcept override { return 0; }

    private:
        std::shared_ptr<State> state_;
    };

    class Receiver final : public network::PacketReceiver {
    public:
        explicit Receiver(std::shared_ptr<State> state) : state_(std::move(state)) {}
        bool has_packet() noexcept override { return !state_->waiting.empty(); }
        std::uint32_t receive(network::PacketInfo& info, std::span<const iovec> room) noexcept override {
            if (state_->waiting.empty()) {
                return 0;
            }
            const LinkPacket packet = std::move(state_->waiting.front());
            state_->waiting.pop_front();
            info = packet.info;
            std::span<const std::byte> left = packet.bytes;
            for (const iovec& piece : room) {
                const std::size_t here = std::min(left.size(), piece.iov_len);
                std::memcpy(piece.iov_base, left.data(), here);
                left = left.subspan(here);
            }
            return static_cast<std::uint32_t>(packet.bytes.size());
        }
        int packet_fd() const noexcept override { return -1; }
        bool arm() noexcept override {
            state_->packet_armed = state_->waiting.empty();
            return state_->packet_armed;
        }
        void disarm() noexcept override { state_->packet_armed = false; }
        void set_sink(network::PacketSink* sink) noexcept override { state_->sink = sink; }
        std::uint64_t dropped() const noexcept override { return 0; }

    private:
        std::shared_ptr<State> state_;
    };

    std::shared_ptr<State> state_;
};

}  // namespace sidecore::device
