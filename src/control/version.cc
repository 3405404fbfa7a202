// SPDX-License-Identifier: Apache-2.0
#include "control/version.hh"

namespace sidecore::control {

std::string_view version() noexcept {
    return SIDECORE_VERSION;
}

}  // namespace sidecore::control
