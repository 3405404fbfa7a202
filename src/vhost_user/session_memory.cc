// SPDX-License-Identifier: Apache-2.0
// The part of Session that concerns the guest's memory.
#include <algorithm>
#include <utility>
#include <vector>

#include "vhost_user/decode.hh"
#include "vhost_user/session.hh"

namespace sidecore::vhost_user {

using memory::MemoryMap;
using memory::RegionFile;

Result<Session::Answer> Session::set_mem_table(Message& message) {
    // Several times before the start (DPDK's virtio-user) and while running (memory hotplug) alike: the last
    // one counts.
    SIDECORE_TRY_ASSIGN(std::vector<RegionFile> table, decode_memory_table(message));
    repeated_regions_.clear();
    return use_memory(message, MemoryMap::create(std::move(table)));
}

/// QEMU (7.2, for one) tells of each region once for every queue pair of a network device, and of its removal likewise. So what is there already
/// may be added again, and is there until it has been removed as often.
Result<Session::Answer> Session::add_mem_reg(Message& message) {
    constexpr std::size_t repeated_max = MemoryMap::max_regions * 64;
    SIDECORE_TRY_ASSIGN(RegionFile region, decode_memory_region(message));
    if (map_ && repeated_regions_.size() < repeated_max && map_->holds(region)) {
        repeated_regions_.push_back(region.description);
        return Answer::done;
    }
    if (map_) {
        return use_memory(message, map_->with_region(std::move(region)));
    }
    // With CONFIGURE_MEM_SLOTS there may never be a table.
    std::vector<RegionFile> table;
    table.push_back(std::move(region));
    return use_memory(message, MemoryMap::create(std::move(table)));
}

Result<Session::Answer> Session::rem_mem_reg(Message& message) {
    // "If a file descriptor is passed, the back-end MUST close it without using it otherwise": it ends with
    // `region`.
    SIDECORE_TRY_ASSIGN(const RegionFile region, decode_memory_region(message));
    if (!map_) {
        return refuse(message, Error{ErrorKind::not_found, "there is no memory region yet", 0});
    }
    const auto repeated = std::ranges::find_if(
        repeated_regions_, [&region](const auto& known) { return same_place(known, region.description); });
    if (repeated != repeated_regions_.end()) {
        repeated_regions_.erase(repeated);
        return Answer::done;
    }
    return use_memory(message, map_->without_region(region.description));
}

Result<Session::Answer> Session::use_memory(const Message& message, Result<std::shared_ptr<const MemoryMap>> map) {
    if (!map) {
        return refuse(message, std::move(map).error());
    }
    SIDECORE_TRY(handler_.set_memory(*map));
    map_ = std::move(*map);
    for (std::uint16_t index = 0; index < vring_count(); ++index) {
        // One that was kicked too early goes on waiting if its ring may lie in a region that is still to come.
        if (is_complete(vrings_[index]) && check_parts(vrings_[index])) {
            SIDECORE_TRY(start_vring(index));
        }
    }
    return Answer::done;
}

}  // namespace sidecore::vhost_user
