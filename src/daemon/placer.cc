// SPDX-License-Identifier: Apache-2.0
#include "daemon/placer.hh"

#include <algorithm>
#include <pthread.h>
#include <utility>

#include <spdlog/spdlog.h>

namespace sidecore::daemon {

namespace {

/// Less of a CPU than this is no load: a device that is asked for its state now and then.
constexpr double least_load = 0.001;

bool is_idle(const engine::PlacementView& view) {
    return std::ranges::all_of(view.queues, [](const auto& queue) { return queue.load < least_load; });
}

}  // namespace

Placer::Placer(const engine::PlacementSettings& settings, Placeable& placed, std::shared_ptr<engine::ActivityBell> bell,
               std::chrono::milliseconds epoch)
    : placed_(placed),
      bell_(std::move(bell)),
      epoch_(epoch),
      rest_after_(2 * std::max(settings.patience_less, settings.settling + settings.judging)),
      placement_(settings),
      thread_([this] {
          ::pthread_setname_np(::pthread_self(), "placement");
          run();
      }) {}

Placer::~Placer() {
    bell_->stop();
    thread_.join();
}

void Placer::run() {
    static_cast<void>(placed_.measure());  // loads count from here
    std::uint32_t idle_for = 0;
    while (bell_->pause(epoch_)) {
        const engine::PlacementView view = placed_.measure();
        const auto step = placement_.epoch(view);
        if (step) {
            if (const auto done = placed_.carry_out(*step); !done) {
                spdlog::warn("placement: {} ({})", done.error().message, step->reason);
                placement_.failed();
            }
        }
        // Idle for as long as workers take to be removed for it: nothing changes any more until there is work.
        idle_for = !step && is_idle(view) ? idle_for + 1 : 0;
        if (idle_for > rest_after_) {
            idle_for = 0;
            if (!bell_->wait()) {
                return;
            }
            static_cast<void>(placed_.measure());
        }
    }
}

}  // namespace sidecore::daemon
