// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/fd.hh"
#include "engine/served_queue.hh"

namespace sidecore::engine {

/// A queue without a ring: a number of requests that a "driver" raises from any thread. It follows the protocol of
/// ServedQueue to the letter and counts what the engine does.
///
/// Requests are done at once, or, with `asynchronous`, when the test says finish(), at most `capacity` in flight.
class FakeQueue final : public ServedQueue {
public:
    explicit FakeQueue(bool asynchronous = false, std::uint32_t capacity = 4)
        : kick_(make_eventfd().value()),
          completion_(make_eventfd().value()),
          asynchronous_(asynchronous),
          capacity_(capacity) {}

    // ---- the driver's side, any thread ----

    /// Makes `count` requests available; kicks if that was asked for.
    void add(std::uint32_t count = 1) {
        available_.fetch_add(count, std::memory_order_seq_cst);
        if (wants_kicks_.load(std::memory_order_seq_cst)) {
            kicks_sent_.fetch_add(1);
            signal_eventfd(kick_descriptor_.load());
        }
    }
    void kick() { signal_eventfd(kick_descriptor_.load()); }

    /// The storage finishes `count` of the requests in flight.
    void finish(std::uint32_t count) {
        finished_.fetch_add(count, std::memory_order_seq_cst);
        signal_eventfd(completion_.get());
    }

    std::uint64_t served() const { return served_.load(); }
    std::uint64_t completed() const { return completed_.load(); }
    std::uint64_t turns() const { return turns_.load(); }
    std::uint64_t longest_turn() const { return longest_turn_.load(); }
    std::uint64_t calls() const { return calls_.load(); }
    std::uint64_t kicks_sent() const { return kicks_sent_.load(); }
    bool wants_kicks() const { return wants_kicks_.load(); }

    // ---- for the test, before attach, or on the worker's thread ----

    bool break_next = false;
    std::uint32_t ring_size = 0;
    bool awaited = true;
    Turn elsewhere;
    std::function<void()> on_turn;
    std::function<void()> on_request;
    void use_kick(Fd kick) {
        kick_ = std::move(kick);
        kick_descriptor_ = kick_.get();
    }

    // ---- ServedQueue ----

    bool has_work() noexcept override { return available_.load(std::memory_order_acquire) != 0; }
    std::uint32_t pending() const noexcept override { return available_.load(std::memory_order_relaxed); }
    std::uint32_t capacity() const noexcept override { return ring_size; }
    bool completions_awaited() const noexcept override { return awaited; }
    void moderate(bool on) noexcept override { moderated_ = on; }
    std::uint32_t owed() const noexcept override { return owed_.load(); }
    std::uint32_t call() noexcept override { return tell(); }

    Turn done_elsewhere() noexcept override { return std::exchange(elsewhere, {}); }
    Turn serve(std::uint32_t budget) noexcept override {
        turns_.fetch_add(1);
        if (on_turn) {
            on_turn();
        }
        Turn turn;
        if (break_next) {
            turn.end = TurnEnd::broken;
            return turn;
        }
        while (true) {
            if (available_.load(std::memory_order_acquire) == 0) {
                turn.end = TurnEnd::empty;
                break;
            }
            if (turn.requests == budget) {
                turn.end = TurnEnd::budget;
                break;
            }
            if (asynchronous_ && in_flight_ == capacity_) {
                turn.end = TurnEnd::held;
                break;
            }
            available_.fetch_sub(1);
            served_.fetch_add(1);
            if (on_request) {
                on_request();
            }
            ++turn.requests;
            turn.bytes += 512;
            if (asynchronous_) {
                ++in_flight_;
            } else {
                completed_.fetch_add(1);
                ++turn.completed;
            }
        }
        turn.calls = completed_now(turn.completed);
        longest_turn_ = std::max<std::uint64_t>(longest_turn_, turn.requests);
        return turn;
    }

    bool arm() noexcept override {
        wants_kicks_.store(true, std::memory_order_seq_cst);
        if (available_.load(std::memory_order_seq_cst) == 0) {
            return true;
        }
        disarm();
        return false;
    }
    void disarm() noexcept override { wants_kicks_.store(false, std::memory_order_relaxed); }

    Reaped reap() noexcept override {
        drain_eventfd(completion_.get());
        Reaped reaped;
        reaped.requests = finished_.exchange(0, std::memory_order_seq_cst);
        in_flight_ -= reaped.requests;
        completed_.fetch_add(reaped.requests);
        reaped.resume = reaped.requests != 0;
        reaped.calls = completed_now(reaped.requests);
        return reaped;
    }
    std::uint32_t in_flight() const noexcept override { return in_flight_; }
    int kick_fd() const noexcept override { return kick_.get(); }
    int completion_fd() const noexcept override { return asynchronous_ ? completion_.get() : -1; }

private:
    std::uint32_t completed_now(std::uint32_t count) noexcept {
        owed_.fetch_add(count);
        return moderated_ ? 0 : tell();
    }
    std::uint32_t tell() noexcept {
        if (owed_.exchange(0) == 0) {
            return 0;
        }
        calls_.fetch_add(1);
        return 1;
    }

    Fd kick_;
    Fd completion_;
    std::atomic<int> kick_descriptor_{kick_.get()};
    const bool asynchronous_;
    const std::uint32_t capacity_;
    std::uint32_t in_flight_ = 0;
    bool moderated_ = false;
    std::atomic<std::uint32_t> owed_{0};
    std::atomic<std::uint64_t> calls_{0};
    std::atomic<std::uint32_t> available_{0};
    std::atomic<std::uint32_t> finished_{0};
    std::atomic<bool> wants_kicks_{true};  // as a ring that nobody has touched yet
    std::atomic<std::uint64_t> served_{0};
    std::atomic<std::uint64_t> completed_{0};
    std::atomic<std::uint64_t> turns_{0};
    std::atomic<std::uint64_t> longest_turn_{0};
    std::atomic<std::uint64_t> kicks_sent_{0};
};

}  // namespace sidecore::engine
