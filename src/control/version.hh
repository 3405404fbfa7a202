// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace sidecore::control {

/// Version of the programs of this project: "0.1.0".
std::string_view version() noexcept;

}  // namespace sidecore::control
