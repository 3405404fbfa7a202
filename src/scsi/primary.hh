// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "scsi/command.hh"

namespace sidecore::scsi {

class Operation;

// The functions of SPC's commands but the reservations'; the table of primary_commands.cc has them all.

Progress inquiry(Operation& operation) noexcept;

Progress report_luns(Operation& operation) noexcept;
Progress request_sense(Operation& operation) noexcept;
Progress test_unit_ready(Operation& operation) noexcept;

Progress mode_sense(Operation& operation) noexcept;
Progress mode_select(Operation& operation) noexcept;

Progress log_sense(Operation& operation) noexcept;
Progress log_select(Operation& operation) noexcept;

Progress report_supported_operations(Operation& operation) noexcept;
Progress report_supported_task_management(Operation& operation) noexcept;
Progress report_target_port_groups(Operation& operation) noexcept;

Progress start_stop_unit(Operation& operation) noexcept;
Progress prevent_allow_medium_removal(Operation& operation) noexcept;
Progress send_diagnostic(Operation& operation) noexcept;
Progress receive_diagnostic_results(Operation& operation) noexcept;

}  // namespace sidecore::scsi
