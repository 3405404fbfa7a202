// SPDX-License-Identifier: Apache-2.0
#include "daemon/served_units.hh"

#include <algorithm>
#include <thread>
#include <utility>

#include <spdlog/spdlog.h>

#include "base/format.hh"

namespace sidecore::daemon {

using control::UnitAddress;
using control::UnitInfo;
using control::UnitSpec;

bool wait_for_release(std::chrono::milliseconds limit, const std::function<bool()>& released,
                      const std::function<void()>& nudge) {
    constexpr std::chrono::milliseconds between_nudges{2};
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!released()) {
        if (std::chrono::steady_clock::now() >= deadline) {
            return false;
        }
        nudge();  // I/O that ended after the last one
        std::this_thread::sleep_for(between_nudges);
    }
    return true;
}

ServedUnits::ServedUnits(std::string device, scsi::Domain& domain, std::chrono::milliseconds release_limit)
    : device_(std::move(device)), domain_(domain), release_limit_(release_limit) {}

Error ServedUnits::within(Error error, UnitAddress address) const {
    return std::move(error).within(fmt::format("{} unit {}", device_, control::to_string(address)));
}

Result<ServedUnits::Units::const_iterator> ServedUnits::find(UnitAddress address) const {
    const auto found = units_.find(address);
    if (found == units_.end()) {
        return failure(ErrorKind::not_found,
                       fmt::format("the device \"{}\" has no unit {}", device_, control::to_string(address)));
    }
    return found;
}

/// Where `spec` wants it, or the target's lowest LUN that is free.
Result<UnitAddress> ServedUnits::address_for(const UnitSpec& spec) const {
    if (spec.lun) {
        return UnitAddress{spec.target, *spec.lun};
    }
    std::uint32_t lun = 0;
    for (auto next = units_.lower_bound({spec.target, 0});
         next != units_.end() && next->first == UnitAddress{spec.target, static_cast<std::uint16_t>(lun)}; ++next) {
        ++lun;
    }
    if (lun > UnitAddress::max_lun) {
        return failure(ErrorKind::invalid_argument, fmt::format("{}: target {} has no LUN left", device_, spec.target));
    }
    return UnitAddress{spec.target, static_cast<std::uint16_t>(lun)};
}

UnitInfo ServedUnits::to_info(const Units::value_type& entry) {
    return {entry.first, entry.second.shared_disk, daemon::to_info(*entry.second.unit)};
}

Result<UnitInfo> ServedUnits::add(const UnitSpec& spec, const DiskFinder& find_disk) {
    SIDECORE_TRY_ASSIGN(const UnitAddress address, address_for(spec));
    if (units_.contains(address)) {
        return failure(ErrorKind::already_exists,
                       fmt::format("the device \"{}\" has a unit {} already", device_, control::to_string(address)));
    }
    Result<std::shared_ptr<scsi::LogicalUnit>> unit;
    if (spec.shared_disk.empty()) {
        unit = make_unit(spec.disk, fmt::format("{}-{}-{}", device_, address.target, address.lun));
    } else if (find_disk) {
        unit = find_disk(spec.shared_disk);
    } else {
        unit = failure(ErrorKind::not_found, fmt::format("there is no disk \"{}\"", spec.shared_disk));
    }
    if (!unit) {
        return tl::unexpected(within(std::move(unit).error(), address));
    }
    for (const auto& [other, served] : units_) {
        // To guests the serial is the disk: they would take both for ways to the same, and mix up the data.
        if (served.unit != *unit && served.unit->serial() == (*unit)->serial()) {
            return failure(
                ErrorKind::already_exists,
                fmt::format("{} unit {}: the unit {} is another disk with the same serial \"{}\"; give one "
                            "of them another serial",
                            device_, control::to_string(address), control::to_string(other), served.unit->serial()));
        }
    }
    if (auto added = domain_.add(address.target, scsi::Lun(address.lun), *unit); !added) {
        return tl::unexpected(within(std::move(added).error(), address));
    }
    const auto position = units_.emplace(address, Served{spec.shared_disk, std::move(*unit)}).first;
    return to_info(*position);
}

Result<void> ServedUnits::remove(UnitAddress address) {
    std::erase_if(leaving_, [](const auto& entry) { return entry.second.held.expired(); });
    if (const auto position = units_.find(address); position != units_.end()) {
        const scsi::Lun lun(address.lun);
        const Served served = std::move(position->second);
        const std::weak_ptr<const void> held =
            served.shared_disk.empty() ? std::weak_ptr<const void>(served.unit) : domain_.find(address.target, lun);
        leaving_.emplace(address, Leaving{held, served.unit->description()});
        units_.erase(position);
        SIDECORE_TRY(domain_.remove(address.target, lun));
    } else if (!leaving_.contains(address)) {
        SIDECORE_TRY(find(address));
    }
    const auto leaving = leaving_.equal_range(address);
    const auto released = [&] {
        return std::all_of(leaving.first, leaving.second,
                           [](const auto& entry) { return entry.second.held.expired(); });
    };
    if (!wait_for_release(release_limit_, released, [this] { let_go(); })) {
        return failure(
            ErrorKind::timed_out,
            fmt::format("{}: the guest has lost the unit {}, but {} is still in use: its I/O has not ended in "
                        "{} ms; remove it again to go on waiting",
                        device_, control::to_string(address), leaving.first->second.description,
                        release_limit_.count()));
    }
    leaving_.erase(address);
    return {};
}

Result<UnitInfo> ServedUnits::resize(UnitAddress address, std::uint64_t size_bytes) {
    SIDECORE_TRY_ASSIGN(const auto position, find(address));
    if (auto resized = position->second.unit->resize(size_bytes); !resized) {
        return tl::unexpected(within(std::move(resized).error(), address));
    }
    return to_info(*position);
}

Result<UnitInfo> ServedUnits::info(UnitAddress address) const {
    SIDECORE_TRY_ASSIGN(const auto position, find(address));
    return to_info(*position);
}

std::vector<UnitInfo> ServedUnits::infos() const {
    std::vector<UnitInfo> infos;
    for (const auto& entry : units_) {
        infos.push_back(to_info(entry));
    }
    return infos;
}

std::vector<UnitAddress> ServedUnits::of_disk(std::string_view name) const {
    std::vector<UnitAddress> addresses;
    for (const auto& [address, served] : units_) {
        if (served.shared_disk == name) {
            addresses.push_back(address);
        }
    }
    return addresses;
}

}  // namespace sidecore::daemon
