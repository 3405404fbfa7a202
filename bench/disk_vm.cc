// SPDX-License-Identifier: Apache-2.0
#include "disk_vm.hh"

#include <vector>

#include "base/big_endian.hh"

namespace sidecore::bench {

using frontend::BlkDriver;
using frontend::ScsiDriver;

namespace {

// SAM-5 5.3.1, SPC-4 4.5.6
constexpr std::uint8_t check_condition = 2;
constexpr unsigned unit_attention = 6;

constexpr std::uint64_t other_bytes = 64ULL << 20U;  // rings and single requests, with room to spare

/// Of target 0's unit 0: READ CAPACITY (10), SBC-3 5.15. That is up to 2 TiB, which is as far as READ (10) reaches.
Result<std::uint64_t> capacity_of(frontend::ScsiRequests& requests) {
    std::vector<std::byte> answer(8);
    std::vector<std::byte> read_capacity_10(10);
    read_capacity_10[0] = std::byte{0x25};
    const frontend::ScsiRequest request{.cdb = read_capacity_10, .in = answer};
    SIDECORE_TRY_ASSIGN(frontend::ScsiFinished finished, requests.run(request));
    while (finished.response == frontend::ScsiResponse::ok && finished.status == check_condition &&
           (std::to_integer<unsigned>(finished.sense.at(2)) & 0xfU) == unit_attention) {
        SIDECORE_TRY_ASSIGN(finished, requests.run(request));  // it told of what had happened before
    }
    const std::span all(answer);
    if (!finished.good() || load_big_endian(all.subspan(4, 4)) != frontend::blk_sector_bytes) {
        return failure(ErrorKind::not_found, "target 0 has no unit 0 with blocks of 512 bytes");
    }
    return load_big_endian(all.first(4)) + 1;
}

}  // namespace

Result<DiskVm> DiskVm::start(frontend::DiskProtocol protocol, const std::filesystem::path& socket,
                             const Options& options) {
    auto started = protocol == frontend::DiskProtocol::scsi ? start_scsi(socket, options) : start_blk(socket, options);
    if (!started) {
        return tl::unexpected(std::move(started).error().within(socket.string()));
    }
    return started;
}

Result<DiskVm> DiskVm::start_blk(const std::filesystem::path& socket, const Options& options) {
    BlkDriver::Options wanted;
    wanted.queues = options.queues;
    wanted.queue = options.queue;
    wanted.requests.slots = 1;
    wanted.memory_bytes = options.load_bytes + other_bytes;
    SIDECORE_TRY_ASSIGN(BlkDriver driver, BlkDriver::start(socket, wanted));
    SIDECORE_TRY_ASSIGN(const frontend::BlkConfig config, driver.config());
    const std::uint64_t capacity = config.capacity;
    return DiskVm(std::move(driver), capacity);
}

Result<DiskVm> DiskVm::start_scsi(const std::filesystem::path& socket, const Options& options) {
    ScsiDriver::Options wanted;
    wanted.queues = options.queues;
    wanted.queue = options.queue;
    wanted.requests.slots = 1;
    wanted.load_bytes = options.load_bytes + other_bytes;
    SIDECORE_TRY_ASSIGN(ScsiDriver driver, ScsiDriver::start(socket, wanted));
    SIDECORE_TRY_ASSIGN(const std::uint64_t capacity, capacity_of(driver.requests()));
    return DiskVm(std::move(driver), capacity);
}

std::span<frontend::DriverQueue> DiskVm::queues() {
    if (auto* const scsi = std::get_if<ScsiDriver>(&driver_)) {
        return scsi->request_queues();
    }
    return std::get<BlkDriver>(driver_).queues();
}

frontend::GuestMemoryFile& DiskVm::memory() {
    return std::visit([](auto& driver) -> frontend::GuestMemoryFile& { return driver.memory(); }, driver_);
}

Result<void> DiskVm::stop() {
    return std::visit(
        [](auto& driver) -> Result<void> {
            SIDECORE_TRY(driver.client().stop(static_cast<std::uint16_t>(driver.queues().size())));
            return {};
        },
        driver_);
}

}  // namespace sidecore::bench
