// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "scsi/initiator.hh"

namespace sidecore::scsi::test {

/// CDBs of the commands on blocks, all with the same fields in the places of their length: 6, 10, 12, 16 or 32 bytes.
Bytes block_cdb(std::size_t bytes, unsigned opcode, std::uint64_t lba, std::uint64_t blocks, unsigned flags = 0);

/// The same with one more field.
Bytes with_field(Bytes cdb, std::size_t at, std::size_t bytes, std::uint64_t value);

/// A request in storage, or those after it, waits until it is let go.
void hold_back(storage::FakeDisk& disk, std::optional<storage::BlockOperation> operation = {});

/// The next request that changes, reads or flushes fails.
void fail_once(storage::FakeDisk& disk, storage::BlockOperation operation, int error = EIO);

}  // namespace sidecore::scsi::test
