// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/error.hh"
#include "base/fd.hh"
#include "network/host_interface.hh"

namespace sidecore::network {

/// The program on an interface that gives what comes on a queue to the AF_XDP socket of that queue, and what comes on other queues to the
/// host's network stack, as if it were not there.
///
/// Six instructions, in the source as they are. libxdp would load a program that it finds in a file, put one of its own before it that lets
/// others join in, and pin that in /sys/fs/bpf; it would stay there if the process were killed. This one goes with the process: it is held by a
/// BPF link, which is a descriptor. So nobody can join in, and whoever has a program on the interface already is left alone: that is an error.
///
/// Thread: control threads.
class XdpProgram {
public:
    /// How the interface runs it.
    enum class Hook : std::uint8_t {
        native,   ///< in the driver
        generic,  ///< in the network stack, by any driver: slower
    };

    /// For queues below `queues`. Without `native_only` generically, if the driver cannot have it. Errors: already_exists if there is another
    /// program.
    static Result<XdpProgram> attach(const HostInterface& interface, std::uint32_t queues, bool native_only);

    Hook hook() const noexcept { return hook_; }

    /// What comes on `queue` goes to `socket` from now on, until that is closed.
    Result<void> redirect(std::uint32_t queue, int socket) const;

private:
    XdpProgram(Fd map, Fd link, Hook hook) noexcept : map_(std::move(map)), link_(std::move(link)), hook_(hook) {}

    Fd map_;
    Fd link_;  // the program is attached as long as this is open
    Hook hook_;
};

}  // namespace sidecore::network
