// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

namespace sidecore::scsi {

/// A part of a medium, in bytes.
struct MediumRange {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;

    bool overlaps(const MediumRange& other) const noexcept {
        return bytes != 0 && other.bytes != 0 &&
               (offset < other.offset ? other.offset - offset < bytes : offset - other.offset < other.bytes);
    }
};

/// The parts of a logical unit's medium that a command has to itself between its reading and its writing, as COMPARE AND WRITE and ORWRITE
/// need, or for as long as SANITIZE works.
///
/// Writes announce nothing and look at one atomic number before each storage request. Whoever takes a part first keeps new requests out of it, then
/// has every task queue say when those that were in their storage already are over (LogicalUnit::settle_changes()). So what is rare pays for what is not.
///
/// Thread: any. No lock is held for any I/O.
class Exclusions {
    struct State;

public:
    /// A part that is taken, until it goes. May outlive the logical unit.
    class Hold {
    public:
        explicit Hold(std::shared_ptr<State> state) : state_(std::move(state)) {}
        ~Hold();
        Hold(const Hold&) = delete;
        Hold& operator=(const Hold&) = delete;

        /// Whether the requests that came before are over.
        bool settled() const noexcept { return settled_.load(std::memory_order_acquire); }
        void set_settled() noexcept { settled_.store(true, std::memory_order_release); }

        /// Whoever waits for it looks again.
        void wake_others();

    private:
        friend class Exclusions;
        const std::shared_ptr<State> state_;
        MediumRange range_{};
        std::vector<std::function<void()>> others_{};  // guarded by the state's mutex
        std::atomic<bool> settled_{false};
    };

    Exclusions() : state_(std::make_shared<State>()) {}

    bool any() const noexcept { return state_->count.load(std::memory_order_acquire) != 0; }

    /// Null: somebody has a part of it, and `wake` is called when that is over.
    std::shared_ptr<Hold> take(const MediumRange& range, std::function<void()> wake);

    /// Whether nobody has a part of it; if not so, likewise.
    bool is_free(const MediumRange& range, std::function<void()> wake);

private:
    struct State {
        std::atomic<std::uint32_t> count{0};
        std::mutex mutex;  // guards what follows
        std::list<Hold*> holds;

        Hold* find(const MediumRange& range) const noexcept;
    };

    const std::shared_ptr<State> state_;
};

}  // namespace sidecore::scsi
