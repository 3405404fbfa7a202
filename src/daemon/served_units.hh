// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "control/scsi_info.hh"
#include "control/scsi_spec.hh"
#include "daemon/unit_maker.hh"
#include "scsi/domain.hh"

namespace sidecore::daemon {

/// How long a removed disk's I/O may take to end before whoever asked for the removal is told that it has not.
inline constexpr std::chrono::milliseconds default_release_limit{5000};

/// Waits until `released` says so, for `limit` at most, and asks queues to let go again and again: with `nudge`. False: it took too long.
bool wait_for_release(std::chrono::milliseconds limit, const std::function<bool()>& released,
                      const std::function<void()>& nudge);

/// The logical units of a scsi device, by what it is configured to have and by what was asked for since.
///
/// Thread: one call at a time. `domain` is used by the calls only: it may end before this does.
class ServedUnits {
public:
    /// `device`: its name, for messages and serials.
    ServedUnits(std::string device, scsi::Domain& domain,
                std::chrono::milliseconds release_limit = default_release_limit);

    /// Opens its storage, or finds the shared disk. Errors: those of make_unit() and `find_disk`; already_exists: the address is taken, or the
    /// serial by another disk that this guest has.
    Result<control::UnitInfo> add(const control::UnitSpec& spec, const DiskFinder& find_disk);

    /// not_found; timed_out: I/O of the guest that it has lost the unit in has not ended, so its storage is still open. Removing it again waits again.
    Result<void> remove(control::UnitAddress address);

    /// See LogicalUnit::resize(). Errors: not_found; those of the storage.
    Result<control::UnitInfo> resize(control::UnitAddress address, std::uint64_t size_bytes);

    Result<control::UnitInfo> info(control::UnitAddress address) const;
    std::vector<control::UnitInfo> infos() const;

    /// Which units are the shared disk of that name.
    std::vector<control::UnitAddress> of_disk(std::string_view name) const;

    /// Asks the queues to let go of units that have been removed.
    void let_go() { domain_.look_again(); }

private:
    struct Served {
        std::string shared_disk;
        std::shared_ptr<scsi::LogicalUnit> unit;
    };
    /// Removed, but I/O may not have ended. `held` is gone when it has: the unit, or the way to it if it is shared.
    struct Leaving {
        std::weak_ptr<const void> held;
        std::string description;
    };
    using Units = std::map<control::UnitAddress, Served>;

    Result<Units::const_iterator> find(control::UnitAddress address) const;
    Result<control::UnitAddress> address_for(const control::UnitSpec& spec) const;
    static control::UnitInfo to_info(const Units::value_type& entry);
    Error within(Error error, control::UnitAddress address) const;

    const std::string device_;
    scsi::Domain& domain_;
    const std::chrono::milliseconds release_limit_;
    Units units_;
    std::multimap<control::UnitAddress, Leaving> leaving_;
};

}  // namespace sidecore::daemon
