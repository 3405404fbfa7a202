// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "control/settings.hh"

namespace sidecore::control {

/// A value from each level, if there are so many settings of a group.
inline Settings example_settings(bool of_queues = true, bool of_workers = false) {
    Settings settings;
    for (const SettingDescription& setting : all_settings()) {
        if (!(setting.group == worker_group ? of_workers : of_queues)) {
            continue;
        }
        SettingValue value = std::uint64_t{8};
        if (setting.type == SettingType::boolean) {
            value = true;
        } else if (setting.type == SettingType::choice) {
            value = std::string(setting.choices.front());
        }
        settings.put(setting.setting, value, static_cast<Level>(static_cast<int>(setting.setting) % 4));
    }
    return settings;
}

}  // namespace sidecore::control
