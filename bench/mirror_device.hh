// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "frontend/disk_load.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"

namespace sidecore::bench {

/// A thread that serves one queue in this process as a block or SCSI device does that has nothing to do: it reads each
/// request's descriptors and header, writes its status and its used entry, checks nothing, asks for no kicks and calls
/// nobody. What the driver reaches with it on two given cores is the most that it can show of any back-end.
///
/// Thread: made and destroyed by the driver's. Memory and queue outlive it.
class MirrorDevice {
public:
    MirrorDevice(const frontend::GuestMemoryFile& memory, const frontend::DriverQueue& queue,
                 frontend::DiskProtocol protocol, int cpu);
    ~MirrorDevice();
    MirrorDevice(const MirrorDevice&) = delete;
    MirrorDevice& operator=(const MirrorDevice&) = delete;

private:
    void serve();
    void serve_batch(std::uint16_t count);
    bool is_answer(const frontend::Descriptor& descriptor) const noexcept;
    void answer(const std::byte* request, std::byte* to) const noexcept;

    const frontend::GuestMemoryFile& memory_;
    frontend::SplitRing ring_;
    bool event_index_;
    frontend::DiskProtocol protocol_;
    std::uint16_t next_ = 0;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

}  // namespace sidecore::bench
