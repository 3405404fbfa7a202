// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>

#include "base/fd.hh"
#include "vhost_user/socket.hh"

namespace sidecore::test {

/// A client without manners: sends any bytes to a UNIX socket.
class RawClient {
public:
    explicit RawClient(const std::string& path) : fd_(vhost_user::connect_unix(path).value()) {}

    /// False if the other side has closed the connection.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) {
                return false;
            }
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }

    void end_of_sending() { ::shutdown(fd_.get(), SHUT_WR); }

    /// Everything until the other side closes, or until it says nothing for `timeout_ms`.
    std::string receive(int timeout_ms) {
        std::string received;
        std::array<char, 4096> chunk{};
        pollfd waiting{fd_.get(), POLLIN, 0};
        while (::poll(&waiting, 1, timeout_ms) > 0) {
            const auto bytes = ::recv(fd_.get(), chunk.data(), chunk.size(), 0);
            if (bytes <= 0) {
                break;
            }
            received.append(chunk.data(), static_cast<std::size_t>(bytes));
        }
        return received;
    }

    /// The reply's first line, as soon as it is there.
    std::string receive_status() {
        std::string line;
        char c = 0;
        pollfd waiting{fd_.get(), POLLIN, 0};
        constexpr int patience_ms = 10'000;
        while (::poll(&waiting, 1, patience_ms) > 0 && ::recv(fd_.get(), &c, 1, 0) == 1 && c != '\r') {
            line += c;
        }
        return line;
    }

private:
    Fd fd_;
};

}  // namespace sidecore::test
