// SPDX-License-Identifier: Apache-2.0
#include "scsi/nexus.hh"

#include <algorithm>
#include <utility>

#include "base/big_endian.hh"
#include "scsi/identity.hh"

namespace sidecore::scsi {

namespace {

/// POWER ON, RESET, OR BUS DEVICE RESET OCCURRED and its kind
bool is_reset(AdditionalSense code) noexcept {
    return static_cast<std::uint16_t>(code) >> 8U == 0x29;
}

}  // namespace

TransportId transport_id_of(const std::string& name) noexcept {
    TransportId id{};
    id[0] = std::byte{0x06};  // FORMAT CODE 0, PROTOCOL IDENTIFIER: SAS
    store_big_endian(std::span(id).subspan(4, 8), locally_assigned_naa(name));
    return id;
}

Nexus::Nexus(Domain& domain, const std::string& initiator, std::uint8_t target, Lun lun,
             std::shared_ptr<LogicalUnit> unit)
    : domain_(domain),
      initiator_name_(initiator),
      initiator_(transport_id_of(initiator)),
      target_(target),
      lun_(lun),
      unit_(std::move(unit)) {}

void Nexus::raise(AdditionalSense code) {
    const std::lock_guard lock(mutex_);
    if (std::ranges::find(attentions_, code) != attentions_.end()) {
        return;
    }
    attentions_.insert(is_reset(code) ? attentions_.begin() : attentions_.end(), code);
    attention_pending_.store(true, std::memory_order_release);
}

std::optional<AdditionalSense> Nexus::take_attention() {
    const std::lock_guard lock(mutex_);
    if (attentions_.empty()) {
        return std::nullopt;
    }
    const AdditionalSense code = attentions_.front();
    attentions_.erase(attentions_.begin());
    attention_pending_.store(!attentions_.empty(), std::memory_order_release);
    return code;
}

void Nexus::clear_attention(AdditionalSense code) {
    const std::lock_guard lock(mutex_);
    std::erase(attentions_, code);
    attention_pending_.store(!attentions_.empty(), std::memory_order_release);
}

}  // namespace sidecore::scsi
