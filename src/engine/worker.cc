// SPDX-License-Identifier: Apache-2.0
#include "engine/worker.hh"

#include <algorithm>
#include <ctime>
#include <future>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "base/clock.hh"
#include "engine/seat.hh"

namespace sidecore::engine {

Result<std::unique_ptr<Worker>> Worker::create(const Options& options) {
    SIDECORE_TRY_ASSIGN(auto mailbox, Mailbox::create());
    Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) {
        return failure_from_errno("creating an epoll set");
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = Seat::mailbox_event;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, mailbox.wake_fd(), &event) != 0) {
        return failure_from_errno("watching a worker's mailbox");
    }
    std::unique_ptr<Worker> worker(new Worker(options, std::move(mailbox), std::move(epoll)));
    std::promise<int> started;
    auto pinned = started.get_future();
    worker->thread_ = std::thread([&self = *worker, &started] {
        ::pthread_setname_np(::pthread_self(), self.options_.name.substr(0, 15).c_str());
        int error = 0;
        if (self.options_.cpu) {
            cpu_set_t cpus;
            CPU_ZERO(&cpus);
            CPU_SET(*self.options_.cpu, &cpus);
            error = ::pthread_setaffinity_np(::pthread_self(), sizeof cpus, &cpus);
        }
        self.thread_id_.store(::gettid(), std::memory_order_release);
        started.set_value(error);
        self.run();
    });
    if (const int error = pinned.get(); error != 0) {
        return failure_from_errno(fmt::format("pinning worker {} to CPU {}", options.name, *options.cpu), error);
    }
    return worker;
}

Worker::Worker(Options options, Mailbox mailbox, Fd epoll) noexcept
    : options_(std::move(options)),
      mailbox_(std::move(mailbox)),
      epoll_(std::move(epoll)),
      ns_per_cycle_(1.0 / cycles_per_ns()) {}

Worker::~Worker() {
    if (thread_.joinable()) {
        mailbox_.post([this] { stopping_ = true; });
        thread_.join();
    }
}

std::uint64_t Worker::cpu_time_ns() const noexcept {
    clockid_t clock{};
    timespec used{};
    if (::pthread_getcpuclockid(const_cast<std::thread&>(thread_).native_handle(), &clock) != 0 ||
        ::clock_gettime(clock, &used) != 0) {
        return 0;
    }
    return static_cast<std::uint64_t>(used.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(used.tv_nsec);
}

std::uint64_t Worker::to_ns(std::uint64_t cycle_count) const noexcept {
    return static_cast<std::uint64_t>(static_cast<double>(cycle_count) * ns_per_cycle_);
}

// ---- commands: from any thread, carried out on the worker's ----

void Worker::command(std::function<void()> run) {
    std::promise<void> done;
    auto finished = done.get_future();
    mailbox_.post([&run, &done] {
        run();
        done.set_value();
    });
    finished.wait();
}

Result<void> Worker::attach(ServedQueue& queue, const QueueSettings& settings, QueueStatistics& statistics) {
    auto seat = std::make_unique<Seat>(queue, statistics);
    Result<void> result;
    command([&] {
        result = watch(*seat);
        if (!result) {
            unwatch(*seat);
            return;
        }
        statistics.broken.store(false, std::memory_order_relaxed);
        statistics.attached.store(true, std::memory_order_relaxed);
        Seat& place = *seats_.emplace_back(std::move(seat));
        statistics_.queues.store(seats_.size(), std::memory_order_relaxed);
        // First what counts as notified and not armed: listed, so that it gets its first turn.
        list(place);
        apply(place, settings);
    });
    return result;
}

void Worker::detach(ServedQueue& queue) {
    std::promise<void> done;
    auto finished = done.get_future();
    mailbox_.post([this, &queue, &done] {
        Seat* const seat = find(queue);
        if (seat == nullptr) {
            done.set_value();
            return;
        }
        drain(*seat, [this, seat, &done] {
            remove(*seat);
            done.set_value();
        });
    });
    finished.wait();
}

void Worker::quiesced(ServedQueue& queue, std::function<void()> change) {
    std::promise<void> done;
    auto finished = done.get_future();
    mailbox_.post([this, &queue, &change, &done] {
        Seat* const seat = find(queue);
        if (seat == nullptr) {
            change();
            done.set_value();
            return;
        }
        drain(*seat, [this, seat, &change, &done] {
            change();
            list(*seat);
            done.set_value();
        });
    });
    finished.wait();
}

void Worker::execute(const std::function<void()>& change) {
    command(change);
}

Result<void> Worker::change_descriptors(ServedQueue& queue, const std::function<void()>& change) {
    Result<void> result;
    command([&] {
        Seat* const seat = find(queue);
        if (seat == nullptr) {
            change();
            return;
        }
        unwatch(*seat);
        change();
        result = watch(*seat);
        set_mode(*seat, seat->mode);
        list(*seat);
    });
    return result;
}

void Worker::set_queue(ServedQueue& queue, const QueueSettings& settings) {
    command([&] {
        if (Seat* const seat = find(queue); seat != nullptr) {
            apply(*seat, settings);
        }
    });
}

}  // namespace sidecore::engine
