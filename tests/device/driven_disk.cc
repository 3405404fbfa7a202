// SPDX-License-Identifier: Apache-2.0
#include "device/driven_disk.hh"

#include <array>
#include <fcntl.h>

#include "virtqueue/split_queue.hh"

namespace sidecore::device {

using frontend::BlkFinished;
using frontend::BlkRequest;
using frontend::BlkType;

namespace {

Fd copy_of(int fd) {
    return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

/// What queues, requests and their guards take, and some room for chains made by hand.
std::uint64_t memory_needed(const DrivenDisk::Options& options) {
    return (1U << 20U) + std::uint64_t{64} * options.queue.size +
           std::uint64_t{options.requests.slots} * (options.requests.bytes_per_slot + 32768U);
}

bool accepted(std::uint64_t features, std::uint64_t feature) {
    return (features & feature) != 0;
}

}  // namespace

std::vector<std::byte> pattern(std::size_t bytes, std::uint64_t seed) {
    std::vector<std::byte> made(bytes);
    std::uint64_t state = seed * 0x9e3779b97f4a7c15U + 1;
    for (std::byte& one : made) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        one = static_cast<std::byte>(state >> 56U);
    }
    return made;
}

std::shared_ptr<const memory::MemoryMap> map_of(const frontend::GuestMemoryFile& memory) {
    std::vector<memory::RegionFile> files;
    for (const auto& region : memory.regions()) {
        files.push_back(
            {{region.guest_address, region.size, region.user_address, region.mmap_offset}, copy_of(region.file)});
    }
    return must(memory::MemoryMap::create(std::move(files)));
}

DrivenDisk::DrivenDisk(std::unique_ptr<storage::BlockBackend> backend) : DrivenDisk(std::move(backend), Options{}) {}

DrivenDisk::DrivenDisk(std::unique_ptr<storage::BlockBackend> backend, const Options& options)
    : disk_(must(BlkDevice::create(std::move(backend), options.device))) {
    const std::uint64_t features = disk_->features() & ~options.refused_features;
    disk_->accept_features(features);
    auto memory = options.memory.empty()
                      ? frontend::GuestMemoryFile::create(memory_needed(options))
                      : frontend::GuestMemoryFile::create(options.memory, frontend::GuestMemoryFile::Files::per_region);
    memory_ = std::make_unique<frontend::GuestMemoryFile>(must(std::move(memory)));
    frontend::QueueOptions queue = options.queue;
    queue.event_index = queue.event_index && accepted(features, blk::feature_event_index);
    driver_queue_ = std::make_unique<frontend::DriverQueue>(must(frontend::DriverQueue::create(*memory_, queue)));
    requests_ = std::make_unique<frontend::BlkRequests>(
        must(frontend::BlkRequests::create(*memory_, *driver_queue_, options.requests)));
    create_queue(
        {copy_of(driver_queue_->kick_fd()), copy_of(driver_queue_->call_fd()), copy_of(driver_queue_->error_fd()), {}});
}

void DrivenDisk::create_queue(Notifiers notifiers) {
    const frontend::SplitRing& ring = driver_queue_->ring();
    auto queue = must(
        virtqueue::SplitQueue::create(map_of(*memory_), {.size = ring.size(),
                                                         .descriptor = memory_->user(ring.descriptor_area().address),
                                                         .available = memory_->user(ring.available_area().address),
                                                         .used = memory_->user(ring.used_area().address),
                                                         .next_available = driver_queue_->available_index(),
                                                         .event_index = driver_queue_->event_index(),
                                                         .indirect = true}));
    device_queue_ = must(disk_->create_queue(0, std::move(queue), std::move(notifiers)));
}

void DrivenDisk::restart_queue(Notifiers notifiers) {
    driver_queue_->reset();
    device_queue_.reset();
    create_queue(std::move(notifiers));
}

void DrivenDisk::work() {
    for (;;) {
        const engine::Turn turn = serve();
        const engine::Reaped reaped = reap();
        const bool more = turn.end == engine::TurnEnd::budget || (turn.end == engine::TurnEnd::held && reaped.resume);
        if (!more && reaped.requests == 0) {
            return;
        }
    }
}

std::uint64_t DrivenDisk::offer(const BlkRequest& request) {
    const std::uint64_t ticket = must(requests_->submit(request));
    driver_queue_->publish();
    return ticket;
}

std::uint16_t DrivenDisk::offer_raw(std::span<const frontend::Piece> pieces) {
    const auto head = driver_queue_->format(pieces);
    if (!head) {
        throw std::runtime_error("too few free descriptors");
    }
    driver_queue_->offer(*head);
    driver_queue_->publish();
    return *head;
}

BlkFinished DrivenDisk::run(const BlkRequest& request) {
    const std::uint64_t ticket = offer(request);
    work();
    const auto finished = must(requests_->collect());
    if (finished.size() != 1 || finished.front().ticket != ticket) {
        throw std::runtime_error("other requests have finished");
    }
    return finished.front();
}

BlkFinished DrivenDisk::read(std::uint64_t sector, std::span<std::byte> into) {
    return run({.type = BlkType::read, .sector = sector, .in = into});
}

BlkFinished DrivenDisk::write(std::uint64_t sector, std::span<const std::byte> data) {
    return run({.type = BlkType::write, .sector = sector, .out = data});
}

BlkFinished DrivenDisk::flush() {
    return run({.type = BlkType::flush});
}

BlkFinished DrivenDisk::ranges(BlkType type, std::span<const frontend::BlkRange> ranges) {
    return run({.type = type, .out = std::as_bytes(ranges)});
}

std::vector<std::byte> DrivenDisk::config() const {
    std::vector<std::byte> bytes(frontend::blk_config_bytes);
    disk_->read_config(0, bytes);
    return bytes;
}

}  // namespace sidecore::device
