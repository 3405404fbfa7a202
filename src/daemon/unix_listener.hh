// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/error.hh"
#include "base/fd.hh"

namespace sidecore::daemon {

/// vhost_user::listen_unix for a socket that also belongs to a group of its own; empty: the process's. The last
/// directory of the path is made if it is missing. Errors: as there; not_found (no such group). Thread: one at a time.
Result<Fd> listen_unix(const std::string& path, std::uint32_t permissions, const std::string& group);

}  // namespace sidecore::daemon
