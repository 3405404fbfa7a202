// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace sidecore::network::test {

/// Whether this process may make a network namespace, and AF_XDP sockets and XDP programs in it, on a kernel that has them.
bool has_af_xdp();

struct VethOptions {
    std::uint32_t near_mtu = 3400;
    std::uint32_t far_mtu =
        3400;                  ///< too long for a page, 9000 say: the near end's driver cannot run XDP programs then
    std::uint32_t queues = 1;  ///< of both ends
};

/// Two interfaces with a cable between them, "near" and "far", both up.
void make_veth(const VethOptions& options = {});

void bring_up(const std::string& interface, bool up);

/// Id of the XDP program on it, 0: none.
std::uint32_t program_on(const std::string& interface);

}  // namespace sidecore::network::test
