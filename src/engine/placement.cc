// SPDX-License-Identifier: Apache-2.0
#include "engine/placement.hh"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/format.hh"

namespace sidecore::engine {

namespace {

using Kind = PlacementStep::Kind;

int percent(double load) {
    return static_cast<int>(std::lround(load * 100));
}

}  // namespace

/// What each worker has to do, by its place in the view.
class Placement::Loads {
public:
    explicit Loads(const PlacementView& view) : view_(view), loads_(view.workers.size()), queues_(view.workers.size()) {
        for (const PlacementView::Queue& queue : view.queues) {
            const std::size_t place = place_of(queue.worker);
            if (place < loads_.size()) {
                loads_[place] += queue.load;
                queues_[place] += queue.load > 0 ? 1 : 0;
            }
        }
    }

    std::size_t place_of(std::uint32_t worker) const {
        return static_cast<std::size_t>(std::ranges::find(view_.workers, worker, &PlacementView::Worker::id) -
                                        view_.workers.begin());
    }
    std::size_t busiest() const { return static_cast<std::size_t>(std::ranges::max_element(loads_) - loads_.begin()); }
    /// The worker with the least to do, but for `other`.
    std::size_t least_busy_but(std::size_t other) const {
        std::size_t least = other == 0 ? 1 : 0;
        for (std::size_t place = least + 1; place < loads_.size(); ++place) {
            if (place != other && loads_[place] < loads_[least]) {
                least = place;
            }
        }
        return least;
    }
    double at(std::size_t place) const { return loads_[place]; }
    std::size_t queues_at(std::size_t place) const { return queues_[place]; }

    struct Spread {
        std::vector<PlacementStep::Move> moves;
        double most = 0;  ///< that any of the others has to do then
    };

    /// The queues of `removed` on the other workers, of which there is at least one; nullopt if one of them has to stay.
    std::optional<Spread> spread(std::size_t removed) const {
        std::vector<double> loads = loads_;
        loads[removed] = std::numeric_limits<double>::infinity();  // the least busy is another
        std::vector<PlacementView::Queue> homeless;
        for (const PlacementView::Queue& queue : view_.queues) {
            if (place_of(queue.worker) == removed) {
                if (!queue.movable) {
                    return std::nullopt;
                }
                homeless.push_back(queue);
            }
        }
        std::ranges::stable_sort(homeless, std::ranges::greater(), &PlacementView::Queue::load);
        Spread result;
        for (const PlacementView::Queue& queue : homeless) {
            const auto least = std::ranges::min_element(loads);
            *least += queue.load;
            result.moves.push_back({queue.id, view_.workers[static_cast<std::size_t>(least - loads.begin())].id});
        }
        loads[removed] = 0;
        result.most = *std::ranges::max_element(loads);
        return result;
    }

private:
    const PlacementView& view_;
    std::vector<double> loads_;
    std::vector<std::size_t> queues_;  // with work
};

std::optional<PlacementStep> Placement::epoch(const PlacementView& view) {
    ++epoch_;
    std::erase_if(penalties_, [this](const Penalty& penalty) { return penalty.until <= epoch_; });
    if (view.workers.empty()) {
        return std::nullopt;
    }
    if (trial_) {
        return judge(view);
    }
    completions_.push_back(view.completions_per_s);
    if (completions_.size() > settings_.judging) {
        completions_.pop_front();
    }
    const Loads loads(view);
    if (auto step = relieve(view, loads)) {
        return take(std::move(*step));
    }
    if (auto step = save(view, loads)) {
        return take(std::move(*step));
    }
    return std::nullopt;
}

std::optional<PlacementStep> Placement::take(PlacementStep step) {
    too_busy_for_ = too_many_for_ = 0;
    double before = 0;
    for (const double completions : completions_) {
        before += completions / static_cast<double>(completions_.size());
    }
    completions_.clear();
    trial_ = Trial{step, before, 0, 0};
    return step;
}

/// After a step: nothing else is tried until it is known whether it was right.
std::optional<PlacementStep> Placement::judge(const PlacementView& view) {
    Trial& trial = *trial_;
    if (trial.step.kind == Kind::add) {
        trial_.reset();  // an empty worker changes nothing yet; the move that follows is judged
        return std::nullopt;
    }
    if (++trial.epochs <= settings_.settling) {
        return std::nullopt;
    }
    trial.sum += view.completions_per_s;
    if (trial.epochs < settings_.settling + settings_.judging) {
        return std::nullopt;
    }
    const double after = trial.sum / settings_.judging;
    const Trial done = std::move(trial);
    trial_.reset();
    if (after >= done.before * (1 - settings_.regret)) {
        return std::nullopt;
    }
    ++regrets_;
    penalties_.push_back({done.step, epoch_ + settings_.penalty});
    const std::string reason =
        fmt::format("it made things worse: {:.0f} requests/s before, {:.0f} after; not again for {} epochs",
                    done.before, after, settings_.penalty);
    if (done.step.kind == Kind::remove) {
        return PlacementStep{Kind::add, 0, 0, 0, fmt::format("undoing the removal of a worker, {}", reason)};
    }
    const auto here = std::ranges::find(view.queues, done.step.queue, &PlacementView::Queue::id);
    const bool there = std::ranges::count(view.workers, done.step.from, &PlacementView::Worker::id) != 0;
    if (here == view.queues.end() || here->worker != done.step.to || !there) {
        return std::nullopt;  // others have seen to it
    }
    return PlacementStep{Kind::move, done.step.queue, done.step.to, done.step.from,
                         fmt::format("undoing a move, {}", reason)};
}

/// The busiest worker has had too much to do for a while: another takes a queue off it, or there has to be another.
std::optional<PlacementStep> Placement::relieve(const PlacementView& view, const Loads& loads) {
    const std::size_t busiest = loads.busiest();
    const double load = loads.at(busiest);
    too_busy_for_ = load > settings_.busy ? too_busy_for_ + 1 : 0;
    if (too_busy_for_ < settings_.patience) {
        return std::nullopt;
    }
    const std::uint32_t from = view.workers[busiest].id;
    std::optional<PlacementStep> best;
    double least = load - settings_.gain;  // of the two workers' larger load afterwards
    if (view.workers.size() > 1) {
        const std::size_t least_busy = loads.least_busy_but(busiest);
        const std::uint32_t to = view.workers[least_busy].id;
        for (const PlacementView::Queue& queue : view.queues) {
            if (queue.worker != from || !queue.movable || queue.load <= 0) {
                continue;
            }
            const double larger = std::max(load - queue.load, loads.at(least_busy) + queue.load);
            PlacementStep step{Kind::move, queue.id, from, to, {}};
            if (larger < least && !penalised(step)) {
                least = larger;
                step.reason = fmt::format("its worker was {} % busy and the other {} %; then at most {} %",
                                          percent(load), percent(loads.at(least_busy)), percent(larger));
                best = std::move(step);
            }
        }
    }
    if (best) {
        return best;
    }
    // One queue alone cannot be split. With two, a further worker can take the smaller; without a gain that is no use.
    bool helps = false;
    if (loads.queues_at(busiest) > 1) {
        helps = std::ranges::any_of(view.queues, [&](const PlacementView::Queue& queue) {
            return queue.worker == from && queue.movable &&
                   std::max(load - queue.load, queue.load) < load - settings_.gain;
        });
    }
    PlacementStep add{Kind::add, 0, 0, 0, {}};
    if (!helps || view.workers.size() >= settings_.workers_max || penalised(add)) {
        return std::nullopt;
    }
    add.reason =
        fmt::format("a worker was {} % busy for {} epochs and no other has room", percent(load), settings_.patience);
    return add;
}

/// The others could do the least busy worker's work with room to spare, and have been able to for a while.
std::optional<PlacementStep> Placement::save(const PlacementView& view, const Loads& loads) {
    std::optional<std::size_t> spare;
    if (view.workers.size() > std::max<std::size_t>(settings_.workers_min, 1)) {
        for (std::size_t place = 0; place < view.workers.size(); ++place) {
            if (view.workers[place].removable && (!spare || loads.at(place) < loads.at(*spare))) {
                spare = place;
            }
        }
    }
    auto spread = spare ? loads.spread(*spare) : std::nullopt;
    too_many_for_ = spread && spread->most <= settings_.fits ? too_many_for_ + 1 : 0;
    if (too_many_for_ < settings_.patience_less) {
        return std::nullopt;
    }
    PlacementStep step{Kind::remove, 0, view.workers[*spare].id, 0, {}};
    if (penalised(step)) {
        return std::nullopt;
    }
    step.reason = fmt::format("it was {} % busy, and without it no worker is more than {} %", percent(loads.at(*spare)),
                              percent(spread->most));
    step.moves = std::move(spread->moves);
    return step;
}

void Placement::failed() {
    if (trial_) {
        penalties_.push_back({trial_->step, epoch_ + settings_.penalty});
        trial_.reset();
    }
}

bool Placement::penalised(const PlacementStep& step) const {
    return std::ranges::any_of(penalties_, [&](const Penalty& penalty) {
        return penalty.step.kind == step.kind &&
               (step.kind != Kind::move || (penalty.step.queue == step.queue && penalty.step.to == step.to));
    });
}

}  // namespace sidecore::engine
