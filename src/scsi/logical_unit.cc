// SPDX-License-Identifier: Apache-2.0
#include "scsi/logical_unit.hh"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/format.hh"
#include "scsi/domain.hh"
#include "scsi/identity.hh"
#include "scsi/nexus.hh"
#include "scsi/sanitizer.hh"
#include "scsi/unit_state.hh"

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
    ReservationFile file(options.reservations_file, locally_assigned_naa(options.serial));
    SIDECORE_TRY_ASSIGN(auto reserved, file.load());
    auto unit = std::shared_ptr<LogicalUnit>(
        new LogicalUnit(std::move(backend), std::move(options), geometry, std::move(file), std::move(reserved)));
    if (unit->can_save_mode_settings()) {
        SIDECORE_TRY_ASSIGN(unit->saved_mode_, load_unit_state(unit->options_.state_file, unit->identity_));
        unit->set_mode_settings(unit->saved_mode_settings());
    }
    return unit;
}

LogicalUnit::LogicalUnit(std::unique_ptr<storage::BlockBackend> backend, Options options,
                         const storage::BlockGeometry& geometry, ReservationFile reservation_file,
                         ReservationState reserved)
    : backend_(std::move(backend)),
      geometry_(geometry),
      options_(std::move(options)),
      identity_(locally_assigned_naa(options_.serial)),
      read_only_(options_.read_only || geometry.read_only),
      capacity_blocks_(geometry.capacity_bytes / geometry.logical_block_bytes),
      sanitizer_(std::make_unique<Sanitizer>(*this)),
      reservations_(*this, std::move(reservation_file), std::move(reserved)) {
    write_cache = geometry.volatile_write_cache;
}

LogicalUnit::~LogicalUnit() {
    sanitizer_->stop();
}

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
    visit([](const Nexus& nexus) { nexus.domain().unit_changed(nexus, AdditionalSense::capacity_data_has_changed); });
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

ModeSettings LogicalUnit::current_mode_settings() const noexcept {
    return {write_cache.load(std::memory_order_relaxed), descriptor_sense.load(std::memory_order_relaxed),
            software_write_protected.load(std::memory_order_relaxed)};
}

void LogicalUnit::set_mode_settings(const ModeSettings& settings) noexcept {
    write_cache.store(settings.write_cache, std::memory_order_relaxed);
    descriptor_sense.store(settings.descriptor_sense, std::memory_order_relaxed);
    software_write_protected.store(settings.software_write_protected, std::memory_order_relaxed);
}

ModeSettings LogicalUnit::mode_settings() const {
    const std::lock_guard lock(mode_mutex_);
    return current_mode_settings();
}

ModeSettings LogicalUnit::saved_mode_settings() const {
    const std::lock_guard lock(mode_mutex_);
    return saved_mode_.value_or(default_mode_settings());
}

Result<LogicalUnit::ModeTransition> LogicalUnit::change_mode(const ModeChanges& changes, bool save) {
    std::unique_lock<std::mutex> saving;
    std::optional<ModeSettings> saved;
    if (save) {
        saving = std::unique_lock(state_file_mutex_);
        saved = changes.applied_to(mode_settings());
        SIDECORE_TRY(save_unit_state(options_.state_file, identity_, *saved));
    }
    const std::lock_guard lock(mode_mutex_);
    const ModeSettings before = current_mode_settings();
    const ModeSettings after = changes.applied_to(before);
    set_mode_settings(after);
    saved_mode_ = saved ? saved : saved_mode_;
    return ModeTransition{before, after};
}

void LogicalUnit::attach(const std::shared_ptr<Nexus>& nexus) {
    {
        const std::lock_guard lock(nexuses_mutex_);
        nexuses_.push_back(nexus);
    }
    reservations_.attached(*nexus);
}

void LogicalUnit::detach(const Nexus& nexus) {
    reservations_.end_reserve(nexus);
    const std::lock_guard lock(nexuses_mutex_);
    std::erase_if(nexuses_, [&](const auto& candidate) { return candidate.get() == &nexus; });
}

std::vector<std::shared_ptr<Nexus>> LogicalUnit::nexuses() const {
    const std::lock_guard lock(nexuses_mutex_);
    return nexuses_;
}

void LogicalUnit::visit(const std::function<void(Nexus&)>& visitor) const {
    const std::lock_guard lock(nexuses_mutex_);
    for (const auto& nexus : nexuses_) {
        visitor(*nexus);
    }
}

void LogicalUnit::raise(AdditionalSense code, const Nexus* except) {
    for (const auto& nexus : nexuses()) {
        if (nexus.get() != except) {
            nexus->raise(code);
        }
    }
}

void LogicalUnit::abort_tasks(Outcome outcome, const std::function<bool(const Nexus&)>& of, std::function<void()> done,
                              const Task* except) {
    const auto group = AbortGroup::create([done = std::move(done)](std::uint32_t) { done(); });
    const std::lock_guard lock(nexuses_mutex_);
    for (const auto& nexus : nexuses_) {
        if (!of || of(*nexus)) {
            nexus->domain().abort_tasks({nexus, std::nullopt, outcome, group, {}, except});
        }
    }
}

void LogicalUnit::settle_changes(const MediumRange& range, std::function<void()> done) {
    const auto group = AbortGroup::create([done = std::move(done)](std::uint32_t) { done(); });
    const std::lock_guard lock(nexuses_mutex_);
    for (const auto& nexus : nexuses_) {
        nexus->domain().abort_tasks({nexus, std::nullopt, std::nullopt, group, range});
    }
}

void LogicalUnit::reset() {
    stopped.store(false, std::memory_order_release);  // SBC-3 4.20: it begins in the active power condition
    {
        const std::lock_guard lock(mode_mutex_);
        set_mode_settings(saved_mode_.value_or(default_mode_settings()));  // SPC-4 5.15
    }
    reservations_.end_reserve();
    visit([](Nexus& nexus) {
        nexus.set_aca(false);
        nexus.prevent_removal(false);
        nexus.raise(AdditionalSense::bus_device_reset_occurred);
        nexus.domain().look_again();
    });
}

void LogicalUnit::nexus_lost(Nexus& nexus) {
    reservations_.end_reserve(nexus);
    nexus.set_aca(false);
    nexus.prevent_removal(false);
    nexus.raise(AdditionalSense::i_t_nexus_loss_occurred);
    nexus.domain().look_again();
}

}  // namespace sidecore::scsi
