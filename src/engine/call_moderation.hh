// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace sidecore::engine {

/// When to make the call that stands for several batches of completions. Pure: any unit of time.
///
/// Where somebody awaits the completions, it waits only while more is on its way: a driver that waits for the last of its requests is
/// called at once. The time it waits at most follows the load: longer while that gathers batches, shorter when nothing more came.
/// Where nobody does, it waits for as long as it may.
///
/// Invariant: no completion waits for longer than `max_delay`, as far as due() is asked.
class CallModeration {
public:
    CallModeration() = default;
    CallModeration(std::uint32_t max_requests, std::uint64_t max_delay, bool awaited = true) noexcept
        : max_requests_(max_requests),
          max_delay_(max_delay),
          delay_(awaited ? max_delay / 2 : max_delay),
          awaited_(awaited) {}

    bool active() const noexcept { return max_requests_ > 1 && max_delay_ != 0; }

    /// A batch was completed at `now` and its call is owed.
    void owe(std::uint64_t now) noexcept {
        if (batches_++ == 0) {
            since_ = now;
        }
    }

    /// Whether to call now. `requests`: completed and not told. `more`: the queue has requests in flight or pending.
    bool due(std::uint64_t now, std::uint32_t requests, bool more) const noexcept {
        return (!more && awaited_) || requests >= max_requests_ || now - since_ >= delay_;
    }

    /// The call is made, or found not to be wanted. Returns the batches whose own call was saved.
    std::uint32_t told(std::uint64_t now, bool more) noexcept {
        if (more && awaited_) {
            delay_ = now - since_ >= delay_ && batches_ < 2 ? std::max(delay_ / 2, max_delay_ / 16)
                                                            : std::min(delay_ * 2, max_delay_);
        }
        const std::uint32_t saved = batches_ == 0 ? 0 : batches_ - 1;
        batches_ = 0;
        return saved;
    }

    std::uint64_t delay() const noexcept { return delay_; }

private:
    std::uint32_t max_requests_ = 1;
    std::uint64_t max_delay_ = 0;
    std::uint64_t delay_ = 0;
    std::uint64_t since_ = 0;
    std::uint32_t batches_ = 0;
    bool awaited_ = true;
};

}  // namespace sidecore::engine
