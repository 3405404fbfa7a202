// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "network/network_backend.hh"
#include "network/packet_tools.hh"

namespace sidecore::network::test {

/// The other end of a link: what a back-end's senders send comes out here, and what is put in here comes to a receiver.
///
/// Thread: put() from one, take() from one.
class FarEnd {
public:
    FarEnd() = default;
    virtual ~FarEnd() = default;
    FarEnd(const FarEnd&) = delete;
    FarEnd& operator=(const FarEnd&) = delete;

    /// Waits until there is room.
    virtual void put(const Bytes& packet) = 0;

    /// The next packet; waits for it so long. Empty: none came. Skips what a host says of its own accord if it is not asked for `all`.
    virtual Bytes take(int timeout_ms = 20'000, bool all = false) = 0;
};

/// A network back-end, its far end, and what both stand on.
struct Link {
    std::shared_ptr<void> ground;  // goes last
    std::unique_ptr<NetworkBackend> backend;
    std::unique_ptr<FarEnd> far;
};

struct Kind {
    std::string name;
    std::size_t shortest = 14;   ///< bytes of a packet that is not filled up on its way
    std::size_t longest = 9014;  ///< bytes of a packet without offloads
    bool fills_up = true;        ///< whether a far end that takes nothing makes send() find no room
    bool keeps_info = false;     ///< whether a packet's info comes out as it went in
    bool has_network = true;     ///< whether there is somebody to announce something to
    std::function<Link()> open;
};

/// All that work on this host: those of tap and af_xdp need the right to make a network namespace, and what the kernel may not have.
std::vector<Kind> all_kinds();

std::ostream& operator<<(std::ostream& out, const Kind& kind);

}  // namespace sidecore::network::test
