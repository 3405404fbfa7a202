// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "scsi/codes.hh"
#include "scsi/identity.hh"
#include "scsi/lun.hh"

namespace sidecore::scsi {

class Domain;
class LogicalUnit;

/// A SAS TransportID (SPC-4 7.6.4.7): what persistent reservations know an initiator port by.
using TransportId = std::array<std::byte, 24>;

/// One that is the same for the same name, at all times and on all hosts: a locally assigned NAA of its hash.
TransportId transport_id_of(const std::string& name) noexcept;

/// An I_T_L nexus: one device's way to one logical unit, with what the unit keeps for each of them.
///
/// Thread: any.
class Nexus {
public:
    Nexus(Domain& domain, const std::string& initiator, std::uint8_t target, Lun lun,
          std::shared_ptr<LogicalUnit> unit);
    Nexus(const Nexus&) = delete;
    Nexus& operator=(const Nexus&) = delete;

    Domain& domain() const noexcept { return domain_; }
    LogicalUnit& unit() const noexcept { return *unit_; }
    const TransportId& initiator() const noexcept { return initiator_; }
    const std::string& initiator_name() const noexcept { return initiator_name_; }
    std::uint8_t target() const noexcept { return target_; }
    Lun lun() const noexcept { return lun_; }

    /// RELATIVE TARGET PORT IDENTIFIER (SPC-4 7.8.6.6), 1 to 256.
    std::uint16_t relative_port() const noexcept { return relative_port_of(target_); }

    /// Unit attentions (SAM-5 5.14) are reported in the order in which they came, one that is pending already not again, a reset before
    /// all others.
    void raise(AdditionalSense code);
    bool attention_pending() const noexcept { return attention_pending_.load(std::memory_order_acquire); }
    std::optional<AdditionalSense> take_attention();
    void clear_attention(AdditionalSense code);

    /// An ACA condition (SAM-5 5.9): new tasks of this nexus must have the ACA attribute.
    bool aca_active() const noexcept { return aca_.load(std::memory_order_acquire); }
    void set_aca(bool active) noexcept { aca_.store(active, std::memory_order_release); }

    /// PREVENT ALLOW MEDIUM REMOVAL
    bool removal_prevented() const noexcept { return removal_prevented_.load(std::memory_order_relaxed); }
    void prevent_removal(bool prevented) noexcept { removal_prevented_.store(prevented, std::memory_order_relaxed); }

    /// What reservations of others keep it from: bits that Reservations sets and every command looks at.
    static constexpr std::uint8_t barred_from_reading = 1U << 0U;
    static constexpr std::uint8_t barred_from_writing = 1U << 1U;
    static constexpr std::uint8_t barred_by_reserve = 1U << 2U;  ///< another has used RESERVE
    std::atomic<std::uint8_t> barred{0};

    /// It is no more: Domain::remove().
    bool gone() const noexcept { return gone_.load(std::memory_order_acquire); }
    void set_gone() noexcept { gone_.store(true, std::memory_order_release); }

private:
    Domain& domain_;
    const std::string initiator_name_;
    const TransportId initiator_;
    const std::uint8_t target_;
    const Lun lun_;
    const std::shared_ptr<LogicalUnit> unit_;

    std::atomic<bool> aca_{false};
    std::atomic<bool> removal_prevented_{false};
    std::atomic<bool> gone_{false};
    std::atomic<bool> attention_pending_{false};

    std::mutex mutex_;  // guards what follows
    std::vector<AdditionalSense> attentions_;
};

}  // namespace sidecore::scsi
