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

#include "base/clock.hh"
#include "base/format.hh"
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
    worker->thread_ = std::thread([&self = *worker] {
        ::pthread_setname_np(::pthread_self(), self.options_.name.substr(0, 15).c_str());
        self.thread_id_.store(::gettid(), std::memory_order_release);
        self.schedule_.open();
        self.run();
    });
    if (options.cpu) {
        SIDECORE_TRY(worker->pin(options.cpu));
    }
    return worker;
}

Worker::Worker(Options options, Mailbox mailbox, Fd epoll) noexcept
    : options_(std::move(options)),
      mailbox_(std::move(mailbox)),
      epoll_(std::move(epoll)),
      ns_per_cycle_(1.0 / cycles_per_ns()),
      settings_(options_.settings),
      budget_(settings_.poll_budget_percent) {}

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

std::optional<unsigned> Worker::cpu() const noexcept {
    const int cpu = cpu_.load(std::memory_order_relaxed);
    return cpu < 0 ? std::nullopt : std::optional(static_cast<unsigned>(cpu));
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

Result<void> Worker::attach(ServedQueue& queue, const Attachment& attachment) {
    auto seat = std::make_unique<Seat>(queue, attachment);
    Result<void> result;
    command([&] {
        QueueStatistics& statistics = *attachment.statistics;
        result = take_in(seat);
        if (!result) {
            return;
        }
        statistics.broken.store(false, std::memory_order_relaxed);
        Seat& place = *seats_.back();
        queue.record_service_times(&statistics.service_times);
        apply(place, attachment.settings);
    });
    return result;
}

Result<void> Worker::move(ServedQueue& queue, Worker& to) {
    if (&to == this) {
        return {};
    }
    std::unique_ptr<Seat> seat;
    command([&] {
        if (Seat* const here = find(queue); here != nullptr && !here->draining()) {
            seat = take_out(*here);
        }
    });
    if (seat == nullptr) {
        return failure(ErrorKind::not_found, fmt::format("the queue is not on {}", options_.name));
    }
    const auto settle_in = [&](Worker& worker) {
        Result<void> result;
        worker.command([&] { result = worker.take_in(seat); });
        return result;
    };
    QueueStatistics& statistics = *seat->statistics;
    auto moved = settle_in(to);
    if (moved) {
        statistics.moves.add(1);
    } else if (auto back = settle_in(*this); !back) {
        // Without its descriptors it can be polled, so nothing is lost.
        command([&] {
            seat->unwatchable = true;
            static_cast<void>(take_in(seat));
        });
    }
    return moved;
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
            const auto gone = take_out(*seat);
            gone->queue->record_service_times(nullptr);
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
        seat->bar = PollBar::none;
        set_mode(*seat, seat->wanted);
        list(*seat);
    });
    return result;
}

void Worker::set(const WorkerSettings& settings) {
    command([&] {
        settings_ = settings;
        budget_ = PollBudget(settings.poll_budget_percent);
        budget_open_ = neighbours_agree_ = true;
    });
}

WorkerSettings Worker::settings() {
    WorkerSettings settings;
    command([&] { settings = settings_; });
    return settings;
}

Result<void> Worker::pin(std::optional<unsigned> cpu) {
    cpu_set_t cpus;
    if (cpu) {
        CPU_ZERO(&cpus);
        if (*cpu < CPU_SETSIZE) {
            CPU_SET(*cpu, &cpus);
        }
    } else if (::sched_getaffinity(::getpid(), sizeof cpus, &cpus) != 0) {
        return failure_from_errno("asking which CPUs the process may use");
    }
    const int error = ::pthread_setaffinity_np(thread_.native_handle(), sizeof cpus, &cpus);
    if (error != 0) {
        return failure_from_errno(cpu ? fmt::format("pinning worker {} to CPU {}", options_.name, *cpu)
                                      : fmt::format("unpinning worker {}", options_.name),
                                  error);
    }
    cpu_.store(cpu ? static_cast<int>(*cpu) : -1, std::memory_order_relaxed);
    return {};
}

std::optional<QueueExplanation> Worker::explain(ServedQueue& queue) {
    std::optional<QueueExplanation> explanation;
    command([&] {
        const Seat* const seat = find(queue);
        if (seat == nullptr) {
            return;
        }
        const QueueSnapshot counters = seat->statistics->read();
        const double kick_price = options_.costs.kick_ns + options_.costs.arm_ns + options_.costs.wake_ns;
        explanation = QueueExplanation{
            .mode = seat->mode,
            .mode_for_ns = monotonic_ns() - counters.mode_since_ns,
            .bar = seat->bar,
            .policy = seat->settings.policy,
            .queue = seat->policy->figures(),
            .worker = spin_rule_.figures(),
            .worker_decides = seat->persistence == Persistence::yields,
            .pass_ns = pass_cycles_ * ns_per_cycle_,
            .request_ns = seat->request_cycles * ns_per_cycle_,
            .kicks_avoided = counters.poll_kicks,
            .saved_ns = static_cast<std::uint64_t>(static_cast<double>(counters.poll_kicks) * kick_price),
            .spent_ns = to_ns(counters.poll_empty_cycles),
        };
    });
    return explanation;
}

void Worker::settle_accounts() {
    command([this] { settle(); });
}

void Worker::set_queue(ServedQueue& queue, const QueueSettings& settings) {
    command([&] {
        if (Seat* const seat = find(queue); seat != nullptr) {
            apply(*seat, settings);
        }
    });
}

}  // namespace sidecore::engine
