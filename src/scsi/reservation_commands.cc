// SPDX-License-Identifier: Apache-2.0
#include "scsi/command.hh"

namespace sidecore::scsi {

std::span<const Command> reservation_commands() noexcept {
    return {};
}

}  // namespace sidecore::scsi
