// SPDX-License-Identifier: Apache-2.0
#include "micro/ring.hh"

#include <fcntl.h>
#include <vector>

namespace sidecore::bench {

namespace {

constexpr std::uint64_t memory_bytes = 32U << 20U;

Fd copy_of(int fd) {
    return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

std::shared_ptr<const memory::MemoryMap> map_of(const frontend::GuestMemoryFile& memory) {
    std::vector<memory::RegionFile> files;
    for (const auto& region : memory.regions()) {
        files.push_back(
            {{region.guest_address, region.size, region.user_address, region.mmap_offset}, copy_of(region.file)});
    }
    return must(memory::MemoryMap::create(std::move(files)));
}

}  // namespace

Ring::Ring(std::uint16_t size)
    : memory_(std::make_unique<frontend::GuestMemoryFile>(must(frontend::GuestMemoryFile::create(memory_bytes)))),
      map_(map_of(*memory_)),
      driver_(std::make_unique<frontend::DriverQueue>(
          must(frontend::DriverQueue::create(*memory_, {.size = size, .event_index = true})))) {
    driver_->suppress_calls();
}

virtqueue::SplitQueue Ring::device_ring() const {
    const frontend::SplitRing& ring = driver_->ring();
    return must(virtqueue::SplitQueue::create(map_, {.size = ring.size(),
                                                     .descriptor = memory_->user(ring.descriptor_area().address),
                                                     .available = memory_->user(ring.available_area().address),
                                                     .used = memory_->user(ring.used_area().address),
                                                     .next_available = driver_->available_index(),
                                                     .event_index = true,
                                                     .indirect = true}));
}

std::unique_ptr<device::DeviceQueue> Ring::queue_of(device::Device& device, std::uint16_t index) const {
    device.accept_features(device.features());
    auto queue = must(device.create_queue(
        index, device_ring(),
        {copy_of(driver_->kick_fd()), copy_of(driver_->call_fd()), copy_of(driver_->error_fd()), {}}));
    queue->disarm();  // polled: the driver kicks nobody
    return queue;
}

}  // namespace sidecore::bench
