// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "interop/recording.hh"
#include "vhost_user/connection.hh"

namespace sidecore::interop {

/// Says again what a recorded front-end said: the same messages, with new descriptors of the same kinds. Its guest has
/// memory of the recorded shape and empty rings, whose indexes agree with what the messages say of them.
class ReplayedFrontEnd {
public:
    explicit ReplayedFrontEnd(Fd socket) : connection_(std::move(socket)) {}

    /// Sends a recorded message. A front-end takes no more features than it is offered, so those that the back-end at
    /// hand does not offer are taken out.
    Result<void> send(const RecordedMessage& message);

    /// The back-end's next message.
    Result<vhost_user::Message> receive();

private:
    struct Region {
        std::uint64_t user_address;
        std::uint64_t size;
        std::uint64_t mmap_offset;
        int file;
    };
    struct Vring {
        std::uint16_t base = 0;
        std::uint64_t used = 0;
        std::uint64_t available = 0;
    };

    Result<int> make_descriptor(const std::string& kind);
    Result<void> remember(const RecordedMessage& message, const std::vector<int>& fds);
    void add_region(const std::vector<std::byte>& payload, std::size_t offset, int file);
    Result<void> write_index(std::uint64_t user_address, std::uint16_t index) const;

    vhost_user::Connection connection_;
    std::vector<Fd> descriptors_;
    std::vector<Region> regions_;
    std::map<std::uint32_t, Vring> vrings_;
    std::uint64_t offered_features_ = 0;
    std::uint64_t offered_protocol_features_ = 0;
};

}  // namespace sidecore::interop
