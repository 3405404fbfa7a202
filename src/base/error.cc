// SPDX-License-Identifier: Apache-2.0
#include "base/error.hh"

#include <system_error>

#include "base/format.hh"

namespace sidecore {

std::string_view to_string(ErrorKind kind) noexcept {
    switch (kind) {
        case ErrorKind::invalid_argument:
            return "invalid argument";
        case ErrorKind::protocol_violation:
            return "protocol violation";
        case ErrorKind::not_found:
            return "not found";
        case ErrorKind::already_exists:
            return "already exists";
        case ErrorKind::unsupported:
            return "unsupported";
        case ErrorKind::out_of_range:
            return "out of range";
        case ErrorKind::system:
            return "system error";
        case ErrorKind::closed:
            return "closed";
        case ErrorKind::timed_out:
            return "timed out";
    }
    return "unknown error";
}

Error Error::from_errno(std::string_view what, int os_error) {
    return Error{ErrorKind::system, fmt::format("{}: {}", what, std::generic_category().message(os_error)), os_error};
}

Error Error::within(std::string_view what) && {
    message = fmt::format("{}: {}", what, message);
    return std::move(*this);
}

}  // namespace sidecore
