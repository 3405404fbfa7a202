// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/error.hh"
#include "frontend/client.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"
#include "frontend/scsi_control.hh"
#include "frontend/scsi_format.hh"
#include "frontend/scsi_requests.hh"

namespace sidecore::frontend {

/// A virtio-scsi driver on a vhost-user connection: negotiated, started, and ready for requests.
///
/// Thread: one, but that the control queue, the event queue and each request queue may be used by a thread of their own.
class ScsiDriver {
public:
    struct Options {
        Wishes wishes{};
        std::uint16_t queues = 1;  ///< request queues
        QueueOptions queue{};      ///< of each
        ScsiRequests::Options requests{};
        std::uint32_t event_buffers = 16;  ///< all available from the start
        std::uint64_t load_bytes = 0;      ///< guest memory for more than these need
    };

    static Result<ScsiDriver> start(const std::filesystem::path& socket, const Options& options);

    /// The configuration space, asked for now.
    Result<ScsiConfig> config();

    ScsiControl& control() { return *control_; }
    ScsiEventBuffers& events() { return *events_; }
    ScsiRequests& requests(std::size_t queue = 0) { return requests_.at(queue); }

    /// All queues, as they are numbered.
    std::span<DriverQueue> queues() noexcept { return *queues_; }
    std::span<DriverQueue> request_queues() noexcept { return queues().subspan(scsi_fixed_queues); }
    Client& client() noexcept { return client_; }
    GuestMemoryFile& memory() noexcept { return *memory_; }

private:
    ScsiDriver(Client client, std::unique_ptr<GuestMemoryFile> memory)
        : client_(std::move(client)),
          memory_(std::move(memory)),
          queues_(std::make_unique<std::vector<DriverQueue>>()) {}

    Client client_;
    std::unique_ptr<GuestMemoryFile> memory_;  // behind pointers, which stay when a ScsiDriver is moved
    std::unique_ptr<std::vector<DriverQueue>> queues_;
    std::optional<ScsiControl> control_;
    std::optional<ScsiEventBuffers> events_;
    std::vector<ScsiRequests> requests_;
};

}  // namespace sidecore::frontend
