// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace sidecore::engine {

/// How automatic placement decides. Loads are parts of one CPU's time: 0 to 1.
struct PlacementSettings {
    std::uint32_t workers_min = 1;
    std::uint32_t workers_max = 1;

    double busy = 0.8;                 ///< a worker above this has too much to do
    double gain = 0.1;                 ///< a move has to take at least so much from the busiest worker
    double fits = 0.6;                 ///< a worker is removed only if the others stay below this with its queues
    double regret = 0.1;               ///< completing so much less than before means that a step was a mistake
    std::uint32_t patience = 5;        ///< epochs in a row that there has to be a reason for more, or for a move
    std::uint32_t patience_less = 20;  ///< and for fewer workers
    std::uint32_t settling = 2;        ///< epochs after a step that say nothing about it
    std::uint32_t judging = 5;         ///< epochs before and after that are compared
    std::uint32_t penalty = 100;       ///< epochs for which a step that was regretted is not tried again

    friend bool operator==(const PlacementSettings&, const PlacementSettings&) = default;
};

/// What placement sees of one epoch.
struct PlacementView {
    struct Worker {
        std::uint32_t id = 0;
        bool removable = true;  ///< not one that the operator has asked for
    };
    struct Queue {
        std::uint64_t id = 0;
        std::uint32_t worker = 0;
        double load = 0;      ///< time spent on its requests and on waking up for them; not on looks that found nothing
        bool movable = true;  ///< the operator has not said where it belongs
    };
    std::vector<Worker> workers;
    std::vector<Queue> queues;
    double completions_per_s = 0;  ///< of all queues
};

/// What placement wants done, and why. One step at a time: the next epochs tell whether it was right.
struct PlacementStep {
    enum class Kind : std::uint8_t {
        add,     ///< a worker
        remove,  ///< the worker `from`, after `moves`
        move,    ///< the queue `queue`, `from` one worker `to` another
    };
    struct Move {
        std::uint64_t queue = 0;
        std::uint32_t to = 0;
        friend bool operator==(const Move&, const Move&) = default;
    };
    Kind kind = Kind::add;
    std::uint64_t queue = 0;
    std::uint32_t from = 0;
    std::uint32_t to = 0;
    std::string reason;            ///< for the log
    std::vector<Move> moves = {};  ///< remove: its queues go to the others, the largest to the least busy
};

/// Decides, epoch after epoch, how many workers there are and which queue is on which. Pure: no clock, no I/O, so
/// that tests and simulator run what the daemon runs.
///
/// Few busy workers are better than many idle ones: they wake up less often and find more per look. So a worker is
/// added only when one has had too much to do for a while and nobody can take a queue off it, and one is removed when the others can do
/// its work with room to spare; between the two lies enough to keep a steady load from going back and forth.
/// A step after which less is completed than before is undone, and not tried again for a while.
///
/// Thread: one at a time.
class Placement {
public:
    explicit Placement(const PlacementSettings& settings) noexcept : settings_(settings) {}

    /// An epoch has passed. The caller carries the step out before the next one, or says failed().
    std::optional<PlacementStep> epoch(const PlacementView& view);

    /// The last step could not be carried out: it is not tried again for a while.
    void failed();

    std::uint64_t regrets() const noexcept { return regrets_; }

private:
    struct Penalty {
        PlacementStep step;
        std::uint64_t until = 0;  // epochs
    };
    struct Trial {
        PlacementStep step;
        double before = 0;  // completions per second
        double sum = 0;     // after, over `epochs` - settling epochs
        std::uint32_t epochs = 0;
    };
    class Loads;

    std::optional<PlacementStep> judge(const PlacementView& view);
    std::optional<PlacementStep> relieve(const PlacementView& view, const Loads& loads);
    std::optional<PlacementStep> save(const PlacementView& view, const Loads& loads);
    std::optional<PlacementStep> take(PlacementStep step);
    bool penalised(const PlacementStep& step) const;

    const PlacementSettings settings_;
    std::uint64_t epoch_ = 0;
    std::uint32_t too_busy_for_ = 0;  // epochs
    std::uint32_t too_many_for_ = 0;
    std::deque<double> completions_;  // of the last `judging` epochs
    std::optional<Trial> trial_;
    std::vector<Penalty> penalties_;
    std::uint64_t regrets_ = 0;
};

}  // namespace sidecore::engine
