// SPDX-License-Identifier: Apache-2.0
#include "scsi/command.hh"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/big_endian.hh"

namespace sidecore::scsi {

namespace {

constexpr std::uint8_t variable_length = 0x7f;  // SPC-4 4.2.3: the service action is in bytes 8 and 9

/// All commands, sorted, and where those of each opcode begin. Made once, before main(): found without a lock.
class Index {
public:
    Index() {
        for (const auto table : {primary_commands(), block_commands(), reservation_commands()}) {
            for (const Command& command : table) {
                commands_.push_back(&command);
            }
        }
        std::ranges::sort(commands_, {}, [](const Command* command) {
            return std::pair(command->opcode, command->service_action.value_or(0));
        });
        for (std::size_t opcode = 0; opcode < first_.size(); ++opcode) {
            const auto position = std::ranges::lower_bound(commands_, opcode, {}, &Command::opcode);
            first_[opcode] = static_cast<std::uint16_t>(position - commands_.begin());
        }
    }

    std::span<const Command* const> all() const noexcept { return commands_; }

    std::span<const Command* const> of(std::uint8_t opcode) const noexcept {
        const std::size_t begin = first_[opcode];
        return all().subspan(begin, first_[opcode + std::size_t{1}] - begin);
    }

private:
    std::vector<const Command*> commands_;
    std::array<std::uint16_t, 257> first_{};
};

const Index& command_index() noexcept {
    static const Index index;
    return index;
}

}  // namespace

CommandLookup find_command(std::uint8_t opcode, std::uint16_t service_action) noexcept {
    const auto candidates = command_index().of(opcode);
    for (const Command* command : candidates) {
        if (command->service_action.value_or(service_action) == service_action) {
            return {command, true};
        }
    }
    return {nullptr, !candidates.empty()};
}

CommandLookup find_command(std::span<const std::byte> cdb) noexcept {
    const auto opcode = std::to_integer<std::uint8_t>(cdb[0]);
    if (opcode == variable_length) {
        return cdb.size() < 10 ? CommandLookup{}
                               : find_command(opcode, load_big_endian<std::uint16_t>(cdb.subspan(8, 2)));
    }
    const auto second = cdb.size() < 2 ? std::uint8_t{0} : std::to_integer<std::uint8_t>(cdb[1]);
    return find_command(opcode, second & 0x1fU);
}

bool has_service_actions(std::uint8_t opcode) noexcept {
    const auto candidates = command_index().of(opcode);
    return !candidates.empty() && candidates.front()->service_action.has_value();
}

std::span<const Command* const> all_commands() noexcept {
    return command_index().all();
}

}  // namespace sidecore::scsi
