// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sidecore::scsi {

class Operation;

/// What a command's function has come to.
enum class Progress : std::uint8_t {
    done,     ///< the task has an outcome
    storage,  ///< the operation's storage request is to be carried out; then the function is called again
    waiting,  ///< the function is called again once somebody has called Operation::waker()
};

using CommandFunction = Progress (*)(Operation&) noexcept;

/// How a command fares while another nexus has a reservation (SPC-4 table 48, SBC-3 table 17).
enum class Access : std::uint8_t {
    none,   ///< goes on whatever is reserved
    read,   ///< conflicts with exclusive access
    write,  ///< conflicts with any reservation
    own,    ///< its function sees to it: the reservation commands
};

/// Where a command's data goes.
enum class Direction : std::uint8_t { none, in, out };

/// One command: its decoding, its checks and its support report, and what carries it out. The tables of these are all that
/// there is to say which commands exist.
struct Command {
    static constexpr std::size_t cdb_bytes_max = 32;

    // Bits of `traits`.
    static constexpr std::uint32_t without_unit = 1U << 0U;    ///< also where there is no logical unit
    static constexpr std::uint32_t past_attention = 1U << 1U;  ///< leaves unit attentions pending (SAM-5 5.14)
    static constexpr std::uint32_t needs_medium = 1U << 2U;    ///< not while stopped or being sanitized
    static constexpr std::uint32_t changes_medium = 1U << 3U;  ///< not on a write-protected medium
    static constexpr std::uint32_t past_old_reservation = 1U
                                                          << 4U;  ///< goes on while another nexus has used RESERVE(6)
    static constexpr std::uint32_t well_known = 1U << 5U;         ///< of the REPORT LUNS logical unit as well

    std::uint8_t opcode;
    std::optional<std::uint16_t> service_action;
    std::string_view name;
    Direction direction;
    Access access;
    std::uint32_t traits;

    /// The CDB usage data of REPORT SUPPORTED OPERATION CODES (SPC-4 6.35.3): as long as the CDB, OPERATION CODE and SERVICE ACTION as
    /// they are, then one in each bit that is evaluated. A CDB with a bit set elsewhere is refused. The CONTROL byte has NACA.
    std::array<std::uint8_t, cdb_bytes_max> usage;
    std::uint8_t cdb_bytes;
    CommandFunction function;
};

/// The CONTROL byte's usage: NACA (SAM-5 5.2).
inline constexpr std::uint8_t control_usage = 0x04;

/// What a CDB asks for.
struct CommandLookup {
    const Command* command = nullptr;
    bool opcode_known = false;  ///< if `command` is null: it is the service action that nobody knows
};

/// `cdb`: at least one byte; bytes that it lacks count as zero.
CommandLookup find_command(std::span<const std::byte> cdb) noexcept;

/// Likewise by number; `service_action` is looked at where the opcode has any.
CommandLookup find_command(std::uint8_t opcode, std::uint16_t service_action) noexcept;

/// Whether the opcode is one with service actions.
bool has_service_actions(std::uint8_t opcode) noexcept;

/// All commands, by opcode and service action.
std::span<const Command* const> all_commands() noexcept;

// The tables, each beside its functions.
std::span<const Command> primary_commands() noexcept;      ///< SPC
std::span<const Command> block_commands() noexcept;        ///< SBC
std::span<const Command> reservation_commands() noexcept;  ///< SPC's reservations

}  // namespace sidecore::scsi
