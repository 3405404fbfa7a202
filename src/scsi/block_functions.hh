// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "scsi/command.hh"

namespace sidecore::scsi {

// What the table of block_commands.cc refers to, by file.

// transfer.cc
Progress read(Operation& operation) noexcept;
Progress write(Operation& operation) noexcept;

// verify.cc
Progress verify(Operation& operation) noexcept;
Progress write_and_verify(Operation& operation) noexcept;

// read_modify_write.cc
Progress or_write(Operation& operation) noexcept;
Progress compare_and_write(Operation& operation) noexcept;

// write_same.cc
Progress write_same(Operation& operation) noexcept;

// provisioning.cc
Progress unmap(Operation& operation) noexcept;
Progress get_lba_status(Operation& operation) noexcept;

// medium.cc
Progress synchronize_cache(Operation& operation) noexcept;
Progress prefetch(Operation& operation) noexcept;
Progress read_capacity_10(Operation& operation) noexcept;
Progress read_capacity_16(Operation& operation) noexcept;
Progress read_defect_data_10(Operation& operation) noexcept;
Progress read_defect_data_12(Operation& operation) noexcept;

// sanitize.cc
Progress sanitize_overwrite(Operation& operation) noexcept;
Progress sanitize_block_erase(Operation& operation) noexcept;
Progress exit_failure_mode(Operation& operation) noexcept;

// extended_copy.cc
Progress extended_copy(Operation& operation) noexcept;
Progress copy_status(Operation& operation) noexcept;
Progress copy_operating_parameters(Operation& operation) noexcept;
Progress failed_segment_details(Operation& operation) noexcept;

}  // namespace sidecore::scsi
