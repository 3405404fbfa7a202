// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "control/service.hh"

namespace sidecore::daemon {

/// What to answer to an HTTP request.
struct ControlReply {
    unsigned status = 0;
    std::string body;                                  ///< JSON, or empty with 204
    std::string allow;                                 ///< with 405: the methods that the path has
    std::unique_ptr<control::CaptureStream> stream{};  ///< instead of a body, if there is one
};

/// The control API's meaning, without its transport: finds the route, checks the request, asks the service, makes the
/// reply. docs/control-api.md describes it. Thread: as control::Service. Any `path` and `body` is safe. The `body` of a GET is its query, as
/// a JSON object.
ControlReply answer(control::Service& service, std::string_view method, std::string_view path, std::string_view body);

/// The reply that describes `error`, with the status that fits its kind.
ControlReply error_reply(const Error& error);

}  // namespace sidecore::daemon
