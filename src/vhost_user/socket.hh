// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <sys/types.h>

#include "base/error.hh"
#include "base/fd.hh"

// UNIX stream sockets by path. All descriptors are blocking and close-on-exec. Any thread.

namespace sidecore::vhost_user {

/// Listens at `path`. A socket that is left there from before is replaced if nobody answers on it.
/// `mode`: who may connect, whatever the umask; at no time may more.
/// Errors, all with the path: invalid_argument (empty, or longer than a socket's address: 107 bytes);
/// not_found (its directory is missing); already_exists (somebody listens there, or it is no socket); system.
Result<Fd> listen_unix(const std::filesystem::path& path, mode_t mode = 0600);

/// Waits for one connection. Errors: closed (shutdown(2) on the listener, from any thread); system.
Result<Fd> accept_unix(int listener);

/// Connects to whoever listens at `path`. Errors, all with the path: invalid_argument (as above); not_found
/// (nothing there, or nobody listens: worth another try later); system.
Result<Fd> connect_unix(const std::filesystem::path& path);

}  // namespace sidecore::vhost_user
