// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
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

    /// How a stream came to its end.
    enum class StreamEnd : std::uint8_t {
        complete,  ///< the reply has
        refused,   ///< `take` did not want more
        stopped,   ///< stop_fd was readable
    };

    /// GET of a reply that goes on: hands its bytes to `take` as they come, as long as that returns true. Without a time-out; instead it ends
    /// when `stop_fd` becomes readable. An error reply is the error that it describes; closed: the connection broke in the middle.
    Result<StreamEnd> stream(std::string_view path, const std::function<bool(std::span<const std::byte>)>& take,
                             int stop_fd);

private:
    HttpClient(void* handle, std::string socket_path);

    void prepare(const std::string& url, char* message);
    Error error_of(int code, std::string_view message) const;

    void* handle_;  // CURL*
    std::string socket_path_;
};

}  // namespace sidecore::control
