// SPDX-License-Identifier: Apache-2.0
// What the front-end's messages mean for device, queues and workers. All on the endpoint's thread.
#include <utility>

#include "base/format.hh"
#include "base/log.hh"
#include "endpoint/endpoint.hh"
#include "virtqueue/split_layout.hh"
#include "virtqueue/split_queue.hh"

namespace sidecore::endpoint {

namespace {

// VIRTIO 2.1 and 6.
constexpr std::uint8_t status_needs_reset = 64;
constexpr std::uint64_t feature_indirect = std::uint64_t{1} << 28U;
constexpr std::uint64_t feature_event_index = std::uint64_t{1} << 29U;

/// Whether each part of a ring lies in `map` in one piece.
bool holds(const memory::MemoryMap& map, const virtqueue::SplitQueue::Setup& ring) {
    using virtqueue::AvailableRing;
    using virtqueue::UsedRing;
    return map.translate(ring.descriptor, sizeof(virtqueue::Descriptor) * ring.size) != nullptr &&
           map.translate(ring.available, AvailableRing::bytes(ring.size, ring.event_index)) != nullptr &&
           map.translate(ring.used, UsedRing::bytes(ring.size, ring.event_index)) != nullptr;
}

}  // namespace

/// A started and enabled queue begins to be served.
Result<void> Endpoint::attach(Queue& queue) {
    const std::lock_guard changes(queue.change_mutex);
    const std::lock_guard lock(mutex_);
    if (!queue.started || !queue.enabled || queue.attached || queue.resting) {
        return {};
    }
    SIDECORE_TRY(queue.worker->attach(*queue.served, {queue.settings, &queue.statistics, budget_}));
    queue.attached = true;
    return {};
}

/// Accepted I/O is completed, then the worker gives the queue up.
void Endpoint::detach(Queue& queue) {
    const std::lock_guard changes(queue.change_mutex);
    {
        const std::lock_guard lock(mutex_);
        if (!std::exchange(queue.attached, false)) {
            return;
        }
    }
    queue.worker->detach(*queue.served);
}

std::uint64_t Endpoint::device_protocol_features() const {
    using vhost_user::ProtocolFeature;
    return device_->type() == "net" ? vhost_user::mask_of({ProtocolFeature::rarp, ProtocolFeature::mtu}) : 0;
}

Result<void> Endpoint::set_mtu(std::uint64_t mtu) {
    if (mtu > 0xffff) {
        return failure(ErrorKind::out_of_range, fmt::format("an MTU of {}", mtu));
    }
    return device_->set_mtu(static_cast<std::uint16_t>(mtu));
}

Result<void> Endpoint::set_features(std::uint64_t features) {
    features_ = features;
    device_->accept_features(features);
    return {};
}

Result<void> Endpoint::set_memory(std::shared_ptr<const memory::MemoryMap> map) {
    map_ = std::move(map);
    for (const auto& queue : queues_) {
        if (queue->served != nullptr) {
            SIDECORE_TRY(move_to_map(*queue));
        }
    }
    return {};
}

/// The queue of a started vring meets the memory that is the guest's now.
Result<void> Endpoint::move_to_map(Queue& queue) {
    if (!holds(*map_, queue.ring)) {
        // It keeps the old map, which nobody looks at meanwhile.
        detach(queue);
        if (!std::exchange(queue.resting, true)) {
            spdlog::info("{} rests: its ring is not in the guest's memory", queue.served->name());
        }
        return {};
    }
    const auto rebind = [&] {
        // What cannot be bound is broken, which shows in its next turn.
        if (auto bound = queue.served->rebind(map_); !bound) {
            spdlog::warn("{}: {}", queue.served->name(), bound.error().message);
        }
    };
    if (queue.attached) {  // only this thread changes it
        const std::lock_guard changes(queue.change_mutex);
        queue.worker->quiesced(*queue.served, rebind);
        return {};
    }
    rebind();
    if (std::exchange(queue.resting, false)) {
        spdlog::info("{} goes on", queue.served->name());
    }
    return attach(queue);
}

Result<void> Endpoint::start_vring(std::uint16_t index, vhost_user::VringSetup setup) {
    if (map_ == nullptr) {
        return failure(ErrorKind::protocol_violation, fmt::format("vring {} starts before there is memory", index));
    }
    Queue& queue = *queues_.at(index);
    const std::uint64_t features = features_;
    queue.ring = {
        .size = setup.size,
        .descriptor = setup.addresses.descriptor,
        .available = setup.addresses.available,
        .used = setup.addresses.used,
        .next_available = setup.available_base,
        .in_order = device_->in_order(),
        .event_index = (features & feature_event_index) != 0,
        .indirect = (features & feature_indirect) != 0,
    };
    SIDECORE_TRY_ASSIGN(auto ring, virtqueue::SplitQueue::create(map_, queue.ring));
    if (ring.next_available() != setup.available_base) {
        spdlog::info("{}: vring {} goes on at {}, where its used ring ends, and not at {}", options_.name, index,
                     ring.next_available(), setup.available_base);
    }
    device::Notifiers notifiers{std::move(setup.kick), std::move(setup.call), std::move(setup.error)};
    // VIRTIO 2.1.2: a device that needs a reset sends a configuration change notification.
    notifiers.on_broken = [this] { announce_config_change(); };
    SIDECORE_TRY_ASSIGN(queue.served, device_->create_queue(index, std::move(ring), std::move(notifiers)));
    {
        const std::lock_guard lock(mutex_);
        queue.started = true;
        queue.size = setup.size;
    }
    return attach(queue);
}

Result<std::uint16_t> Endpoint::stop_vring(std::uint16_t index) {
    SIDECORE_TRY_ASSIGN(Queue* const queue, find_started(index));
    detach(*queue);
    const std::uint16_t next = queue->served->next_available();
    {
        const std::lock_guard lock(mutex_);
        queue->started = false;
        queue->size = 0;
    }
    queue->served.reset();
    queue->resting = false;
    queue->statistics.broken.store(false, std::memory_order_relaxed);
    return next;
}

Result<void> Endpoint::enable_vring(std::uint16_t index, bool enabled) {
    Queue& queue = *queues_.at(index);
    {
        const std::lock_guard lock(mutex_);
        queue.enabled = enabled;
    }
    device_->queue_enabled(index, enabled);
    if (!enabled) {
        detach(queue);
        return {};
    }
    return attach(queue);
}

Result<Endpoint::Queue*> Endpoint::find_started(std::uint16_t index) {
    Queue* const queue = queues_.at(index).get();
    if (queue->served == nullptr) {
        return failure(ErrorKind::protocol_violation, fmt::format("vring {} is not started", index));
    }
    return queue;
}

Result<void> Endpoint::change_notifier(std::uint16_t index, const std::function<void(device::DeviceQueue&)>& change) {
    SIDECORE_TRY_ASSIGN(Queue* const queue, find_started(index));
    if (queue->attached) {
        const std::lock_guard changes(queue->change_mutex);
        return queue->worker->change_descriptors(*queue->served, [&] { change(*queue->served); });
    }
    change(*queue->served);
    return {};
}

Result<void> Endpoint::replace_kick(std::uint16_t index, Fd kick) {
    return change_notifier(index, [&](device::DeviceQueue& queue) { queue.replace_kick(std::move(kick)); });
}

Result<void> Endpoint::replace_call(std::uint16_t index, Fd call) {
    return change_notifier(index, [&](device::DeviceQueue& queue) { queue.replace_call(std::move(call)); });
}

Result<void> Endpoint::replace_error(std::uint16_t index, Fd error) {
    return change_notifier(index, [&](device::DeviceQueue& queue) { queue.replace_error(std::move(error)); });
}

void Endpoint::read_config(std::uint32_t offset, std::span<std::byte> out) const {
    device_->read_config(offset, out);
}

Result<void> Endpoint::write_config(std::uint32_t offset, std::span<const std::byte> data, bool migration) {
    return device_->write_config(offset, data, migration);
}

void Endpoint::set_backend_channel(std::shared_ptr<vhost_user::BackendChannel> channel) {
    const std::lock_guard lock(channel_mutex_);
    channel_ = std::move(channel);
}

Result<void> Endpoint::set_status(std::uint8_t status) {
    if (status == 0) {
        // The session has stopped the vrings. What the front-end has said (features, which vrings are enabled) stays until
        // it says otherwise: the session does not pass on what it believes to be so already.
        device_->reset();
        device_->accept_features(features_);
    }
    status_ = status;
    return {};
}

std::uint8_t Endpoint::status() const {
    std::uint8_t status = status_;
    for (const auto& queue : queues_) {
        if (queue->served != nullptr && queue->served->broken()) {
            status |= status_needs_reset;
        }
    }
    return status;
}

Result<void> Endpoint::reset() {
    const auto count = static_cast<std::uint16_t>(queues_.size());
    for (std::uint16_t index = 0; index < count; ++index) {
        SIDECORE_TRY(enable_vring(index, false));
        if (queues_[index]->served != nullptr) {
            SIDECORE_TRY(stop_vring(index));
        }
    }
    device_->reset();
    features_ = 0;
    status_ = 0;
    return {};
}

}  // namespace sidecore::endpoint
