// SPDX-License-Identifier: Apache-2.0
// What automatic placement sees of the workers and queues, and does with them.
#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

#include "base/clock.hh"
#include "base/format.hh"
#include "daemon/manager.hh"

namespace sidecore::daemon {

engine::PlacementView Manager::measure() {
    const std::lock_guard lock(mutex_);
    engine::PlacementView view;
    for (const ServedWorker& worker : workers_) {
        view.workers.push_back({worker.id, worker.automatic});
        worker.engine->settle_accounts();
    }
    const std::uint64_t now = monotonic_ns();
    const double elapsed_ns = static_cast<double>(std::max<std::uint64_t>(now - std::exchange(measured_ns_, now), 1));
    for (const auto& device : devices_) {
        const std::vector<QueueWork> works = device->work_since_last();
        for (std::uint16_t queue = 0; queue < device->queues(); ++queue) {
            const QueueWork& work = works.at(queue);
            view.queues.push_back({device->id() << 16U | queue, id_of(*device->workers()[queue]),
                                   static_cast<double>(work.cpu_ns) / elapsed_ns, device->may_be_moved(queue)});
            view.completions_per_s += static_cast<double>(work.completions) * 1e9 / elapsed_ns;
        }
    }
    for (const auto& served_switch : switches_) {
        if (served_switch->worker() != nullptr) {
            // What its guests get of it counts as theirs.
            const QueueWork work = served_switch->work_since_last();
            view.queues.push_back({served_switch->id() << 16U, id_of(*served_switch->worker()),
                                   static_cast<double>(work.cpu_ns) / elapsed_ns, served_switch->may_be_moved()});
        }
    }
    return view;
}

std::uint32_t Manager::id_of(const engine::Worker& worker) const {
    return std::ranges::find_if(workers_,
                                [&worker](const ServedWorker& served) { return served.engine.get() == &worker; })
        ->id;
}

Result<void> Manager::carry_out(const engine::PlacementStep& step) {
    const std::lock_guard lock(mutex_);
    switch (step.kind) {
        case engine::PlacementStep::Kind::add:
            return add_automatic_worker(step.reason);
        case engine::PlacementStep::Kind::move:
            return place(step.queue, step.to, step.reason);
        case engine::PlacementStep::Kind::remove:
            break;
    }
    const auto worker = std::ranges::find(workers_, step.from, &ServedWorker::id);
    if (worker == workers_.end() || workers_.size() == 1) {
        return failure(ErrorKind::not_found, "the worker is gone meanwhile");
    }
    const std::string name = worker->engine->name();
    for (const auto& [queue, to] : step.moves) {
        SIDECORE_TRY(place(queue, to, fmt::format("{} is not needed", name)));
    }
    SIDECORE_TRY(end_worker(*worker->engine));
    spdlog::info("placement: worker {} removed: {}", name, step.reason);
    return {};
}

/// Moves a queue of the view.
Result<void> Manager::place(std::uint64_t queue_id, std::uint32_t to_id, std::string_view reason) {
    const auto has_id = [id = queue_id >> 16U](const auto& served) { return served->id() == id; };
    const auto device = std::ranges::find_if(devices_, has_id);
    const auto served_switch = std::ranges::find_if(switches_, has_id);
    const auto to = std::ranges::find(workers_, to_id, &ServedWorker::id);
    if ((device == devices_.end() && served_switch == switches_.end()) || to == workers_.end()) {
        return failure(ErrorKind::not_found, "the worker or the device is gone meanwhile");
    }
    if (device == devices_.end()) {
        SIDECORE_TRY((*served_switch)->move(*to->engine));
        spdlog::info("placement: {}'s uplink is on {} now: {}", (*served_switch)->name(), to->engine->name(), reason);
        return {};
    }
    const auto queue = static_cast<std::uint16_t>(queue_id);
    SIDECORE_TRY((*device)->move(queue, *to->engine));
    spdlog::info("placement: {} queue {} is on {} now: {}", (*device)->name(), queue, to->engine->name(), reason);
    return {};
}

Result<void> Manager::add_automatic_worker(const std::string& reason) {
    control::WorkerSpec spec;
    do {
        spec.name = fmt::format("auto{}", next_automatic_worker_++);
    } while (find_worker(spec.name));
    SIDECORE_TRY(start_worker(spec));
    workers_.back().automatic = true;
    spdlog::info("placement: worker {} added: {}", spec.name, reason);
    return {};
}

}  // namespace sidecore::daemon
