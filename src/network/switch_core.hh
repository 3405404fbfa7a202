// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "network/mac_table.hh"
#include "network/switch_port.hh"

namespace sidecore::network {

/// The ports of a switch at one moment, by number; null where there is none.
using PortSet = std::vector<std::shared_ptr<SwitchPort>>;

/// What a switch's ports have in common: which of them there are, and who is behind them.
///
/// Thread: generation(), ports(), table() and now_s() any; the others control threads.
///
/// Invariant: a set of ports never changes. add() and remove() put another one in its place and count the generation up after that, so who
/// finds the generation that it knows has the newest set, or one that was the newest a moment ago. Who uses an old one holds its ports in
/// memory, which is why nobody has to wait for him.
class SwitchCore {
public:
    using Clock = std::function<std::uint32_t()>;  ///< seconds; never goes back; any thread

    SwitchCore(std::unique_ptr<MacTable> table, Clock now_s) : table_(std::move(table)), now_s_(std::move(now_s)) {}

    std::uint64_t generation() const noexcept { return generation_.load(std::memory_order_acquire); }
    std::shared_ptr<const PortSet> ports() const;

    MacTable& table() const noexcept { return *table_; }
    std::uint32_t now_s() const { return now_s_(); }

    /// Makes a port of the first number that is free. `make` is given it and returns a Result of a shared pointer to some SwitchPort.
    template <typename Make>
    auto add(std::string_view name, Make make) -> decltype(make(PortNumber{})) {
        const std::lock_guard lock(control_);
        SIDECORE_TRY_ASSIGN(const PortNumber number, free_number(name));
        auto port = make(number);
        if (port) {
            replace(number, *port);
        }
        return port;
    }

    /// The port has no senders any more. What others still deliver to it has no effect.
    void remove(const SwitchPort& port);

private:
    Result<PortNumber> free_number(std::string_view name) const;
    void replace(PortNumber number, std::shared_ptr<SwitchPort> port);

    const std::unique_ptr<MacTable> table_;
    const Clock now_s_;

    std::mutex control_;        // one change at a time
    mutable std::mutex mutex_;  // guards ports_, for as long as it takes to copy the pointer
    std::shared_ptr<const PortSet> ports_ = std::make_shared<const PortSet>();
    std::atomic<std::uint64_t> generation_{1};
};

}  // namespace sidecore::network
