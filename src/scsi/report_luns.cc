// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/big_endian.hh"
#include "scsi/domain.hh"
#include "scsi/operation.hh"
#include "scsi/primary.hh"

namespace sidecore::scsi {

namespace {

constexpr std::size_t header_bytes = 8;
constexpr std::size_t lun_bytes = 8;

// SELECT REPORT, SPC-4 table 283
constexpr std::uint8_t without_well_known = 0x00;
constexpr std::uint8_t only_well_known = 0x01;
constexpr std::uint8_t all = 0x02;

}  // namespace

/// SPC-4 6.33
Progress report_luns(Operation& operation) noexcept {
    const std::uint8_t select = operation.byte(2);
    if (select > all) {
        return operation.invalid_field(2, 7);
    }
    Domain& domain = operation.domain();
    const std::uint8_t target = operation.task().target;
    const std::uint64_t generation = domain.generation();
    const std::size_t well_known = select == without_well_known ? 0 : 1;
    const std::size_t room = select == only_well_known ? 0 : domain.luns(target, {});
    const auto memory = operation.buffer(header_bytes + (well_known + room) * lun_bytes);
    if (memory.empty()) {
        return operation.end(Status::task_set_full);
    }
    const auto list = memory.subspan(header_bytes);
    const auto report_luns_unit = Lun::report_luns().encode();
    std::ranges::copy(std::span(report_luns_unit).first(well_known * lun_bytes), list.begin());
    // One that came or went a moment ago is announced by a unit attention.
    const std::size_t units = room == 0 ? 0 : std::min(room, domain.luns(target, list.subspan(well_known * lun_bytes)));
    const std::size_t bytes = (well_known + units) * lun_bytes;
    std::ranges::fill(memory.first(header_bytes), std::byte{0});
    store_big_endian(memory.first(4), bytes);
    operation.reply(memory.first(header_bytes + bytes), operation.field(6, 4));
    if (operation.task().outcome == Outcome::completed) {
        domain.luns_reported(target, generation);
    }
    return Progress::done;
}

}  // namespace sidecore::scsi
