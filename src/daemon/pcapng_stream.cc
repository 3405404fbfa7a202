// SPDX-License-Identifier: Apache-2.0
#include "daemon/pcapng_stream.hh"

#include <algorithm>
#include <cstring>
#include <utility>

#include <spdlog/spdlog.h>

#include "base/clock.hh"
#include "base/format.hh"
#include "control/version.hh"

namespace sidecore::daemon {

using capture::Capture;
using capture::RecordRing;
using control::CaptureDirection;

namespace {

/// Made at a time.
constexpr std::size_t blocks_bytes = std::size_t{128} << 10U;

/// While packets are dropped and no end is in sight, statistics say so that often.
constexpr std::uint64_t statistics_interval_ns = 100'000'000;

static_assert(control::CaptureRequest::min_snap_bytes == capture::min_snap_bytes &&
              control::CaptureRequest::max_snap_bytes == capture::max_snap_bytes);

}  // namespace

Result<std::unique_ptr<PcapngStream>> PcapngStream::start(std::string device, capture::CapturePoint& point,
                                                          const control::CaptureRequest& request,
                                                          std::size_t ring_bytes) {
    Capture::Options options;
    options.snap_bytes = request.snap_bytes;
    options.in = request.direction != CaptureDirection::out;
    options.out = request.direction != CaptureDirection::in;
    options.ring_bytes = ring_bytes;
    SIDECORE_TRY_ASSIGN(auto capture, point.start(options));
    spdlog::info("{}: a capture begins", device);
    return std::unique_ptr<PcapngStream>(new PcapngStream(std::move(device), std::move(capture)));
}

PcapngStream::PcapngStream(std::string device, std::unique_ptr<Capture> capture)
    : device_(std::move(device)), capture_(std::move(capture)) {
    blocks_.reserve(blocks_bytes + capture::max_snap_bytes);
    capture::pcapng::append_header(blocks_, fmt::format("sidecore {}", control::version()), device_,
                                   capture_->options().snap_bytes);
}

PcapngStream::~PcapngStream() {
    spdlog::info("{}: a capture ends: {} packets captured, {} dropped", device_, captured_, capture_->dropped());
}

control::CaptureStream::Piece PcapngStream::read(std::span<std::byte> out) {
    Piece piece;
    while (piece.bytes != out.size()) {
        if (!unsent()) {
            make_blocks();
            if (!unsent()) {
                break;
            }
        }
        const std::size_t bytes = std::min(out.size() - piece.bytes, blocks_.size() - sent_bytes_);
        std::memcpy(out.data() + piece.bytes, blocks_.data() + sent_bytes_, bytes);
        piece.bytes += bytes;
        sent_bytes_ += bytes;
    }
    piece.ended = ended_ && !unsent();
    return piece;
}

void PcapngStream::make_blocks() {
    blocks_.clear();
    sent_bytes_ = 0;
    if (ended_) {
        return;
    }
    RecordRing& ring = capture_->ring();
    const bool last = capture_->ended();  // before the ring is looked at
    auto record = ring.front();
    for (; record && blocks_.size() < blocks_bytes; record = ring.front()) {
        ring.pop(capture::pcapng::append_packet(blocks_, *record));
        ++captured_;
    }
    const std::uint64_t dropped = capture_->dropped();
    if (!record && last) {
        make_statistics(dropped);
        ended_ = true;
    } else if (dropped != dropped_ && (!record || monotonic_ns() - statistics_ns_ >= statistics_interval_ns)) {
        make_statistics(dropped);
    }
}

void PcapngStream::make_statistics(std::uint64_t dropped) {
    dropped_ = dropped;
    statistics_ns_ = monotonic_ns();
    capture::pcapng::append_statistics(blocks_, realtime_ns(), {captured_ + dropped, dropped});
}

bool PcapngStream::arm(Amount amount) {
    if (unsent() || capture_->ended()) {
        return false;
    }
    // Should the device end now, the ring is signalled after that has become visible.
    return capture_->ring().arm(amount == Amount::something ? RecordRing::Level::any : RecordRing::Level::half);
}

}  // namespace sidecore::daemon
