// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace sidecore::test {

/// Times that this process's threads of that name have gone to sleep or been interrupted.
inline std::uint64_t context_switches_of(std::string_view thread) {
    std::uint64_t sum = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::getline(std::ifstream(task.path() / "comm"), name);
        if (name != thread) {
            continue;
        }
        std::ifstream status(task.path() / "status");
        for (std::string key; status >> key;) {
            if (key == "voluntary_ctxt_switches:" || key == "nonvoluntary_ctxt_switches:") {
                std::uint64_t value = 0;
                status >> value;
                sum += value;
            }
        }
    }
    return sum;
}

}  // namespace sidecore::test
