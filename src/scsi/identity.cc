// SPDX-License-Identifier: Apache-2.0
#include "scsi/identity.hh"

namespace sidecore::scsi {

std::uint64_t locally_assigned_naa(std::string_view name) noexcept {
    // FNV-1a, 64 bits. Fixed for ever: guests find their disks again by it.
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char character : name) {
        hash = (hash ^ static_cast<std::uint8_t>(character)) * 0x100000001b3U;
    }
    // The multiplication leaves the top bits, of which we give away four, less mixed than the others.
    hash ^= hash >> 32U;
    return 0x3000000000000000U | (hash & 0x0fffffffffffffffU);
}

}  // namespace sidecore::scsi
