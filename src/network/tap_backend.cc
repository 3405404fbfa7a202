// SPDX-License-Identifier: Apache-2.0
#include "network/tap_backend.hh"

#include "base/format.hh"
#include "network/pair_check.hh"
#include "network/rarp.hh"
#include "network/tap_queue.hh"

namespace sidecore::network {

Result<std::unique_ptr<TapBackend>> TapBackend::create(const TapOptions& options) {
    SIDECORE_TRY_ASSIGN(auto device, TapDevice::open(options));
    return std::unique_ptr<TapBackend>(new TapBackend(std::move(device)));
}

std::string TapBackend::description() const {
    return fmt::format("tap {}, {} queue{}", name(), max_pairs(), max_pairs() == 1 ? "" : "s");
}

Result<void> TapBackend::accept(const Offloads& offloads) {
    SIDECORE_TRY(device_.accept(offloads));
    accepted_.set(offloads);
    return {};
}

Result<void> TapBackend::set_pairs(std::uint16_t pairs) {
    SIDECORE_TRY(check_pairs(*this, pairs));
    return device_.use_queues(pairs);
}

Result<std::unique_ptr<PacketSender>> TapBackend::open_sender(std::uint16_t pair) {
    SIDECORE_TRY(check_pair(*this, pair));
    return TapSender::create(device_.queue(pair));
}

Result<std::unique_ptr<PacketReceiver>> TapBackend::open_receiver(std::uint16_t pair) {
    SIDECORE_TRY(check_pair(*this, pair));
    return std::make_unique<TapReceiver>(device_.queue(pair), accepted_);
}

Result<void> TapBackend::announce(std::span<const std::uint8_t, 6> mac) {
    return write_to_tap(device_.queue(0), make_rarp(mac));
}

}  // namespace sidecore::network
