// SPDX-License-Identifier: Apache-2.0
#include "daemon/unit_maker.hh"

#include <filesystem>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "base/format.hh"
#include "daemon/device_maker.hh"
#include "scsi/identity.hh"
#include "storage/factory.hh"

namespace sidecore::daemon {

namespace {

/// A file that one unit of this process keeps something in, until this ends. Two units that write the same file would destroy what the other keeps.
/// Thread: any.
class FileClaim {
public:
    /// Error: already_exists.
    static Result<FileClaim> take(std::string_view key, const std::string& path) {
        if (path.empty()) {
            return FileClaim();
        }
        std::error_code error;
        std::string file = std::filesystem::weakly_canonical(path, error).string();
        if (error) {
            file = path;
        }
        const std::lock_guard lock(mutex());
        if (!files().insert(file).second) {
            return failure(ErrorKind::already_exists,
                           fmt::format("{}: {} is another disk's; each needs a file of its own", key, path));
        }
        return FileClaim(std::move(file));
    }

    FileClaim(FileClaim&& other) noexcept : file_(std::exchange(other.file_, {})) {}
    FileClaim& operator=(FileClaim&&) = delete;
    ~FileClaim() {
        if (!file_.empty()) {
            const std::lock_guard lock(mutex());
            files().erase(file_);
        }
    }

private:
    FileClaim() = default;
    explicit FileClaim(std::string file) : file_(std::move(file)) {}

    static std::mutex& mutex() {
        static std::mutex instance;
        return instance;
    }
    static std::set<std::string>& files() {
        static std::set<std::string> instance;
        return instance;
    }

    std::string file_;
};

/// A unit and what has to stay until it is gone: members end in the reverse order.
struct ClaimedUnit {
    FileClaim reservations;
    FileClaim state;
    std::shared_ptr<scsi::LogicalUnit> unit;
};

std::string serial_for(const std::string& name) {
    constexpr std::size_t kept = 15;
    return name.size() <= control::ScsiDiskSpec::max_serial_bytes
               ? name
               : fmt::format("{}-{:016x}", name.substr(0, kept), scsi::locally_assigned_naa(name));
}

std::string_view to_string(scsi::ReservationType type) noexcept {
    switch (type) {
        case scsi::ReservationType::none:
            break;
        case scsi::ReservationType::write_exclusive:
            return "write_exclusive";
        case scsi::ReservationType::exclusive_access:
            return "exclusive_access";
        case scsi::ReservationType::write_exclusive_registrants_only:
            return "write_exclusive_registrants_only";
        case scsi::ReservationType::exclusive_access_registrants_only:
            return "exclusive_access_registrants_only";
        case scsi::ReservationType::write_exclusive_all_registrants:
            return "write_exclusive_all_registrants";
        case scsi::ReservationType::exclusive_access_all_registrants:
            return "exclusive_access_all_registrants";
    }
    return "none";
}

}  // namespace

Result<std::shared_ptr<scsi::LogicalUnit>> make_unit(const control::ScsiDiskSpec& spec, const std::string& name) {
    SIDECORE_TRY_ASSIGN(FileClaim reservations, FileClaim::take("reservations_file", spec.reservations_file));
    SIDECORE_TRY_ASSIGN(FileClaim state, FileClaim::take("state_file", spec.state_file));
    SIDECORE_TRY_ASSIGN(auto storage, storage::open_storage(to_storage(spec.storage, spec.read_only)));
    scsi::LogicalUnit::Options options;
    options.name = name;
    options.serial = spec.serial.empty() ? serial_for(name) : spec.serial;
    const auto replace = [](std::string& option, const std::string& text) {
        if (!text.empty()) {
            option = text;
        }
    };
    replace(options.vendor, spec.vendor);
    replace(options.product, spec.product);
    replace(options.revision, spec.revision);
    options.read_only = spec.read_only;
    options.rotational = spec.rotational;
    options.reservations_file = spec.reservations_file;
    options.state_file = spec.state_file;
    SIDECORE_TRY_ASSIGN(auto unit, scsi::LogicalUnit::create(std::move(storage), std::move(options)));
    const std::shared_ptr<ClaimedUnit> claimed(
        new ClaimedUnit{std::move(reservations), std::move(state), std::move(unit)});
    return std::shared_ptr<scsi::LogicalUnit>(claimed, claimed->unit.get());
}

control::ScsiDiskInfo to_info(const scsi::LogicalUnit& unit) {
    const auto reservations = unit.reservations().view();
    return {.read_only = unit.read_only(),
            .rotational = unit.options().rotational,
            .serial = unit.serial(),
            .identity = fmt::format("naa.{:016x}", unit.identity()),
            .capacity_bytes = unit.capacity_blocks() * unit.block_bytes(),
            .storage_kind = std::string(unit.backend().kind()),
            .storage_description = unit.description(),
            .reservation = std::string(reservations ? to_string(reservations->state.type) : "reserve"),
            .registrants = reservations ? reservations->state.registrations.size() : 0};
}

}  // namespace sidecore::daemon
