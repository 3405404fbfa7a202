// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/latency_histogram.hh"

namespace sidecore::engine {

/// How a turn came to its end.
enum class TurnEnd : std::uint8_t {
    empty,    ///< all the work there was has been taken
    budget,   ///< the budget is used up; there may be more
    held,     ///< the queue cannot take more now (see hold()); resume() is owed
    waiting,  ///< there is work, but its time has not come: looking for it is of no use, timer_fd() will tell
    broken,   ///< the queue is beyond use; it gets no more turns
};

/// What serve() did.
struct Turn {
    std::uint32_t requests = 0;   ///< taken
    std::uint32_t completed = 0;  ///< of these or earlier ones, completed towards the guest already
    std::uint32_t calls = 0;      ///< notifications sent to the guest
    std::uint64_t bytes = 0;      ///< moved or to be moved by the requests taken
    TurnEnd end = TurnEnd::empty;
};

/// What reap() did.
struct Reaped {
    std::uint32_t requests = 0;  ///< completed towards the guest
    std::uint32_t calls = 0;     ///< notifications sent to the guest
    bool resume = false;         ///< the queue had ended a turn with TurnEnd::held and can take work again
};

/// A queue as the engine sees it: something that has work now and then, that can be looked at for the price
/// of a load, and that can be told whether to notify.
///
/// Thread: after Worker::attach() every call comes from the owning worker's thread, one at a time, until
/// detach() returns. The implementation does not know whether it was called because of a kick, a poll or a
/// resume, nor in which mode the queue is.
///
/// No lost wake-up (design invariant 1) needs this of an implementation:
///  1. arm() publishes "notify me", then a full barrier, then looks for work. It returns true only if it
///  found none.
///  2. Between arm() == true and disarm(), whoever adds work signals kick_fd().
///  3. After a turn that ended in TurnEnd::held, reap() sets `resume` once the reason is gone. The reason
///  must be one
///     that in-flight I/O removes, so that completion_fd() wakes the worker.
class ServedQueue {
public:
    ServedQueue() = default;
    virtual ~ServedQueue() = default;
    ServedQueue(const ServedQueue&) = delete;
    ServedQueue& operator=(const ServedQueue&) = delete;

    /// One look, one load: is there work? May be stale by the time it returns.
    virtual bool has_work() noexcept = 0;

    /// How many requests wait to be taken, as far as one unchecked load tells: for scheduling and statistics only.
    virtual std::uint32_t pending() const noexcept = 0;

    /// How many can wait; pending() == capacity() means that the other side can add no more. 0: no limit.
    virtual std::uint32_t capacity() const noexcept = 0;

    /// Takes and starts up to `budget` requests (at least 1).
    virtual Turn serve(std::uint32_t budget) noexcept = 0;

    /// Whether anybody waits for its completions. Nobody does where all that they tell is that buffers are free again: such calls may come
    /// late, though the queue is empty.
    virtual bool completions_awaited() const noexcept { return true; }

    /// What was done for it outside of its turns, by other queues of the same worker, since this was last asked.
    virtual Turn done_elsewhere() noexcept { return {}; }

    /// Asks to be notified and looks again. True: nothing to do, kicks will come. False: there is work; not
    /// armed.
    virtual bool arm() noexcept = 0;

    /// Asks not to be notified. Best effort: late kicks are allowed.
    virtual void disarm() noexcept = 0;

    /// Completes finished I/O towards the guest: all there is, so that completion_fd() is quiet afterwards.
    /// Called while in_flight() is not 0, and after completion_fd() was readable.
    virtual Reaped reap() noexcept = 0;

    /// Requests taken and not yet completed.
    virtual std::uint32_t in_flight() const noexcept = 0;

    /// What the other side writes to when armed, or -1. A queue that has neither this nor second_kick_fd() can only be polled.
    virtual int kick_fd() const noexcept = 0;

    /// Likewise for a queue whose work is up to two parties: what the second of them makes readable when there may be work. The worker
    /// does not read it; it looks at what happens to it (edge-triggered). -1: there is none.
    virtual int second_kick_fd() const noexcept { return -1; }

    /// What becomes readable after a turn that ended with TurnEnd::waiting and an arm() that returned true, when it makes sense to have another
    /// turn. Watched like second_kick_fd(). -1: no turn ends so.
    virtual int timer_fd() const noexcept { return -1; }

    /// The calls that follow come from the thread that makes this one; and the last one before another thread's, or none's. Both are
    /// made by the worker as it gets the queue and gives it up.
    virtual void entered() noexcept {}
    virtual void left() noexcept {}

    /// From now on completions are shown to the guest at once, but whether to call it waits for call() (true), or each batch
    /// calls by itself if the guest wants it (false).
    virtual void moderate(bool on) noexcept = 0;

    /// Completions shown to the guest since the last call(), while calls are moderated.
    virtual std::uint32_t owed() const noexcept = 0;

    /// Calls the guest if it wants that for any of the completions owed. Returns the number of calls made: 0 or 1.
    virtual std::uint32_t call() noexcept = 0;

    /// Where to record the cycles from serve()'s taking a request to its completion towards the guest, or null. Owned by
    /// the caller; the same thread as all other calls.
    void record_service_times(LatencyHistogram* times) noexcept { service_times_ = times; }

    /// Readable when reap() has something to do, or -1 if in_flight() is always 0 between calls.
    virtual int completion_fd() const noexcept = 0;

protected:
    LatencyHistogram* service_times_ = nullptr;
};

}  // namespace sidecore::engine
