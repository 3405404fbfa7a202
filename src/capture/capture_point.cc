// SPDX-License-Identifier: Apache-2.0
#include "capture/capture_point.hh"

#include <algorithm>
#include <utility>

#include "base/format.hh"

namespace sidecore::capture {

// ---- Capture ----

Capture::Capture(std::shared_ptr<CapturePoint> point, const Options& options, std::unique_ptr<RecordRing> ring) noexcept
    : point_(std::move(point)), options_(options), ring_(std::move(ring)) {}

Capture::~Capture() {
    point_->stop(*this);
}

void Capture::take(const Record& record, std::span<const iovec> data) noexcept {
    Record kept = record;
    kept.captured_bytes = std::min(record.packet_bytes, options_.snap_bytes);
    if (!ring_->push(kept, data)) {
        dropped_.fetch_add(1, std::memory_order_relaxed);
    }
}

// ---- a slot's gate ----

/// True: the capture stays until leave().
bool CapturePoint::Slot::enter() noexcept {
    if ((gate.load(std::memory_order_relaxed) & open) == 0) {
        return false;
    }
    // The acquire pairs with the release that opens the gate: the capture is there. In one step with counting, so that there is no moment
    // at which we are inside and close() does not see us.
    if ((gate.fetch_add(1, std::memory_order_acquire) & open) != 0) {
        return true;
    }
    leave();
    return false;
}

void CapturePoint::Slot::leave() noexcept {
    // The release pairs with the acquire in close(): what we did to the capture is done before it is destroyed.
    const std::uint32_t before = gate.fetch_sub(1, std::memory_order_release);
    if (before == 1) {  // closed, and we are the last: only then is anybody waiting
        gate.notify_all();
    }
}

void CapturePoint::Slot::close() noexcept {
    gate.fetch_and(~open, std::memory_order_relaxed);
    for (std::uint32_t inside = 0; (inside = gate.load(std::memory_order_acquire)) != 0;) {
        gate.wait(inside, std::memory_order_acquire);
    }
    capture = nullptr;
}

// ---- the point ----

void CapturePoint::take(Direction direction, std::uint16_t queue, std::uint64_t time_ns,
                        std::span<const network::Packet> packets) noexcept {
    for (Slot& slot : slots_) {
        if (!slot.enter()) {
            continue;
        }
        Capture& capture = *slot.capture;
        if (direction == Direction::in ? capture.options_.in : capture.options_.out) {
            for (const network::Packet& packet : packets) {
                capture.take({time_ns, packet.bytes, 0, queue, direction}, packet.data);
            }
            capture.ring_->wake();
        }
        slot.leave();
    }
}

Result<std::unique_ptr<Capture>> CapturePoint::start(const Capture::Options& options) {
    if (options.snap_bytes < min_snap_bytes || options.snap_bytes > max_snap_bytes) {
        return failure(ErrorKind::out_of_range, fmt::format("a snap length is {} to {} bytes, not {}", min_snap_bytes,
                                                            max_snap_bytes, options.snap_bytes));
    }
    SIDECORE_TRY_ASSIGN(auto ring, RecordRing::create(options.ring_bytes));
    const std::lock_guard lock(mutex_);
    if (device_gone_) {
        return failure(ErrorKind::closed, "the device is being removed");
    }
    const auto slot = std::ranges::find(slots_, nullptr, &Slot::capture);
    if (slot == slots_.end()) {
        return failure(ErrorKind::already_exists,
                       fmt::format("there are {} captures already, which is as many as there can be", max_captures));
    }
    std::unique_ptr<Capture> capture(new Capture(shared_from_this(), options, std::move(ring)));
    slot->capture = capture.get();
    slot->gate.fetch_or(Slot::open, std::memory_order_release);
    open_.fetch_add(1, std::memory_order_relaxed);
    return capture;
}

void CapturePoint::stop(const Capture& capture) noexcept {
    const std::lock_guard lock(mutex_);
    for (Slot& slot : slots_) {
        if (slot.capture == &capture) {
            open_.fetch_sub(1, std::memory_order_relaxed);
            slot.close();
        }
    }
}

void CapturePoint::end() noexcept {
    const std::lock_guard lock(mutex_);
    device_gone_ = true;
    for (Slot& slot : slots_) {
        if (Capture* const capture = slot.capture; capture != nullptr) {
            open_.fetch_sub(1, std::memory_order_relaxed);
            slot.close();
            capture->ended_.store(true, std::memory_order_release);
            capture->ring_->signal();
        }
    }
}

}  // namespace sidecore::capture
