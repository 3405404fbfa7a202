// SPDX-License-Identifier: Apache-2.0
#include "scsi/copy_results.hh"

#include <algorithm>
#include <utility>

#include "scsi/nexus.hh"

namespace sidecore::scsi {

namespace {

constexpr std::size_t records_max = 64;

}  // namespace

CopyResults::Owner CopyResults::owner_of(const Nexus& nexus, std::uint8_t list) {
    return {nexus.initiator_name(), nexus.target(), nexus.lun().number(), list};
}

std::shared_ptr<CopyResults::Entry> CopyResults::begin(const Nexus& nexus, std::uint8_t list) {
    const std::lock_guard lock(mutex_);
    const Owner owner = owner_of(nexus, list);
    const auto same = std::ranges::find(records_, owner, &Record::owner);
    if (same != records_.end()) {
        if (same->result.under_way) {
            return nullptr;
        }
        records_.erase(same);
    }
    if (records_.size() == records_max) {
        const auto oldest =
            std::ranges::find_if(records_, [](const Record& record) { return !record.result.under_way; });
        if (oldest == records_.end()) {
            return nullptr;
        }
        records_.erase(oldest);
    }
    records_.push_back({owner, next_number_});
    return std::make_shared<Entry>(*this, next_number_++);
}

std::optional<CopyResults::Result> CopyResults::find(const Nexus& nexus, std::uint8_t list) const {
    const std::lock_guard lock(mutex_);
    const auto position = std::ranges::find(records_, owner_of(nexus, list), &Record::owner);
    return position == records_.end() ? std::nullopt : std::optional(position->result);
}

void CopyResults::forget(const Nexus& nexus, std::uint8_t list) {
    const std::lock_guard lock(mutex_);
    const auto position = std::ranges::find(records_, owner_of(nexus, list), &Record::owner);
    if (position != records_.end() && !position->result.under_way) {
        records_.erase(position);
    }
}

CopyResults::Record* CopyResults::find(std::uint64_t number) noexcept {
    const auto position = std::ranges::find(records_, number, &Record::number);
    return position == records_.end() ? nullptr : &*position;
}

void CopyResults::progress(std::uint64_t number, std::uint16_t segments, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (Record* record = find(number)) {
        record->result.segments = segments;
        record->result.bytes = bytes;
    }
}

void CopyResults::end(std::uint64_t number, std::optional<SenseData> failure, bool aborted) {
    const std::lock_guard lock(mutex_);
    Record* record = find(number);
    if (record == nullptr || !record->result.under_way) {
        return;
    }
    record->result.under_way = false;
    record->result.failure = aborted ? SenseData() : std::move(failure);
}

}  // namespace sidecore::scsi
