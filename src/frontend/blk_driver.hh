// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.hh"
#include "frontend/blk_format.hh"
#include "frontend/blk_requests.hh"
#include "frontend/client.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"

namespace sidecore::frontend {

/// A virtio-blk driver on a vhost-user connection: negotiated, started, and ready for requests.
///
/// Thread: one, but that each queue's requests may be made by a thread of their own.
class BlkDriver {
public:
    struct Options {
        Wishes wishes{};
        std::uint16_t queues = 1;
        QueueOptions queue{};  ///< of each; event_index only if it was negotiated
        BlkRequests::Options requests{};
        std::uint64_t memory_bytes = 0;  ///< guest memory in all; 0: what the queues and requests need
    };

    /// Connects, negotiates, makes guest memory and queues, starts them.
    static Result<BlkDriver> start(const std::filesystem::path& socket, const Options& options);
    static Result<BlkDriver> start(Client client, const Options& options);

    /// The configuration space, asked for now.
    Result<BlkConfig> config();
    /// Writes the `writeback` field (VIRTIO_BLK_F_CONFIG_WCE).
    Result<void> set_writeback(bool writeback);

    // On queue 0, or see requests().
    Result<void> read(std::uint64_t sector, std::span<std::byte> into) { return requests().read(sector, into); }
    Result<void> write(std::uint64_t sector, std::span<const std::byte> data) { return requests().write(sector, data); }
    Result<void> flush() { return requests().flush(); }
    Result<std::string> get_id() { return requests().get_id(); }
    Result<void> discard(std::span<const BlkRange> ranges) { return requests().discard(ranges); }
    Result<void> write_zeroes(std::span<const BlkRange> ranges) { return requests().write_zeroes(ranges); }
    Result<BlkFinished> run(const BlkRequest& request) { return requests().run(request); }

    BlkRequests& requests(std::size_t queue = 0) { return requests_.at(queue); }
    DriverQueue& queue(std::size_t index = 0) { return queues_->at(index); }
    std::span<DriverQueue> queues() { return *queues_; }
    Client& client() noexcept { return client_; }
    GuestMemoryFile& memory() noexcept { return *memory_; }

private:
    BlkDriver(Client client, std::unique_ptr<GuestMemoryFile> memory)
        : client_(std::move(client)),
          memory_(std::move(memory)),
          queues_(std::make_unique<std::vector<DriverQueue>>()) {}

    Client client_;
    std::unique_ptr<GuestMemoryFile> memory_;  // behind pointers, which stay when a BlkDriver is moved
    std::unique_ptr<std::vector<DriverQueue>> queues_;
    std::vector<BlkRequests> requests_;
};

}  // namespace sidecore::frontend
