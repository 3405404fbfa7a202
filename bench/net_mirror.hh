// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"

namespace sidecore::bench {

/// A thread that serves a pair in this process as a network does that has nothing to do: it takes each frame, copies it to the next receive
/// buffer if there is one, checks nothing, asks for no kicks and calls nobody. What the driver reaches with it on two given cores is the
/// most that it can show of any back-end.
///
/// Thread: made and destroyed by the driver's. Memory and queues outlive it.
class NetMirror {
public:
    NetMirror(const frontend::GuestMemoryFile& memory, const frontend::DriverQueue& receive,
              const frontend::DriverQueue& transmit, int cpu);
    ~NetMirror();
    NetMirror(const NetMirror&) = delete;
    NetMirror& operator=(const NetMirror&) = delete;

private:
    struct Side {
        frontend::SplitRing ring;
        bool event_index = false;
        std::uint16_t next = 0;  ///< available index, and used index

        std::uint16_t waiting() const noexcept;
        std::uint16_t head(std::uint16_t ahead) const noexcept;
        void set_used(std::uint16_t ahead, std::uint16_t head, std::uint32_t length) const noexcept;
        void publish(std::uint16_t count) noexcept;
    };

    void serve();
    void serve_batch(std::uint16_t count);
    std::uint32_t copy(std::uint16_t from, std::uint16_t to) const noexcept;

    const frontend::GuestMemoryFile& memory_;
    Side receive_;
    Side transmit_;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

}  // namespace sidecore::bench
