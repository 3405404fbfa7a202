// SPDX-License-Identifier: Apache-2.0
#include "control/capture.hh"

#include <array>

#include "base/format.hh"
#include "control/json.hh"
#include "control/value.hh"

namespace sidecore::control {

namespace {

/// In the order of CaptureDirection.
constexpr std::array<std::string_view, 3> directions{"both", "in", "out"};

}  // namespace

Result<CaptureRequest> parse_capture_request(std::string_view body) {
    return parse_json_as(body, [](const Value& value, Problems& problems) {
        TableReader reader(value, "capture", problems);
        CaptureRequest request;
        if (const auto bytes = reader.size("snaplen", CaptureRequest::min_snap_bytes, CaptureRequest::max_snap_bytes)) {
            request.snap_bytes = static_cast<std::uint32_t>(*bytes);
        }
        request.direction = static_cast<CaptureDirection>(reader.choice("direction", directions).value_or(0));
        reader.finish();
        return request;
    });
}

std::string to_query(const CaptureRequest& request) {
    std::string query;
    const auto add = [&query](std::string_view key, const auto& value) {
        query += fmt::format("{}{}={}", query.empty() ? '?' : '&', key, value);
    };
    if (request.snap_bytes != CaptureRequest::max_snap_bytes) {
        add("snaplen", request.snap_bytes);
    }
    if (request.direction != CaptureDirection::both) {
        add("direction", directions.at(static_cast<std::size_t>(request.direction)));
    }
    return query;
}

}  // namespace sidecore::control
