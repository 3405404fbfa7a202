// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "scsi/exclusion.hh"
#include "storage/block_backend.hh"

namespace sidecore::scsi {

class LogicalUnit;

/// What SANITIZE is to do with all of the medium (SBC-3 4.11).
struct SanitizeJob {
    std::vector<std::byte>
        pattern{};  ///< of whole logical blocks, written all over; empty: all becomes zeroes and the space is given back
    unsigned passes = 1;
    bool invert =
        false;  ///< the pattern's bits are the other way round in every second pass, the last one having them as they are
    bool unrestricted = false;                 ///< EXIT FAILURE MODE may follow a failure
    std::shared_ptr<Exclusions::Hold> hold{};  ///< of the whole medium, settled
};

/// The background work of a logical unit: SANITIZE, in a thread that exists while there is any, with a storage queue of its own.
///
/// Thread: any. stop() comes before the logical unit goes.
class Sanitizer {
public:
    explicit Sanitizer(LogicalUnit& unit) : unit_(unit) {}
    ~Sanitizer() { stop(); }
    Sanitizer(const Sanitizer&) = delete;
    Sanitizer& operator=(const Sanitizer&) = delete;

    /// The unit is being sanitized when this returns. `done` is called, by the thread, when it is over. Error: it cannot begin, and nothing has
    /// changed.
    Result<void> start(SanitizeJob job, std::function<void()> done);

    /// Leaves it as far as it has come; what has been asked of the storage is waited for.
    void stop();

private:
    void run(const SanitizeJob& job, storage::BlockQueue& queue);
    bool do_pass(const SanitizeJob& job, unsigned pass, storage::BlockQueue& queue, std::vector<std::byte>& memory);
    bool carry_out(storage::BlockQueue& queue, storage::BlockRequest& request) const;

    LogicalUnit& unit_;
    std::atomic<bool> stopping_{false};
    std::mutex mutex_;  // guards what follows
    std::thread thread_;
};

}  // namespace sidecore::scsi
