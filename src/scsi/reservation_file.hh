// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hh"
#include "scsi/reservation_state.hh"

namespace sidecore::scsi {

/// The file in which a logical unit keeps its reservations over a restart (APTPL). It is there only while there is something to keep.
///
/// Thread: any; one call at a time.
class ReservationFile {
public:
    /// `path`: empty if nothing can be kept. `unit`: whose file it is, LogicalUnit::identity().
    ReservationFile(std::string path, std::uint64_t unit) : path_(std::move(path)), unit_(unit) {}

    bool usable() const noexcept { return !path_.empty(); }

    /// What was kept; nothing if there is no file. Errors: invalid_argument, the file is broken or of something else; system.
    Result<ReservationState> load() const;

    /// When it returns, a crash of the machine does not bring back what was before.
    Result<void> save(const ReservationState& state) const;

private:
    Result<ReservationState> parse(std::string_view text) const;
    tl::unexpected<Error> broken(std::string_view why) const;

    std::string path_;
    std::uint64_t unit_;
};

}  // namespace sidecore::scsi
