// SPDX-License-Identifier: Apache-2.0
// The logical units of scsi devices, and the disks that several of them share.
#include <algorithm>
#include <utility>

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "base/format.hh"
#include "daemon/manager.hh"

namespace sidecore::daemon {

using control::UnitAddress;

Result<ServedUnits*> Manager::find_units(std::string_view device) {
    SIDECORE_TRY_ASSIGN(ServedDevice* const found, find_device(device));
    return found->units();
}

Result<Manager::SharedDisk*> Manager::find_disk(std::string_view name) {
    const auto found = std::ranges::find(disks_, name, &SharedDisk::name);
    if (found == disks_.end()) {
        return failure(ErrorKind::not_found, fmt::format("there is no disk \"{}\"", name));
    }
    return &*found;
}

Result<std::vector<control::UnitInfo>> Manager::units(std::string_view device) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const ServedUnits* const found, find_units(device));
    return found->infos();
}

Result<control::UnitInfo> Manager::unit(std::string_view device, UnitAddress address) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const ServedUnits* const found, find_units(device));
    return found->info(address);
}

Result<control::UnitInfo> Manager::add_unit(std::string_view device, const control::UnitSpec& spec) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(ServedUnits* const found, find_units(device));
    const auto unit_of = [this](std::string_view name) -> Result<std::shared_ptr<scsi::LogicalUnit>> {
        SIDECORE_TRY_ASSIGN(const SharedDisk* const disk, find_disk(name));
        return disk->unit;
    };
    auto added = found->add(spec, unit_of);
    if (added) {
        spdlog::info("{}: unit {} added: {}", device, control::to_string(added->address),
                     added->disk.storage_description);
    }
    return added;
}

Result<void> Manager::remove_unit(std::string_view device, UnitAddress address) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(ServedUnits* const found, find_units(device));
    auto removed = found->remove(address);
    if (removed) {
        spdlog::info("{}: unit {} removed", device, control::to_string(address));
    } else if (removed.error().kind == ErrorKind::timed_out) {
        spdlog::warn("{}", removed.error().message);
    }
    return removed;
}

Result<control::UnitInfo> Manager::resize_unit(std::string_view device, UnitAddress address,
                                               const control::ResizeRequest& request) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(ServedUnits* const found, find_units(device));
    auto resized = found->resize(address, request.size_bytes);
    if (resized) {
        spdlog::info("{}: unit {} now {} bytes", device, control::to_string(address), resized->disk.capacity_bytes);
    }
    return resized;
}

control::SharedDiskInfo Manager::describe(const SharedDisk& disk) const {
    control::SharedDiskInfo info{disk.name, {}, to_info(*disk.unit)};
    for (const auto& device : devices_) {
        if (const ServedUnits* const units = device->units_if_any(); units != nullptr) {
            for (const UnitAddress address : units->of_disk(disk.name)) {
                info.units.push_back(fmt::format("{} {}", device->name(), control::to_string(address)));
            }
        }
    }
    return info;
}

std::vector<control::SharedDiskInfo> Manager::disks() {
    const std::lock_guard lock(mutex_);
    std::vector<control::SharedDiskInfo> infos;
    for (const SharedDisk& disk : disks_) {
        infos.push_back(describe(disk));
    }
    return infos;
}

Result<control::SharedDiskInfo> Manager::disk(std::string_view name) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const SharedDisk* const found, find_disk(name));
    return describe(*found);
}

Result<control::SharedDiskInfo> Manager::add_disk(const control::SharedDiskSpec& spec) {
    const std::lock_guard lock(mutex_);
    if (find_disk(spec.name)) {
        return failure(ErrorKind::already_exists, fmt::format("there is a disk \"{}\" already", spec.name));
    }
    auto unit = make_unit(spec.disk, spec.name);
    if (!unit) {
        return tl::unexpected(std::move(unit).error().within(fmt::format("disk {}", spec.name)));
    }
    disks_.push_back({spec.name, std::move(*unit)});
    spdlog::info("disk {}: added: {}", spec.name, disks_.back().unit->description());
    return describe(disks_.back());
}

Result<void> Manager::remove_disk(std::string_view name) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(SharedDisk* const found, find_disk(name));
    if (const control::SharedDiskInfo info = describe(*found); !info.units.empty()) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("the disk \"{}\" is in use: remove {} {} first", name,
                                   info.units.size() == 1 ? "the unit" : "the units", fmt::join(info.units, ", ")));
    }
    // Units of it that were removed may have I/O that has not ended.
    const auto let_go = [this] {
        for (const auto& device : devices_) {
            if (auto units = device->units()) {
                (*units)->let_go();
            }
        }
    };
    if (!wait_for_release(
            default_release_limit, [found] { return found->unit.use_count() == 1; }, let_go)) {
        return failure(ErrorKind::timed_out,
                       fmt::format("the disk \"{}\" stays: I/O of a unit that was removed has not ended in {} ms", name,
                                   default_release_limit.count()));
    }
    std::erase_if(disks_, [found](const SharedDisk& disk) { return &disk == found; });
    spdlog::info("disk {}: removed", name);
    return {};
}

Result<control::SharedDiskInfo> Manager::resize_disk(std::string_view name, const control::ResizeRequest& request) {
    const std::lock_guard lock(mutex_);
    SIDECORE_TRY_ASSIGN(const SharedDisk* const found, find_disk(name));
    if (auto resized = found->unit->resize(request.size_bytes); !resized) {
        return tl::unexpected(std::move(resized).error().within(fmt::format("disk {}", name)));
    }
    control::SharedDiskInfo info = describe(*found);
    spdlog::info("disk {}: now {} bytes", name, info.disk.capacity_bytes);
    return info;
}

}  // namespace sidecore::daemon
