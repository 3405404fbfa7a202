// SPDX-License-Identifier: Apache-2.0
#include "scsi/logical_unit.hh"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "scsi/domain.hh"
#include "scsi/identity.hh"
#include "scsi/nexus.hh"

namespace sidecore::scsi {

namespace {

bool printable(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](char character) { return character >= 0x20 && character <= 0x7e; });
}

Result<void> check_text(std::string_view what, std::string_view text, std::size_t longest) {
    if (text.size() > longest || !printable(text)) {
        return failure(
            ErrorKind::invalid_argument,
            fmt::format("the {} of a SCSI disk must be at most {} printable ASCII characters", what, longest));
    }
    return {};
}

}  // namespace

Result<std::shared_ptr<LogicalUnit>> LogicalUnit::create(std::unique_ptr<storage::BlockBackend> backend,
                                                         Options options) {
    if (options.serial.empty()) {
        options.serial = options.name.substr(0, serial_bytes_max);
    }
    SIDECORE_TRY(check_text("serial", options.serial, serial_bytes_max));
    SIDECORE_TRY(check_text("vendor", options.vendor, 8));
    SIDECORE_TRY(check_text("product", options.product, 16));
    SIDECORE_TRY(check_text("revision", options.revision, 4));
    const storage::BlockGeometry geometry = backend->geometry();
    return std::shared_ptr<LogicalUnit>(new LogicalUnit(std::move(backend), std::move(options), geometry));
}

LogicalUnit::LogicalUnit(std::unique_ptr<storage::BlockBackend> backend, Options options,
                         const storage::BlockGeometry& geometry)
    : backend_(std::move(backend)),
      geometry_(geometry),
      options_(std::move(options)),
      identity_(locally_assigned_naa(options_.serial)),
      read_only_(options_.read_only || geometry.read_only),
      capacity_blocks_(geometry.capacity_bytes / geometry.logical_block_bytes) {
    write_cache = geometry.volatile_write_cache;
}

LogicalUnit::~LogicalUnit() = default;

Result<void> LogicalUnit::resize(std::uint64_t capacity_bytes) {
    {
        const std::lock_guard lock(backend_mutex_);
        SIDECORE_TRY(backend_->resize(capacity_bytes));
        const std::uint64_t blocks = backend_->geometry().capacity_bytes / block_bytes();
        if (capacity_blocks_.exchange(blocks) == blocks) {
            return {};
        }
    }
    raise(AdditionalSense::capacity_data_has_changed);
    for (const auto& nexus : nexuses()) {
        nexus->domain().unit_changed(*nexus, AdditionalSense::capacity_data_has_changed);
    }
    return {};
}

std::string LogicalUnit::description() const {
    const std::lock_guard lock(backend_mutex_);
    return backend_->description();
}

Result<std::unique_ptr<storage::BlockQueue>> LogicalUnit::open_queue(std::uint32_t depth) {
    const std::lock_guard lock(backend_mutex_);
    return backend_->open_queue(depth);
}

void LogicalUnit::attach(const std::shared_ptr<Nexus>& nexus) {
    const std::lock_guard lock(nexuses_mutex_);
    nexuses_.push_back(nexus);
}

void LogicalUnit::detach(const Nexus& nexus) {
    const std::lock_guard lock(nexuses_mutex_);
    std::erase_if(nexuses_, [&](const auto& candidate) { return candidate.get() == &nexus; });
}

std::vector<std::shared_ptr<Nexus>> LogicalUnit::nexuses() const {
    const std::lock_guard lock(nexuses_mutex_);
    return nexuses_;
}

void LogicalUnit::raise(AdditionalSense code, const Nexus* except) {
    for (const auto& nexus : nexuses()) {
        if (nexus.get() != except) {
            nexus->raise(code);
        }
    }
}

void LogicalUnit::abort_tasks(Outcome outcome, const std::function<bool(const Nexus&)>& of,
                              std::function<void()> done) {
    const auto group = AbortGroup::create([done = std::move(done)](std::uint32_t) { done(); });
    for (const auto& nexus : nexuses()) {
        if (!of || of(*nexus)) {
            nexus->domain().abort_tasks({nexus, std::nullopt, outcome, group});
        }
    }
}

void LogicalUnit::reset() {
    for (const auto& nexus : nexuses()) {
        nexus->set_aca(false);
        nexus->prevent_removal(false);
        nexus->raise(AdditionalSense::bus_device_reset_occurred);
        nexus->domain().look_again();
    }
}

void LogicalUnit::nexus_lost(Nexus& nexus) {
    nexus.set_aca(false);
    nexus.prevent_removal(false);
    nexus.raise(AdditionalSense::i_t_nexus_loss_occurred);
    nexus.domain().look_again();
}

}  // namespace sidecore::scsi
