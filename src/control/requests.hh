// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hh"
#include "control/json.hh"

namespace sidecore::control {

// Bodies of requests that are no more than a member or two. parse_*() checks what can be known without the daemon.

/// POST /v1/devices/NAME/resize
struct ResizeRequest {
    std::uint64_t size_bytes = 0;  ///< a multiple of 512; 0 (left out): take over the length that the file has now

    friend bool operator==(const ResizeRequest&, const ResizeRequest&) = default;
};

Result<ResizeRequest> parse_resize_request(std::string_view body);
Json to_json(const ResizeRequest& request);

/// POST /v1/devices/NAME/move and POST /v1/devices/NAME/queues/N/move
struct MoveRequest {
    std::string worker;  ///< where to
};

Result<MoveRequest> parse_move_request(std::string_view body);
Json to_json(const MoveRequest& request);

/// POST /v1/workers/NAME/pin
struct PinRequest {
    std::optional<std::uint32_t> cpu;  ///< none (null): free to run on any
};

Result<PinRequest> parse_pin_request(std::string_view body);
Json to_json(const PinRequest& request);

}  // namespace sidecore::control
