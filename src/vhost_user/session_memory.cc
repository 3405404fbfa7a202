// SPDX-License-Identifier: Apache-2.0
// The part of Session that concerns the guest's memory.
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
    return use_memory(message, MemoryMap::create(std::move(table)));
}

Result<Session::Answer> Session::add_mem_reg(Message& message) {
    SIDECORE_TRY_ASSIGN(RegionFile region, decode_memory_region(message));
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
