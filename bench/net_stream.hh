// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "arrivals.hh"
#include "base/error.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"
#include "frontend/net_load.hh"
#include "latency_histogram.hh"

namespace sidecore::bench {

enum class NetMode : std::uint8_t {
    transmit,          ///< frames, as fast as the device takes them
    receive,           ///< what comes by itself
    loop,              ///< and what comes back is received
    request_response,  ///< one byte at a time, which comes back
};

/// The queues of a pair, and where they are.
struct NetTarget {
    frontend::GuestMemoryFile* memory = nullptr;
    frontend::DriverQueue* receive = nullptr;
    frontend::DriverQueue* transmit = nullptr;
    std::uint64_t features = 0;
    frontend::GuestMemoryFile* receive_memory = nullptr;  ///< that of `receive`, if it is another device's
};

struct NetCounts {
    std::uint64_t transmitted = 0;  ///< frames that the device has used
    std::uint64_t received = 0;
    std::uint64_t received_bytes = 0;
    std::uint64_t faults = 0;     ///< received buffers that cannot be
    std::uint64_t responses = 0;  ///< in time
    std::uint64_t lost = 0;       ///< requests without
    std::uint64_t strangers = 0;  ///< frames that are no response
    std::uint64_t transmit_kicks = 0;
    std::uint64_t receive_kicks = 0;
    std::uint64_t kicks_suppressed =
        0;                    ///< publications, of both queues, that the device did not want to be told about
    std::uint64_t calls = 0;  ///< although the driver wants none

    NetCounts& operator+=(const NetCounts& other) noexcept;
    NetCounts& operator-=(const NetCounts& other) noexcept;
};

/// The load of one pair.
///
/// Thread: one.
class NetStream {
public:
    struct Options {
        NetMode mode = NetMode::transmit;
        std::uint32_t bytes = 64;  ///< of a frame, from its Ethernet header on; of requests there are always 46
        std::uint16_t batch = 32;  ///< frames per publication, at most
        Arrivals::Options
            arrivals{};  ///< when frames and requests are to go; closed: frames at any time, requests one after the other
        std::uint64_t kick_cost_ns = 0;  ///< spent on each kick, beside what it costs: as if it were a VM exit
        std::uint64_t seed = 0;          ///< of the arrivals
        frontend::NetLoadOptions chains{};
    };

    static Result<NetStream> create(const NetTarget& target, const Options& options);

    /// What has come and what is to go at `now`, in cycles.
    void turn(std::uint64_t now) noexcept;

    /// Counts from here on. An open loop begins anew at `now`.
    void forget(std::uint64_t now);

    /// How late at `now` what is to go next is: it waits for a place.
    std::uint64_t behind(std::uint64_t now) const noexcept {
        return arrivals_.closed() || arrivals_.next() >= now ? 0 : now - arrivals_.next();
    }

    /// What was counted since.
    NetCounts counts();
    const LatencyHistogram& histogram() const noexcept { return histogram_; }

    /// Waits for what is in flight. Errors: a ring is violated, or the back-end does not use frames within 5 s.
    Result<void> finish_all();

private:
    NetStream(const NetTarget& target, const Options& options);
    void exchange(std::uint64_t now) noexcept;
    void send(std::uint64_t now) noexcept;
    std::uint64_t kicks() const noexcept;
    NetCounts totals();

    NetTarget target_;
    Options options_;
    Arrivals arrivals_;
    std::uint64_t kick_cost_;  // cycles
    // Behind pointers, which stay when a NetStream is moved
    std::unique_ptr<frontend::NetTransmitLoad> transmit_;  // none in mode receive
    std::unique_ptr<frontend::NetReceiveLoad> receive_;    // none in mode transmit
    std::optional<frontend::NetRequestResponse> exchange_;
    NetCounts before_;
    LatencyHistogram histogram_;
};

}  // namespace sidecore::bench
