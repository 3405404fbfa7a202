// SPDX-License-Identifier: Apache-2.0
#include "network/stream_backend.hh"

#include <atomic>
#include <cerrno>
#include <sys/epoll.h>

#include "base/format.hh"
#include "network/pair_check.hh"
#include "network/rarp.hh"

namespace sidecore::network {

namespace {

class StreamSender final : public PacketSender {
public:
    explicit StreamSender(StreamLink& link) : link_(link) {}

    std::size_t send(std::span<const Packet> packets) noexcept override {
        take_latest();
        std::uint64_t dropped = 0;
        std::size_t done = packets.size();
        if (connection_ == nullptr) {
            dropped = packets.size();
        } else {
            done = connection_->send(packets, dropped);
            if (connection_->unfinished()) {
                link_.wake();  // nobody may ever call send() again
            }
        }
        dropped_.store(dropped_.load(std::memory_order_relaxed) + dropped, std::memory_order_relaxed);
        if (armed_ && done == packets.size()) {
            watch(0);
        }
        return done;
    }

    bool can_send() noexcept override {
        take_latest();
        return connection_ == nullptr || connection_->has_room();
    }

    int room_fd() const noexcept override { return link_.room_epoll(); }

    bool arm() noexcept override {
        take_latest();
        watch(EPOLLOUT);
        return !can_send();
    }

    std::uint64_t dropped() const noexcept override { return dropped_.load(std::memory_order_relaxed); }

private:
    void take_latest() noexcept {
        if (link_.generation() != generation_) {
            connection_ = link_.current(generation_);
            armed_ = false;
        }
    }

    /// Of a connection that has ended the epoll says so in any case, which is as good as room: send() drops then.
    void watch(std::uint32_t events) noexcept {
        if (connection_ != nullptr) {
            epoll_event event{};
            event.events = events | EPOLLONESHOT;
            ::epoll_ctl(link_.room_epoll(), EPOLL_CTL_MOD, connection_->fd(), &event);
        }
        armed_ = events != 0;
    }

    StreamLink& link_;
    std::shared_ptr<StreamConnection> connection_;
    std::uint32_t generation_ = 0;
    bool armed_ = false;
    std::atomic<std::uint64_t> dropped_{0};
};

class StreamReceiver final : public PacketReceiver {
public:
    explicit StreamReceiver(StreamLink& link) : link_(link) {}

    bool has_packet() noexcept override {
        take_next();
        do {
            if (connection_ != nullptr && connection_->has_packet()) {
                return true;
            }
        } while (
            take_next());  // what was read to its end may have a successor, whose packets have been signalled already
        return false;
    }

    std::uint32_t receive(PacketInfo& info, std::span<const iovec> room) noexcept override {
        take_next();
        if (connection_ == nullptr) {
            return 0;
        }
        info = {};
        const std::uint32_t bytes = connection_->receive(room);
        dropped_.store(dropped_before_ + connection_->runts(), std::memory_order_relaxed);
        return bytes;
    }

    int packet_fd() const noexcept override { return link_.packet_epoll(); }
    bool arm() noexcept override { return !has_packet(); }
    void disarm() noexcept override {}
    std::uint64_t dropped() const noexcept override { return dropped_.load(std::memory_order_relaxed); }

private:
    /// Changes over to the next connection once all that came over this one has been taken. True: did so.
    bool take_next() noexcept {
        if (link_.generation() == generation_ || (connection_ != nullptr && !connection_->finished())) {
            return false;
        }
        if (connection_ != nullptr) {
            dropped_before_ += connection_->runts();
        }
        connection_ = link_.next_to_read(generation_);
        return true;
    }

    StreamLink& link_;
    std::shared_ptr<StreamConnection> connection_;
    std::uint32_t generation_ = 0;
    std::uint64_t dropped_before_ = 0;  // by connections that are gone
    std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace

Result<std::unique_ptr<StreamBackend>> StreamBackend::create(const StreamOptions& options) {
    SIDECORE_TRY_ASSIGN(auto link, StreamLink::create(options));
    return std::unique_ptr<StreamBackend>(new StreamBackend(options, std::move(link)));
}

std::string StreamBackend::description() const {
    return fmt::format("stream {}{}", options_.listen ? "listening on " : "to ", options_.path);
}

Result<void> StreamBackend::accept(const Offloads& offloads) {
    if (offloads != Offloads{}) {
        return failure(ErrorKind::unsupported, "a stream has no offloads");
    }
    return {};
}

Result<void> StreamBackend::set_pairs(std::uint16_t pairs) {
    return check_pairs(*this, pairs);
}

Result<std::unique_ptr<PacketSender>> StreamBackend::open_sender(std::uint16_t pair) {
    SIDECORE_TRY(check_pair(*this, pair));
    return std::make_unique<StreamSender>(*link_);
}

Result<std::unique_ptr<PacketReceiver>> StreamBackend::open_receiver(std::uint16_t pair) {
    SIDECORE_TRY(check_pair(*this, pair));
    return std::make_unique<StreamReceiver>(*link_);
}

Result<void> StreamBackend::announce(std::span<const std::uint8_t, 6> mac) {
    std::uint32_t generation = 0;
    const std::shared_ptr<StreamConnection> connection = link_->current(generation);
    std::uint64_t dropped = 0;
    auto frame = make_rarp(mac);
    const iovec piece{frame.data(), frame.size()};
    const Packet packet{{}, {&piece, 1}, static_cast<std::uint32_t>(frame.size())};
    const bool sent = connection != nullptr && connection->send({&packet, 1}, dropped) == 1 && dropped == 0;
    if (!sent) {
        return failure(ErrorKind::closed, fmt::format("{}: nobody there to announce a MAC address to", description()));
    }
    if (connection->unfinished()) {
        link_->wake();
    }
    return {};
}

}  // namespace sidecore::network
