// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hh"

namespace sidecore::control {

/// Which packets, as the guest sees them.
enum class CaptureDirection : std::uint8_t { both, in, out };

/// GET /v1/devices/NAME/capture?snaplen=…&direction=…
struct CaptureRequest {
    static constexpr std::uint32_t min_snap_bytes = 14;
    static constexpr std::uint32_t max_snap_bytes = std::uint32_t{256} << 10U;

    std::uint32_t snap_bytes = max_snap_bytes;  ///< kept of each packet
    CaptureDirection direction = CaptureDirection::both;

    friend bool operator==(const CaptureRequest&, const CaptureRequest&) = default;
};

/// `body` is the query as a JSON object of strings: {"snaplen": "96", "direction": "in"}.
Result<CaptureRequest> parse_capture_request(std::string_view body);

/// The query, from its '?' on, or nothing if all is as it is without one.
std::string to_query(const CaptureRequest& request);

/// A running capture: the bytes of a pcapng file, which begins at once and has no end before the device's. Destroying it ends the capture.
///
/// Thread: one at a time.
class CaptureStream {
public:
    CaptureStream() = default;
    virtual ~CaptureStream() = default;
    CaptureStream(const CaptureStream&) = delete;
    CaptureStream& operator=(const CaptureStream&) = delete;

    struct Piece {
        std::size_t bytes = 0;
        bool ended = false;  ///< nothing comes after these
    };

    /// The next bytes, to the front of `out`; none if there is nothing now. Does not wait.
    virtual Piece read(std::span<std::byte> out) = 0;

    enum class Amount : std::uint8_t {
        something,
        much,  ///< so much that packets will be dropped unless it is read soon
    };

    /// Asks for ready_fd() to be signalled as soon as there is so much to read(), or the end. True: there is not now, and it will be.
    virtual bool arm(Amount amount) = 0;

    /// A non-blocking eventfd, for the caller to drain.
    virtual int ready_fd() const = 0;
};

}  // namespace sidecore::control
