// SPDX-License-Identifier: Apache-2.0
#include "net_stream.hh"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <utility>

#include "base/clock.hh"
#include "frontend/net_format.hh"
#include "frontend/net_frame.hh"

namespace sidecore::bench {

using frontend::NetReceiveLoad;
using frontend::NetTransmitLoad;

namespace {

constexpr std::uint64_t patience_ns =
    100'000'000;  // for a response: far more than any back-end needs that has not lost it

constexpr std::array counted{&NetCounts::transmitted,      &NetCounts::received,       &NetCounts::received_bytes,
                             &NetCounts::faults,           &NetCounts::responses,      &NetCounts::lost,
                             &NetCounts::strangers,        &NetCounts::transmit_kicks, &NetCounts::receive_kicks,
                             &NetCounts::kicks_suppressed, &NetCounts::calls};
static_assert(counted.size() * sizeof(std::uint64_t) == sizeof(NetCounts));

std::vector<std::byte> frame_for(const NetStream::Options& options) {
    const std::size_t bytes = options.mode == NetMode::request_response
                                  ? frontend::net_udp_header_bytes + frontend::NetRequestResponse::number_bytes
                                  : options.bytes;
    return frontend::make_udp_frame(
        {}, std::vector<std::byte>(std::max(bytes, frontend::net_udp_header_bytes) - frontend::net_udp_header_bytes));
}

}  // namespace

NetCounts& NetCounts::operator+=(const NetCounts& other) noexcept {
    for (const auto member : counted) {
        this->*member += other.*member;
    }
    return *this;
}

NetCounts& NetCounts::operator-=(const NetCounts& other) noexcept {
    for (const auto member : counted) {
        this->*member -= other.*member;
    }
    return *this;
}

NetStream::NetStream(const NetTarget& target, const Options& options)
    : target_(target),
      options_(options),
      arrivals_(options.arrivals, options.seed),
      kick_cost_(ns_to_cycles(options.kick_cost_ns)) {
    arrivals_.restart(cycles());
}

Result<NetStream> NetStream::create(const NetTarget& target, const Options& options) {
    NetStream stream(target, options);
    if (options.mode != NetMode::receive) {
        SIDECORE_TRY_ASSIGN(NetTransmitLoad transmit,
                            NetTransmitLoad::create(*target.memory, *target.transmit, target.features,
                                                    frame_for(options), options.chains));
        stream.transmit_ = std::make_unique<NetTransmitLoad>(std::move(transmit));
    }
    if (options.mode == NetMode::transmit) {
        return stream;
    }
    frontend::NetLoadOptions chains = options.chains;
    chains.buffer_bytes = std::max(frontend::net_receive_bytes(target.features),
                                   options.bytes + std::uint32_t{sizeof(frontend::NetHeader)});
    frontend::GuestMemoryFile& memory = target.receive_memory != nullptr ? *target.receive_memory : *target.memory;
    SIDECORE_TRY_ASSIGN(NetReceiveLoad receive,
                        NetReceiveLoad::create(memory, *target.receive, target.features, chains));
    stream.receive_ = std::make_unique<NetReceiveLoad>(std::move(receive));
    if (options.mode == NetMode::request_response) {
        stream.exchange_.emplace(*stream.transmit_, *stream.receive_, ns_to_cycles(patience_ns),
                                 stream.arrivals_.closed() ? std::uint16_t{1} : options.chains.depth);
    }
    return stream;
}

void NetStream::turn(std::uint64_t now) noexcept {
    const std::uint64_t kicked = kick_cost_ == 0 ? 0 : kicks();
    if (exchange_) {
        exchange(now);
    } else {
        if (receive_) {
            receive_->receive();
        }
        if (transmit_) {
            send(now);
        }
    }
    if (kick_cost_ != 0) {
        const std::uint64_t end = cycles() + (kicks() - kicked) * kick_cost_;
        while (cycles() < end) {
        }
    }
}

void NetStream::exchange(std::uint64_t now) noexcept {
    if (arrivals_.closed()) {
        if (const auto took = exchange_->turn(now)) {
            histogram_.record(*took);
        }
        return;
    }
    exchange_->take(now, [this](std::uint64_t took) { histogram_.record(took); });
    while (arrivals_.next() <= now && exchange_->start(arrivals_.next(), now)) {
        arrivals_.advance();
    }
}

/// Those frames that are to go by now, as far as there is room.
void NetStream::send(std::uint64_t now) noexcept {
    transmit_->reclaim();
    if (arrivals_.closed()) {
        transmit_->send(options_.batch);
        return;
    }
    std::size_t due = 0;
    while (arrivals_.next() <= now && due < std::min<std::size_t>(options_.batch, transmit_->idle())) {
        arrivals_.advance();
        ++due;
    }
    transmit_->send(due);
}

std::uint64_t NetStream::kicks() const noexcept {
    return target_.transmit->statistics().kicks_sent + target_.receive->statistics().kicks_sent;
}

NetCounts NetStream::totals() {
    NetCounts totals;
    for (frontend::DriverQueue* queue : {target_.transmit, target_.receive}) {
        queue->wait_for_call(std::chrono::milliseconds(0));  // reads how many there were
        totals.calls += queue->statistics().calls_received;
        totals.kicks_suppressed += queue->statistics().kicks_suppressed;
    }
    totals.transmit_kicks = target_.transmit->statistics().kicks_sent;
    totals.receive_kicks = target_.receive->statistics().kicks_sent;
    totals.transmitted = transmit_ ? transmit_->used() : 0;
    if (receive_) {
        totals.received = receive_->counts().frames;
        totals.received_bytes = receive_->counts().bytes;
        totals.faults = receive_->counts().faults;
    }
    if (exchange_) {
        totals.responses = exchange_->responses();
        totals.lost = exchange_->lost();
        totals.strangers = exchange_->strangers();
    }
    return totals;
}

void NetStream::forget(std::uint64_t now) {
    before_ = totals();
    histogram_.clear();
    arrivals_.restart(now);
}

NetCounts NetStream::counts() {
    NetCounts since = totals();
    since -= before_;
    return since;
}

Result<void> NetStream::finish_all() {
    const std::uint64_t end = cycles() + ns_to_cycles(5'000'000'000);
    const auto under_way = [this] { return transmit_ && transmit_->idle() != transmit_->depth(); };
    while (under_way() && cycles() < end) {
        transmit_->reclaim();
        if (receive_) {
            receive_->receive();
        }
    }
    for (const frontend::DriverQueue* queue : {target_.transmit, target_.receive}) {
        if (!queue->violation().empty()) {
            return failure(ErrorKind::protocol_violation, queue->violation());
        }
    }
    if (under_way()) {
        return failure(ErrorKind::timed_out, "the back-end lost frames, or a wake-up: it does not use them");
    }
    return {};
}

}  // namespace sidecore::bench
