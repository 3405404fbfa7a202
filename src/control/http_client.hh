// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.hh"

namespace sidecore::control {

/// Asks a daemon through its control socket.
///
/// Thread: one. One connection, kept for the requests that follow.
class HttpClient {
public:
    static Result<HttpClient> create(std::string socket_path);
    HttpClient(HttpClient&& other) noexcept;
    HttpClient& operator=(HttpClient&&) = delete;
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;
    ~HttpClient();

    /// The body of a successful (2xx) reply, or the error that the reply describes. `path` starts with '/'.
    /// timed_out after 60 s: a device that drains may take its time.
    Result<std::string> request(std::string_view method, std::string_view path,
                                const std::optional<std::string>& body = std::nullopt);

private:
    HttpClient(void* handle, std::string socket_path);

    void* handle_;  // CURL*
    std::string socket_path_;
};

}  // namespace sidecore::control
