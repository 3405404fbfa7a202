// SPDX-License-Identifier: Apache-2.0
#include "scsi/block_cdbs.hh"

#include <utility>

#include "base/big_endian.hh"

namespace sidecore::scsi::test {

Bytes with_field(Bytes cdb, std::size_t at, std::size_t bytes, std::uint64_t value) {
    store_big_endian(std::span(cdb).subspan(at, bytes), value);
    return cdb;
}

Bytes block_cdb(std::size_t bytes, unsigned opcode, std::uint64_t lba, std::uint64_t blocks, unsigned flags) {
    Bytes cdb(bytes);
    cdb[0] = static_cast<std::byte>(opcode);
    switch (bytes) {
        case 6:
            return with_field(with_field(std::move(cdb), 1, 3, lba), 4, 1, blocks);
        case 10:
            cdb[1] = static_cast<std::byte>(flags);
            return with_field(with_field(std::move(cdb), 2, 4, lba), 7, 2, blocks);
        case 12:
            cdb[1] = static_cast<std::byte>(flags);
            return with_field(with_field(std::move(cdb), 2, 4, lba), 6, 4, blocks);
        case 16:
            cdb[1] = static_cast<std::byte>(flags);
            return with_field(with_field(std::move(cdb), 2, 8, lba), 10, 4, blocks);
        default:
            cdb[7] = std::byte{0x18};
            cdb[9] = std::byte{0x0d};
            cdb[10] = static_cast<std::byte>(flags);
            return with_field(with_field(std::move(cdb), 12, 8, lba), 28, 4, blocks);
    }
}

void hold_back(storage::FakeDisk& disk, std::optional<storage::BlockOperation> operation) {
    storage::Fault fault;
    fault.action = storage::FaultAction::hold;
    fault.operation = operation;
    disk.add_fault(fault);
}

void fail_once(storage::FakeDisk& disk, storage::BlockOperation operation, int error) {
    storage::Fault fault;
    fault.operation = operation;
    fault.error = error;
    fault.times = 1;
    disk.add_fault(fault);
}

}  // namespace sidecore::scsi::test
