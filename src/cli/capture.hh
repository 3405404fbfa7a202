// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/error.hh"
#include "control/capture.hh"
#include "control/http_client.hh"

namespace sidecore::cli {

struct CaptureArguments {
    std::string device;
    std::string file;  ///< "-": standard output
    control::CaptureRequest request;
    std::uint64_t count = 0;  ///< end after so many packets; 0: do not
    double seconds = 0;       ///< end after so long; 0: do not
};

/// Captures until a limit is reached, SIGINT or SIGTERM comes, whoever reads standard output goes away, or the capture ends because the
/// device or the daemon does; then says on standard error how many packets there were. The file holds whole blocks at any moment. Errors
/// besides the daemon's: the file cannot be written; closed: the daemon has vanished in the middle.
///
/// Thread: main. The process takes no notice of SIGINT, SIGTERM and SIGPIPE in any other way afterwards.
Result<void> capture_packets(control::HttpClient& client, const CaptureArguments& arguments);

}  // namespace sidecore::cli
