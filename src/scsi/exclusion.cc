// SPDX-License-Identifier: Apache-2.0
#include "scsi/exclusion.hh"

#include <algorithm>
#include <utility>

namespace sidecore::scsi {

Exclusions::Hold* Exclusions::State::find(const MediumRange& range) const noexcept {
    const auto position = std::ranges::find_if(holds, [&](const Hold* hold) { return hold->range_.overlaps(range); });
    return position == holds.end() ? nullptr : *position;
}

Exclusions::Hold::~Hold() {
    {
        const std::lock_guard lock(state_->mutex);
        if (std::erase(state_->holds, this) != 0) {
            state_->count.fetch_sub(1, std::memory_order_release);
        }
    }
    wake_others();
}

void Exclusions::Hold::wake_others() {
    std::vector<std::function<void()>> others;
    {
        const std::lock_guard lock(state_->mutex);
        others.swap(others_);
    }
    for (const auto& wake : others) {
        wake();
    }
}

std::shared_ptr<Exclusions::Hold> Exclusions::take(const MediumRange& range, std::function<void()> wake) {
    const auto hold = std::make_shared<Hold>(state_);
    hold->range_ = range;
    const std::lock_guard lock(state_->mutex);
    if (Hold* other = state_->find(range)) {
        other->others_.push_back(std::move(wake));
        return nullptr;
    }
    state_->holds.push_back(hold.get());
    state_->count.fetch_add(1, std::memory_order_release);
    return hold;
}

bool Exclusions::is_free(const MediumRange& range, std::function<void()> wake) {
    const std::lock_guard lock(state_->mutex);
    if (Hold* other = state_->find(range)) {
        other->others_.push_back(std::move(wake));
        return false;
    }
    return true;
}

}  // namespace sidecore::scsi
