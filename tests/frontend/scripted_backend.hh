// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/fd.hh"

namespace sidecore::frontend::test {

/// The back-end's end of a vhost-user connection, with messages read and written as bytes: a header of three 32-bit
/// numbers (request, flags, size), a payload, descriptors beside the first byte. Keeps all that it received; what it
/// answers is up to the test.
class ScriptedBackend {
public:
    struct Received {
        std::uint32_t request = 0;
        std::uint32_t flags = 0;
        std::vector<std::byte> payload;
        std::vector<Fd> fds;

        /// The little-endian number of type T at `offset` of the payload.
        template <typename T>
        T at(std::size_t offset) const {
            T value{};
            std::memcpy(&value, payload.data() + offset, sizeof value);
            return value;
        }
    };

    struct Reply {
        std::uint32_t request = 0;
        std::uint32_t flags = 0;
        std::vector<std::byte> payload;
    };

    /// Called for each message in the back-end's thread; the replies are sent in order.
    using Script = std::function<std::vector<Reply>(const Received&)>;

    explicit ScriptedBackend(Script script);
    ~ScriptedBackend();
    ScriptedBackend(const ScriptedBackend&) = delete;
    ScriptedBackend& operator=(const ScriptedBackend&) = delete;

    /// The front-end's end; once.
    Fd take_socket() { return std::move(front_); }

    /// Ends the connection, and returns all that came.
    const std::vector<Received>& finish();

    static Reply reply_u64(std::uint32_t request, std::uint64_t value);

private:
    void serve();

    Script script_;
    Fd front_;
    Fd back_;
    std::vector<Received> received_;
    std::thread thread_;
};

}  // namespace sidecore::frontend::test
