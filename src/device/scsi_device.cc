// SPDX-License-Identifier: Apache-2.0
#include "device/scsi_device.hh"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/format.hh"
#include "device/scsi_address.hh"
#include "device/scsi_control_queue.hh"
#include "device/scsi_event_queue.hh"
#include "scsi/limits.hh"

namespace sidecore::device {

namespace {

/// Commands for one logical unit at a time that a driver is advised to send: more than any of ours needs to be kept busy.
constexpr std::uint32_t commands_per_unit = 128;

constexpr std::uint32_t sector_bytes = 512;

}  // namespace

Result<std::unique_ptr<ScsiDevice>> ScsiDevice::create(Options options) {
    if (options.queues == 0 || options.queues > max_queues_possible) {
        return failure(ErrorKind::invalid_argument, fmt::format("a scsi device has 1 to {} request queues, not {}",
                                                                max_queues_possible, options.queues));
    }
    if (options.seg_max == 0 || options.seg_max > ScsiRequestQueue::seg_max_possible) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("seg_max is 1 to {}, not {}", ScsiRequestQueue::seg_max_possible, options.seg_max));
    }
    SIDECORE_TRY_ASSIGN(auto bell, ScsiEvents::make_bell());
    return std::unique_ptr<ScsiDevice>(new ScsiDevice(std::move(options), std::move(bell)));
}

ScsiDevice::ScsiDevice(Options options, Fd bell)
    : options_(std::move(options)),
      features_(scsi_host::feature_version_1 | scsi_host::feature_inout | scsi_host::feature_hotplug |
                scsi_host::feature_change |
                (options_.event_index ? std::uint64_t{scsi_host::feature_event_index} : 0U) |
                (options_.indirect ? std::uint64_t{scsi_host::feature_indirect} : 0U)),
      events_(std::move(bell)),
      domain_(options_.name) {
    domain_.listen(this);
}

ScsiDevice::~ScsiDevice() {
    domain_.listen(nullptr);
}

std::string ScsiDevice::description() const {
    const std::size_t count = domain_.nexuses().size();
    return fmt::format("{} logical unit{}", count, count == 1 ? "" : "s");
}

void ScsiDevice::accept_features(std::uint64_t features) {
    // A front-end also says it anew when something else has changed (that it logs writes): then no event may be lost.
    constexpr std::uint64_t events = scsi_host::feature_hotplug | scsi_host::feature_change;
    if (((accepted_.exchange(features) ^ features) & events) != 0) {
        events_.clear();
    }
    choices_.both_directions = (features & scsi_host::feature_inout) != 0;
}

scsi_host::Config ScsiDevice::config() const noexcept {
    scsi_host::Config config{};
    config.num_queues = options_.queues;
    config.seg_max = options_.seg_max;
    config.max_sectors = static_cast<std::uint32_t>(scsi::transfer_bytes_max / sector_bytes);
    config.cmd_per_lun = commands_per_unit;
    config.event_info_size = sizeof(scsi_host::Event);
    config.sense_size = choices_.sense.load();
    config.cdb_size = choices_.cdb.load();
    config.max_channel = 0;
    config.max_target = 255;
    config.max_lun = scsi::Lun::count_max - 1;
    return config;
}

void ScsiDevice::read_config(std::uint32_t offset, std::span<std::byte> out) const {
    const scsi_host::Config now = config();
    std::ranges::fill(out, std::byte{0});
    if (offset < sizeof now && !out.empty()) {
        std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&now) + offset,
                    std::min(out.size(), sizeof now - offset));
    }
}

/// sense_size and cdb_size are the driver's to write (5.6.4.1). It may write parts of a field; what comes out of it all has to be possible.
Result<void> ScsiDevice::write_config(std::uint32_t offset, std::span<const std::byte> data, bool migration) {
    scsi_host::Config changed = config();
    constexpr std::size_t begin = offsetof(scsi_host::Config, sense_size);
    constexpr std::size_t end = offsetof(scsi_host::Config, max_channel);
    for (std::size_t i = 0; i < data.size(); ++i) {
        const std::size_t at = offset + i;
        if (at >= begin && at < end) {
            std::memcpy(reinterpret_cast<std::byte*>(&changed) + at, &data[i], 1);
        } else if (!migration) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("configuration byte {} is not the driver's to write", at));
        }
    }
    const std::uint32_t sense = changed.sense_size;
    const std::uint32_t cdb = changed.cdb_size;
    if (sense > ScsiChoices::sense_max) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("sense_size is at most {}, not {}", ScsiChoices::sense_max, sense));
    }
    if (cdb < ScsiChoices::cdb_min || cdb > ScsiChoices::cdb_max) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("cdb_size is {} to {}, not {}", ScsiChoices::cdb_min, ScsiChoices::cdb_max, cdb));
    }
    choices_.sense = sense;
    choices_.cdb = cdb;
    return {};
}

void ScsiDevice::reset() {
    accepted_ = 0;
    choices_.both_directions = false;
    choices_.sense = scsi_host::default_sense_size;
    choices_.cdb = scsi_host::default_cdb_size;
    events_.clear();
    domain_.initiator_lost();
}

Result<std::unique_ptr<DeviceQueue>> ScsiDevice::create_queue(std::uint16_t index, virtqueue::SplitQueue ring,
                                                              Notifiers notifiers) {
    const auto name = [&](std::string_view what) { return fmt::format("{} {}", options_.name, what); };
    switch (index) {
        case scsi_host::control_queue: {
            SIDECORE_TRY_ASSIGN(auto queue, ScsiControlQueue::create(name("control queue"), std::move(ring),
                                                                     std::move(notifiers), domain_));
            return std::unique_ptr<DeviceQueue>(std::move(queue));
        }
        case scsi_host::event_queue:
            return std::make_unique<ScsiEventQueue>(name("event queue"), std::move(ring), std::move(notifiers),
                                                    events_);
        default: {
            SIDECORE_TRY_ASSIGN(auto queue,
                                ScsiRequestQueue::create(name(fmt::format("queue {}", index)), std::move(ring),
                                                         std::move(notifiers), choices_, domain_));
            return std::unique_ptr<DeviceQueue>(std::move(queue));
        }
    }
}

void ScsiDevice::tell(std::uint64_t feature, std::uint32_t event, std::uint8_t target, scsi::Lun lun,
                      std::uint32_t reason) {
    if ((accepted_ & feature) != 0) {
        events_.add({event, field_of(target, lun), reason});
    }
}

void ScsiDevice::unit_added(std::uint8_t target, scsi::Lun lun) {
    tell(scsi_host::feature_hotplug, scsi_host::event_transport_reset, target, lun, scsi_host::reset_rescan);
}

void ScsiDevice::unit_removed(std::uint8_t target, scsi::Lun lun) {
    tell(scsi_host::feature_hotplug, scsi_host::event_transport_reset, target, lun, scsi_host::reset_removed);
}

/// The reason is the additional sense code in the low byte, its qualifier in the next (5.6.6.3).
void ScsiDevice::unit_changed(std::uint8_t target, scsi::Lun lun, scsi::AdditionalSense what) {
    const auto code = static_cast<std::uint32_t>(what);
    tell(scsi_host::feature_change, scsi_host::event_parameters_changed, target, lun,
         (code >> 8U) | (code & 0xffU) << 8U);
}

}  // namespace sidecore::device
