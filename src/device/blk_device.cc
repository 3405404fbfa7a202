// SPDX-License-Identifier: Apache-2.0
#include "device/blk_device.hh"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "base/format.hh"
#include "device/blk_queue.hh"

namespace sidecore::device {

namespace {

/// Longest data segment that a driver is told to make. SeaBIOS up to 1.16.2 (Debian 12's) keeps size_max * seg_max, in
/// sectors, in 16 bits, and asks for nothing, for ever, where that comes out as 0: so it has to fit.
constexpr std::uint32_t size_max_bytes(std::uint16_t seg_max) {
    constexpr std::uint32_t longest_request = 0xffffU * static_cast<std::uint32_t>(storage::sector_bytes);
    return std::bit_floor(longest_request / seg_max);
}

/// Longest range of one discard or write zeroes segment, in sectors: 1 GiB.
constexpr std::uint32_t max_range_sectors = 1U << 21U;

/// The bytes of the configuration space: up to the last field of the features on offer.
constexpr std::size_t config_bytes = offsetof(blk::Config, unused1) + sizeof(blk::Config::unused1);
static_assert(config_bytes == 60);

}  // namespace

Result<std::unique_ptr<BlkDevice>> BlkDevice::create(std::unique_ptr<storage::BlockBackend> backend, Options options) {
    if (options.queues == 0 || options.queues > max_queues_possible) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("a blk device has 1 to {} queues, not {}", max_queues_possible, options.queues));
    }
    if (options.seg_max == 0 || options.seg_max > seg_max_possible) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("seg_max is 1 to {}, not {}", seg_max_possible, options.seg_max));
    }
    if (options.serial.empty()) {
        options.serial = options.name.substr(0, blk::id_bytes);
    }
    if (options.serial.size() > blk::id_bytes) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("the serial \"{}\" is longer than {} bytes", options.serial, blk::id_bytes));
    }
    const auto geometry = backend->geometry();
    return std::unique_ptr<BlkDevice>(new BlkDevice(std::move(backend), std::move(options), geometry));
}

BlkDevice::BlkDevice(std::unique_ptr<storage::BlockBackend> backend, Options options,
                     const storage::BlockGeometry& geometry)
    : backend_(std::move(backend)),
      options_(std::move(options)),
      geometry_(geometry),
      features_(blk::feature_version_1 | blk::feature_size_max | blk::feature_seg_max | blk::feature_block_size |
                blk::feature_topology | blk::feature_flush | blk::feature_config_wce | blk::feature_mq) {
    shared_.capacity_sectors = geometry.capacity_bytes / storage::sector_bytes;
    shared_.read_only = options_.read_only || geometry.read_only;
    shared_.can_discard = geometry.can_discard && !shared_.read_only;
    shared_.can_write_zeroes = geometry.can_write_zeroes && !shared_.read_only;
    shared_.serial = options_.serial;

    const auto offer = [this](std::uint64_t feature, bool condition) { features_ |= condition ? feature : 0; };
    offer(blk::feature_event_index, options_.event_index);
    offer(blk::feature_indirect, options_.indirect);
    offer(blk::feature_read_only, shared_.read_only);
    offer(blk::feature_discard, shared_.can_discard);
    offer(blk::feature_write_zeroes, shared_.can_write_zeroes);
    choose_cache_mode();
}

std::string BlkDevice::description() const {
    const std::lock_guard lock(backend_mutex_);
    return backend_->description();
}

void BlkDevice::accept_features(std::uint64_t features) {
    accepted_ = features;
    choose_cache_mode();
}

/// When a write must be stable before it completes (5.2.6.2, "A write becomes stable"): with CONFIG_WCE the
/// driver's `writeback` field says so; without it, a driver that cannot flush gets a write-through cache.
void BlkDevice::choose_cache_mode() noexcept {
    const std::uint64_t accepted = accepted_;
    bool writeback = (accepted & blk::feature_flush) != 0;
    if ((accepted & blk::feature_config_wce) != 0) {
        writeback = writeback && writeback_;
    }
    shared_.durable_writes = geometry_.volatile_write_cache && !writeback;
}

blk::Config BlkDevice::config() const noexcept {
    const auto logical_exponent = std::countr_zero(geometry_.logical_block_bytes);
    const auto physical_exponent = std::countr_zero(geometry_.physical_block_bytes);
    const std::uint64_t discard_sectors = geometry_.discard_granularity_bytes / storage::sector_bytes;
    blk::Config config{};
    config.capacity = shared_.capacity_sectors.load(std::memory_order_relaxed);
    config.size_max = size_max_bytes(options_.seg_max);
    config.seg_max = options_.seg_max;
    config.block_size = geometry_.logical_block_bytes;
    config.physical_block_exponent = static_cast<std::uint8_t>(std::max(physical_exponent - logical_exponent, 0));
    config.min_io_size = static_cast<std::uint16_t>(
        std::min<std::uint32_t>(geometry_.physical_block_bytes / geometry_.logical_block_bytes, 0xffff));
    config.opt_io_size = geometry_.optimal_io_bytes / geometry_.logical_block_bytes;
    // 5.2.5.2: without FLUSH a negotiated CONFIG_WCE starts at 0.
    const std::uint64_t accepted = accepted_;
    const bool no_flush = (accepted & blk::feature_config_wce) != 0 && (accepted & blk::feature_flush) == 0;
    config.writeback = writeback_ && !no_flush ? 1 : 0;
    config.num_queues = options_.queues;
    if (shared_.can_discard) {
        config.max_discard_sectors = max_range_sectors;
        config.max_discard_segments = max_range_segments;
        config.discard_sector_alignment = static_cast<std::uint32_t>(std::max<std::uint64_t>(discard_sectors, 1));
    }
    if (shared_.can_write_zeroes) {
        config.max_write_zeroes_sectors = max_range_sectors;
        config.max_write_zeroes_segments = max_range_segments;
        config.write_zeroes_may_unmap = geometry_.write_zeroes_may_unmap ? 1 : 0;
    }
    return config;
}

void BlkDevice::read_config(std::uint32_t offset, std::span<std::byte> out) const {
    const blk::Config now = config();
    std::fill(out.begin(), out.end(), std::byte{0});
    if (offset < config_bytes && !out.empty()) {
        const std::size_t bytes = std::min(out.size(), config_bytes - offset);
        std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&now) + offset, bytes);
    }
}

Result<void> BlkDevice::write_config(std::uint32_t offset, std::span<const std::byte> data, bool migration) {
    // A migration's destination gets the source's whole space; only the cache mode is state, the rest is ours
    // to say.
    std::optional<bool> writeback;
    for (std::size_t i = 0; i < data.size(); ++i) {
        if (offset + i == offsetof(blk::Config, writeback)) {
            const auto value = std::to_integer<unsigned>(data[i]);
            if (value > 1) {
                return failure(ErrorKind::invalid_argument,
                               fmt::format("the writeback field takes 0 or 1, not {}", value));
            }
            writeback = value == 1;
        } else if (!migration) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("configuration byte {} is not the driver's to write", offset + i));
        }
    }
    if (writeback) {  // not before all of it was found to be in order
        writeback_ = *writeback;
        choose_cache_mode();
    }
    return {};
}

void BlkDevice::reset() {
    accepted_ = 0;
    writeback_ = true;
    choose_cache_mode();
}

Result<std::unique_ptr<DeviceQueue>> BlkDevice::create_queue(std::uint16_t index, virtqueue::SplitQueue ring,
                                                             Notifiers notifiers) {
    const std::lock_guard lock(backend_mutex_);
    auto name = fmt::format("{} queue {}", options_.name, index);
    SIDECORE_TRY_ASSIGN(auto queue,
                        BlkQueue::create(std::move(name), std::move(ring), std::move(notifiers), shared_, *backend_));
    return std::unique_ptr<DeviceQueue>(std::move(queue));
}

Result<void> BlkDevice::resize(std::uint64_t capacity_bytes) {
    const std::lock_guard lock(backend_mutex_);
    SIDECORE_TRY(backend_->resize(capacity_bytes));
    shared_.capacity_sectors = backend_->geometry().capacity_bytes / storage::sector_bytes;
    return {};
}

}  // namespace sidecore::device
