// SPDX-License-Identifier: Apache-2.0
#include "scsi/identity.hh"

namespace sidecore::scsi {

namespace {

/// FNV-1a, 64 bits. Fixed for ever: guests find their disks again by it.
class Hash {
public:
    Hash& operator<<(std::string_view text) noexcept {
        for (const char character : text) {
            *this << static_cast<std::uint8_t>(character);
        }
        return *this;
    }
    Hash& operator<<(std::uint8_t byte) noexcept {
        value_ = (value_ ^ byte) * 0x100000001b3U;
        return *this;
    }

    std::uint64_t naa() const noexcept {
        // The multiplication leaves the top bits, of which we give away four, less mixed than the others.
        return 0x3000000000000000U | ((value_ ^ value_ >> 32U) & 0x0fffffffffffffffU);
    }

private:
    std::uint64_t value_ = 0xcbf29ce484222325U;
};

}  // namespace

std::uint64_t locally_assigned_naa(std::string_view name) noexcept {
    return (Hash() << name).naa();
}

std::uint64_t target_device_naa(std::string_view initiator, std::uint8_t target) noexcept {
    return (Hash() << initiator << " target " << target).naa();
}

std::uint64_t target_port_naa(std::string_view initiator, std::uint8_t target) noexcept {
    return (Hash() << initiator << " port " << target).naa();
}

}  // namespace sidecore::scsi
