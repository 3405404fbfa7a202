// SPDX-License-Identifier: Apache-2.0
#include "network/af_xdp_backend.hh"

#include <bit>
#include <linux/bpf.h>
#include <sys/epoll.h>
#include <utility>

#include <spdlog/spdlog.h>

#include "base/format.hh"
#include "network/pair_check.hh"
#include "network/rarp.hh"

namespace sidecore::network {

namespace {

constexpr std::uint32_t small_frame_bytes = 2048;
constexpr std::uint32_t large_frame_bytes = 4096;  // no frame may be larger than a page
constexpr std::uint32_t ethernet_bytes = 14;
constexpr std::uint32_t vlan_tags_bytes = 8;  // two of them
constexpr std::uint32_t frames_min = 4;
constexpr std::uint32_t frames_max = 32768;

/// Packets that a receiver takes from one socket before it looks at its next.
constexpr std::uint32_t packets_in_a_row = 64;

class AfXdpSender final : public PacketSender {
public:
    explicit AfXdpSender(XdpTransmitter& transmitter) noexcept : transmitter_(transmitter) {}

    std::size_t send(std::span<const Packet> packets) noexcept override {
        std::uint64_t dropped = 0;
        const std::size_t done = transmitter_.send(packets, dropped);
        if (dropped != 0) {
            dropped_.store(dropped_.load(std::memory_order_relaxed) + dropped, std::memory_order_relaxed);
        }
        return done;
    }
    bool can_send() noexcept override { return transmitter_.can_send(); }
    int room_fd() const noexcept override { return transmitter_.room_fd(); }
    bool arm() noexcept override { return transmitter_.arm(); }
    std::uint64_t dropped() const noexcept override { return dropped_.load(std::memory_order_relaxed); }

private:
    XdpTransmitter& transmitter_;
    std::atomic<std::uint64_t> dropped_{0};
};

/// Takes from the socket of its pair, and from those that the pairs in use have between them to take care of: it has every n-th of n pairs in use.
class AfXdpReceiver final : public PacketReceiver {
public:
    AfXdpReceiver(std::span<const std::unique_ptr<XdpSocket>> sockets, std::uint16_t pair,
                  const std::atomic<std::uint16_t>& pairs_in_use, int packet_fd) noexcept
        : sockets_(sockets), pair_(pair), pairs_in_use_(pairs_in_use), packet_fd_(packet_fd) {}

    bool has_packet() noexcept override {
        const std::uint32_t step = pairs_in_use_.load(std::memory_order_acquire);
        for (std::uint32_t socket = first(step); socket < count(); socket += step) {
            if (sockets_[socket]->receive_ring().has_packet()) {
                return true;
            }
        }
        return false;
    }

    std::uint32_t receive(PacketInfo& info, std::span<const iovec> room) noexcept override {
        const std::uint32_t step = pairs_in_use_.load(std::memory_order_acquire);
        const std::uint32_t first_socket = first(step);
        if (first_socket >= count()) {
            return 0;
        }
        info = {};
        const std::uint32_t mine = (count() - first_socket + step - 1) / step;
        for (std::uint32_t tried = 0; tried < mine; ++tried) {
            const std::uint32_t socket = first_socket + turn_ % mine * step;
            const std::uint32_t bytes = sockets_[socket]->receive_ring().receive(room);
            if (bytes == 0 || ++in_a_row_ == packets_in_a_row) {
                ++turn_;
                in_a_row_ = 0;
            }
            if (bytes != 0) {
                return bytes;
            }
        }
        return 0;
    }

    int packet_fd() const noexcept override { return packet_fd_; }
    bool arm() noexcept override { return !has_packet(); }
    void disarm() noexcept override {}
    std::uint64_t dropped() const noexcept override { return sockets_[pair_]->dropped(); }

private:
    /// Of a pair that is not in use: none.
    std::uint32_t first(std::uint32_t pairs_in_use) const noexcept { return pair_ < pairs_in_use ? pair_ : count(); }
    std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(sockets_.size()); }

    const std::span<const std::unique_ptr<XdpSocket>> sockets_;
    const std::uint32_t pair_;
    const std::atomic<std::uint16_t>& pairs_in_use_;
    const int packet_fd_;
    std::uint32_t turn_ = 0;
    std::uint32_t in_a_row_ = 0;
};

Result<void> check_options(const AfXdpOptions& options) {
    if (options.pairs == 0 || options.pairs > AfXdpBackend::pairs_max) {
        return failure(ErrorKind::out_of_range, fmt::format("an AF_XDP network has 1 to {} pairs, not {}",
                                                            AfXdpBackend::pairs_max, options.pairs));
    }
    if (!std::has_single_bit(options.frames) || options.frames < frames_min || options.frames > frames_max) {
        return failure(ErrorKind::out_of_range, fmt::format("frames have to be a power of two from {} to {}, not {}",
                                                            frames_min, frames_max, options.frames));
    }
    return {};
}

}  // namespace

std::string_view to_string(XdpMode mode) noexcept {
    switch (mode) {
        case XdpMode::automatic:
            return "auto";
        case XdpMode::copy:
            return "copy";
        case XdpMode::zero_copy:
            return "zerocopy";
    }
    return "unknown";
}

Result<XdpMode> parse_xdp_mode(std::string_view name) {
    for (const XdpMode mode : {XdpMode::automatic, XdpMode::copy, XdpMode::zero_copy}) {
        if (to_string(mode) == name) {
            return mode;
        }
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("\"{}\" is no mode of AF_XDP; use auto, copy or zerocopy", name));
}

Result<std::unique_ptr<AfXdpBackend>> AfXdpBackend::create(const AfXdpOptions& options) {
    SIDECORE_TRY(check_options(options));
    SIDECORE_TRY_ASSIGN(HostInterface interface, HostInterface::open(options.interface));
    SIDECORE_TRY_ASSIGN(Fd retry_wake, make_eventfd());
    const std::uint32_t queues = std::uint32_t{options.queue} + options.pairs;
    if (interface.queues() != 0 && queues > interface.queues()) {
        return failure(
            ErrorKind::out_of_range,
            fmt::format("{} has {} queue{}, which does not do for {} pair{} from queue {} on: ethtool -L {} "
                        "combined {} gives it more, if its driver can",
                        interface.name(), interface.queues(), interface.queues() == 1 ? "" : "s", options.pairs,
                        options.pairs == 1 ? "" : "s", options.queue, interface.name(), queues));
    }
    SIDECORE_TRY_ASSIGN(XdpProgram program, XdpProgram::attach(interface, queues, options.mode == XdpMode::zero_copy));
    XdpSocket::Options socket;
    socket.queue = options.queue;
    // Where the network stack runs the program, a driver that could do zero-copy would not be asked.
    socket.mode = program.hook() == XdpProgram::Hook::generic ? XdpMode::copy : options.mode;
    socket.frames = options.frames;
    const bool small = interface.mtu() + ethernet_bytes + vlan_tags_bytes <= small_frame_bytes - XDP_PACKET_HEADROOM;
    socket.frame_bytes = small ? small_frame_bytes : large_frame_bytes;
    socket.retry_fd = retry_wake.get();
    if (!interface.up()) {
        spdlog::warn("{} is down: nothing comes or goes until it is brought up", interface.name());
    }
    std::unique_ptr<AfXdpBackend> backend(
        new AfXdpBackend(std::move(interface), std::move(retry_wake), std::move(program), options.queue));
    std::vector<XdpTransmitter*> transmitters;
    for (std::uint16_t pair = 0; pair < options.pairs; ++pair, ++socket.queue) {
        SIDECORE_TRY(backend->add_socket(socket));
        transmitters.push_back(&backend->sockets_.back()->transmitter());
    }
    if (backend->interface_.mtu() + ethernet_bytes > backend->longest()) {
        spdlog::warn("{} has an MTU of {}, but packets of more than {} bytes are dropped", backend->interface_.name(),
                     backend->interface_.mtu(), backend->longest());
    }
    SIDECORE_TRY_ASSIGN(backend->retry_,
                        XdpRetry::start(backend->retry_wake_.get(), std::move(transmitters), backend->description()));
    return backend;
}

Result<void> AfXdpBackend::add_socket(const XdpSocket::Options& options) {
    SIDECORE_TRY_ASSIGN(auto socket, XdpSocket::open(interface_, options));
    Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) {
        return failure_from_errno("creating an epoll");
    }
    const auto index = static_cast<std::uint16_t>(sockets_.size());
    sockets_.push_back(std::move(socket));
    packet_epolls_.push_back(std::move(epoll));
    SIDECORE_TRY(watch(index, 0));
    return program_.redirect(options.queue, sockets_.back()->fd());
}

/// Arrivals on that socket wake that pair's receiver.
Result<void> AfXdpBackend::watch(std::uint16_t socket, std::uint16_t pair) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(packet_epolls_[pair].get(), EPOLL_CTL_ADD, sockets_[socket]->fd(), &event) != 0) {
        return failure_from_errno(fmt::format("watching queue {} of {}", first_queue_ + socket, interface_.name()));
    }
    return {};
}

std::string AfXdpBackend::description() const {
    const std::string queues = max_pairs() == 1
                                   ? fmt::format("queue {}", first_queue_)
                                   : fmt::format("queues {} to {}", first_queue_, first_queue_ + max_pairs() - 1);
    const bool generic = program_.hook() == XdpProgram::Hook::generic;
    return fmt::format("af_xdp {}, {} ({}{})", interface_.name(), queues,
                       sockets_.front()->zero_copy() ? "zero-copy" : "copy", generic ? ", generic" : "");
}

Result<void> AfXdpBackend::accept(const Offloads& offloads) {
    if (offloads != Offloads{}) {
        return failure(ErrorKind::unsupported, fmt::format("{} hands out plain packets only", description()));
    }
    return {};
}

Result<void> AfXdpBackend::set_pairs(std::uint16_t pairs) {
    SIDECORE_TRY(check_pairs(*this, pairs));
    const std::uint16_t before = pairs_in_use_.load(std::memory_order_relaxed);
    pairs_in_use_.store(pairs, std::memory_order_release);
    // A socket that changes hands is watched by both for a moment. If a packet waits there, the newcomer is woken by that.
    for (std::uint16_t socket = 0; socket < max_pairs(); ++socket) {
        const auto from = static_cast<std::uint16_t>(socket % before);
        const auto to = static_cast<std::uint16_t>(socket % pairs);
        if (from != to) {
            SIDECORE_TRY(watch(socket, to));
            ::epoll_ctl(packet_epolls_[from].get(), EPOLL_CTL_DEL, sockets_[socket]->fd(), nullptr);
        }
    }
    return {};
}

Result<std::unique_ptr<PacketSender>> AfXdpBackend::open_sender(std::uint16_t pair) {
    SIDECORE_TRY(check_pair(*this, pair));
    return std::make_unique<AfXdpSender>(sockets_[pair]->transmitter());
}

Result<std::unique_ptr<PacketReceiver>> AfXdpBackend::open_receiver(std::uint16_t pair) {
    SIDECORE_TRY(check_pair(*this, pair));
    const int packet_fd = max_pairs() == 1 ? sockets_.front()->fd() : packet_epolls_[pair].get();
    return std::make_unique<AfXdpReceiver>(sockets_, pair, pairs_in_use_, packet_fd);
}

Result<void> AfXdpBackend::announce(std::span<const std::uint8_t, 6> mac) {
    return interface_.send(make_rarp(mac));
}

}  // namespace sidecore::network
