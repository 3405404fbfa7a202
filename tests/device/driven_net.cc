// SPDX-License-Identifier: Apache-2.0
#include "device/driven_net.hh"

#include <array>
#include <cstring>
#include <fcntl.h>

#include <gtest/gtest.h>

#include "virtqueue/split_queue.hh"

namespace sidecore::device {

namespace {

Fd duplicate(int fd) {
    return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

}  // namespace

DrivenNet::DrivenNet(std::uint16_t index, NetDevice::Options options, std::uint64_t refused, std::uint16_t ring_size)
    : device_(must(NetDevice::create(std::make_unique<FakeLink>(link_), std::move(options)))),
      memory_(std::make_unique<frontend::GuestMemoryFile>(must(frontend::GuestMemoryFile::create(4 * mebibyte)))) {
    const std::uint64_t features = device_->features() & ~refused;
    device_->accept_features(features);
    frontend::QueueOptions queue;
    queue.size = ring_size;
    queue.event_index = (features & net::feature_event_index) != 0;
    driver_ = std::make_unique<frontend::DriverQueue>(must(frontend::DriverQueue::create(*memory_, queue)));
    const frontend::SplitRing& ring = driver_->ring();
    auto device_ring = must(
        virtqueue::SplitQueue::create(map_of(*memory_), {.size = ring.size(),
                                                         .descriptor = memory_->user(ring.descriptor_area().address),
                                                         .available = memory_->user(ring.available_area().address),
                                                         .used = memory_->user(ring.used_area().address),
                                                         .next_available = driver_->available_index(),
                                                         .event_index = driver_->event_index(),
                                                         .indirect = true}));
    Notifiers notifiers{
        duplicate(driver_->kick_fd()), duplicate(driver_->call_fd()), duplicate(driver_->error_fd()), {}};
    queue_ = must(device_->create_queue(index, std::move(device_ring), std::move(notifiers)));
}

std::uint16_t DrivenNet::offer(std::span<const frontend::Piece> pieces) {
    const auto head = driver_->format(pieces);
    if (!head) {
        throw std::runtime_error("too few free descriptors");
    }
    driver_->offer(*head);
    driver_->publish();
    return *head;
}

std::uint16_t DrivenNet::offer_readable(std::span<const std::vector<std::byte>> pieces) {
    std::vector<frontend::Piece> described;
    for (const std::vector<std::byte>& piece : pieces) {
        const frontend::GuestBuffer place = buffer(piece.size());
        std::memcpy(place.host, piece.data(), piece.size());
        described.push_back({place.address, static_cast<std::uint32_t>(piece.size()), false});
    }
    return offer(described);
}

frontend::GuestBuffer DrivenNet::offer_writable(std::uint32_t bytes) {
    const frontend::GuestBuffer place = buffer(bytes);
    std::memset(place.host, 0xee, bytes);
    offer(std::array{frontend::Piece{place.address, bytes, true}});
    return place;
}

std::vector<frontend::Used> DrivenNet::used() {
    std::vector<frontend::Used> all;
    std::array<frontend::Used, 16> some;
    while (const std::size_t count = driver_->reap(some)) {
        all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(count));
    }
    EXPECT_EQ(driver_->violation(), "");
    return all;
}

std::vector<std::byte> header_bytes(const net::Header& header, std::size_t bytes) {
    std::vector<std::byte> copy(bytes);
    std::memcpy(copy.data(), &header, bytes);
    return copy;
}

}  // namespace sidecore::device
