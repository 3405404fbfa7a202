// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <poll.h>
#include <string>
#include <utility>
#include <vector>

#include "base/format.hh"
#include "vhost_user/backend_channel.hh"
#include "vhost_user/handler.hh"

namespace sidecore::vhost_user::testing {

/// A device that does nothing but note what the session asked of it, and whether the session kept its promises.
class FakeHandler final : public Handler {
public:
    struct Queue {
        bool started = false;
        bool enabled = false;
        Fd kick;
        Fd call;
        Fd error;
        std::uint16_t base = 0;
        bool kick_seen = false;  // the kick was readable at the last stop
    };

    explicit FakeHandler(std::uint16_t queue_count = 4) : queues(queue_count) {}

    std::uint64_t offered = 0x1'3000'0006;  // VERSION_1, EVENT_IDX, INDIRECT_DESC and two of the device
    std::vector<Queue> queues;
    std::vector<std::string> events;  // one for each call, in order
    std::vector<std::string> broken_promises;
    std::string failing;  // the name of a call that fails
    std::array<std::byte, 60> config{};
    std::uint8_t device_status = 0;
    std::uint16_t served_by_stop = 0;  // how far a queue's index is moved before it stops
    std::shared_ptr<const memory::MemoryMap> map;
    std::shared_ptr<BackendChannel> channel;
    std::uint64_t features = 0;

    std::uint64_t offered_features() const override { return offered; }
    std::uint16_t max_queues() const override { return static_cast<std::uint16_t>(queues.size()); }

    Result<void> set_features(std::uint64_t value) override {
        promise((value & ~offered) == 0, "features were not offered");
        features = value;
        return note("set_features", fmt::format(" {:#x}", value));
    }

    Result<void> set_memory(std::shared_ptr<const memory::MemoryMap> value) override {
        promise(value != nullptr, "no map");
        map = std::move(value);
        return note("set_memory", fmt::format(" {} regions", map->region_count()));
    }

    Result<void> start_vring(std::uint16_t index, VringSetup setup) override {
        Queue& queue = at(index);
        promise(!queue.started, "start of a started vring");
        promise(setup.size >= 1 && setup.size <= 32768 && (setup.size & (setup.size - 1)) == 0, "size");
        promise(map && map->translate(setup.addresses.descriptor, std::uint64_t{16} * setup.size) != nullptr, "table");
        promise(map && map->translate(setup.addresses.available, 4 + std::uint64_t{2} * setup.size) != nullptr,
                "available");
        promise(map && map->translate(setup.addresses.used, 4 + std::uint64_t{8} * setup.size) != nullptr, "used");
        queue.started = true;
        queue.base = setup.available_base;
        const std::string text =
            fmt::format(" {} size {} base {}{}{}{}", index, setup.size, setup.available_base, setup.kick ? " kick" : "",
                        setup.call ? " call" : "", setup.error ? " error" : "");
        queue.kick = std::move(setup.kick);
        queue.call = std::move(setup.call);
        queue.error = std::move(setup.error);
        return note("start_vring", text);
    }

    Result<std::uint16_t> stop_vring(std::uint16_t index) override {
        Queue& queue = at(index);
        promise(queue.started, "stop of a vring that is not started");
        stop(queue);
        SIDECORE_TRY(note("stop_vring", fmt::format(" {}", index)));
        return static_cast<std::uint16_t>(queue.base + served_by_stop);
    }

    Result<void> enable_vring(std::uint16_t index, bool enabled) override {
        at(index).enabled = enabled;
        return note(enabled ? "enable_vring" : "disable_vring", fmt::format(" {}", index));
    }

    Result<void> replace_kick(std::uint16_t index, Fd kick) override {
        promise(at(index).started, "kick replaced in a vring that is not started");
        at(index).kick = std::move(kick);
        return note("replace_kick", fmt::format(" {}{}", index, at(index).kick ? "" : " none"));
    }

    Result<void> replace_call(std::uint16_t index, Fd call) override {
        promise(at(index).started, "call replaced in a vring that is not started");
        at(index).call = std::move(call);
        return note("replace_call", fmt::format(" {}{}", index, at(index).call ? "" : " none"));
    }

    Result<void> replace_error(std::uint16_t index, Fd error) override {
        promise(at(index).started, "error replaced in a vring that is not started");
        at(index).error = std::move(error);
        return note("replace_error", fmt::format(" {}{}", index, at(index).error ? "" : " none"));
    }

    void read_config(std::uint32_t offset, std::span<std::byte> out) const override {
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i] = offset + i < config.size() ? config[offset + i] : std::byte{0};
        }
    }

    Result<void> write_config(std::uint32_t offset, std::span<const std::byte> data, bool migration) override {
        SIDECORE_TRY(note("write_config", fmt::format(" {}+{}{}", offset, data.size(), migration ? " migration" : "")));
        if (offset > config.size() || data.size() > config.size() - offset) {
            return failure(ErrorKind::out_of_range, "beyond the configuration space");
        }
        std::copy(data.begin(), data.end(), config.begin() + offset);
        return {};
    }

    void set_backend_channel(std::shared_ptr<BackendChannel> value) override {
        promise(value != nullptr, "no channel");
        channel = std::move(value);
        static_cast<void>(note("set_backend_channel", ""));
    }

    Result<void> set_status(std::uint8_t value) override {
        device_status = value;
        return note("set_status", fmt::format(" {:#x}", value));
    }
    std::uint8_t status() const override { return device_status; }

    Result<void> reset() override {
        for (Queue& queue : queues) {
            stop(queue);
            queue.enabled = false;
        }
        device_status = 0;
        return note("reset", "");
    }

    bool any_started() const {
        return std::any_of(queues.begin(), queues.end(), [](const Queue& queue) { return queue.started; });
    }

private:
    Queue& at(std::uint16_t index) {
        promise(index < queues.size(), "vring index");
        return queues.at(index);
    }

    /// As a device that drains: it sees the last kick, and its last word goes out.
    static void stop(Queue& queue) {
        queue.started = false;
        pollfd kick{queue.kick.get(), POLLIN, 0};
        queue.kick_seen = ::poll(&kick, 1, 0) == 1 && kick.revents == POLLIN;
        signal_eventfd(queue.call.get());
        signal_eventfd(queue.error.get());
        queue.kick.reset();
        queue.call.reset();
        queue.error.reset();
    }

    void promise(bool kept, const char* what) {
        if (!kept) {
            broken_promises.emplace_back(what);
        }
    }

    Result<void> note(const std::string& call, const std::string& rest) {
        events.push_back(call + rest);
        if (call == failing) {
            return failure(ErrorKind::system, "the fake fails");
        }
        return {};
    }
};

}  // namespace sidecore::vhost_user::testing
