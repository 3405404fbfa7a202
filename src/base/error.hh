// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace sidecore {

/// What kind of thing went wrong: small, stable, for callers that decide by it.
enum class ErrorKind : std::uint8_t {
    invalid_argument,    ///< the caller, a front-end or a file said something impossible
    protocol_violation,  ///< a peer broke the rules of its protocol
    not_found,
    already_exists,
    unsupported,
    out_of_range,  ///< an address, index or length outside of what exists
    system,        ///< a system call failed; `os_error` has errno
    closed,        ///< the peer went away in an orderly manner
    timed_out,
};

std::string_view to_string(ErrorKind kind) noexcept;

/// An error for a person to read: what, where and, if it helps, what to do. Never made on the hot path.
struct Error {
    ErrorKind kind = ErrorKind::system;
    std::string message;
    int os_error = 0;  ///< errno, or 0

    /// From errno as it stands now; the message gets ": <text of errno>".
    static Error from_errno(std::string_view what, int os_error = errno);

    /// The same error with "<what>: " before its message.
    Error within(std::string_view what) &&;
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> failure(ErrorKind kind, std::string message) {
    return tl::unexpected<Error>(Error{kind, std::move(message), 0});
}

inline tl::unexpected<Error> failure_from_errno(std::string_view what, int os_error = errno) {
    return tl::unexpected<Error>(Error::from_errno(what, os_error));
}

}  // namespace sidecore

/// Leaves the enclosing function with the error of `expression`, a Result<void> or Result<T> whose value is
/// not needed.
#define SIDECORE_TRY(expression)                                             \
    do {                                                                     \
        if (auto sidecore_try_result = (expression); !sidecore_try_result) { \
            return tl::unexpected(std::move(sidecore_try_result).error());   \
        }                                                                    \
    } while (false)

#define SIDECORE_CONCAT_INNER(a, b) a##b
#define SIDECORE_CONCAT(a, b) SIDECORE_CONCAT_INNER(a, b)

/// SIDECORE_TRY_ASSIGN(auto fd, open_it()) declares `fd` with the value, or leaves the function with the
/// error.
#define SIDECORE_TRY_ASSIGN(declaration, expression)                                        \
    auto SIDECORE_CONCAT(sidecore_try_, __LINE__) = (expression);                           \
    if (!SIDECORE_CONCAT(sidecore_try_, __LINE__)) {                                        \
        return tl::unexpected(std::move(SIDECORE_CONCAT(sidecore_try_, __LINE__)).error()); \
    }                                                                                       \
    declaration = std::move(*SIDECORE_CONCAT(sidecore_try_, __LINE__))  // NOLINT(bugprone-macro-parentheses)
