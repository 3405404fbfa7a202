// SPDX-License-Identifier: Apache-2.0
// Traces of guests that do not wait for each answer, alone or several on one worker.
#include <algorithm>
#include <utility>

#include "sim/random.hh"
#include "sim/suite.hh"

namespace sidecore::sim {

namespace {

std::uint64_t whole(double ns) {
    return static_cast<std::uint64_t>(std::max(ns, 1.0));
}

/// Arrivals by the clock, put in the order of their times.
class Timeline {
public:
    void add(double time_ns, std::uint32_t service_ns, bool completion = false) {
        events_.push_back({whole(time_ns), {0, service_ns, completion}});
    }

    std::size_t size() const noexcept { return events_.size(); }

    QueueTrace queue() && {
        std::stable_sort(events_.begin(), events_.end(),
                         [](const Event& a, const Event& b) { return a.time_ns < b.time_ns; });
        QueueTrace trace;
        std::uint64_t before = 0;
        for (Event& event : events_) {
            event.arrival.gap_ns = event.time_ns - std::exchange(before, event.time_ns);
            trace.arrivals.push_back(event.arrival);
        }
        return trace;
    }

private:
    struct Event {
        std::uint64_t time_ns;
        Arrival arrival;
    };
    std::vector<Event> events_;
};

/// Random arrivals for `end_ns`.
QueueTrace random_arrivals(Random& random, double mean_gap_ns, std::uint32_t service_ns, double end_ns) {
    Timeline timeline;
    double now = random.exponential(mean_gap_ns);
    while (now < end_ns) {
        timeline.add(now, service_ns);
        now += random.exponential(mean_gap_ns);
    }
    return std::move(timeline).queue();
}

/// Bursts of packets: `gap_ns` apart, 20 at least with Pareto's lengths, and pauses.
QueueTrace packet_bursts(Random& random, double gap_ns, double mean_pause_ns, std::uint32_t service_ns, double end_ns) {
    Timeline timeline;
    double now = random.exponential(mean_pause_ns);
    while (now < end_ns) {
        for (double left = std::min(random.pareto(20), 2'000.0); left > 0 && now < end_ns; --left) {
            timeline.add(now, service_ns);
            now += gap_ns * random.between(0.5, 1.5);
        }
        now += random.exponential(mean_pause_ns);
    }
    QueueTrace trace = std::move(timeline).queue();
    trace.awaited = false;
    return trace;
}

/// Threads that read at random places: each waits for its storage, thinks for a moment, and reads again.
QueueTrace random_reads(Random& random, unsigned threads, double end_ns) {
    Timeline timeline;
    for (unsigned thread = 0; thread < threads; ++thread) {
        double now = random.exponential(50'000);
        while (now < end_ns) {
            timeline.add(now, 700);
            now += 80'000 + random.exponential(20'000);
            timeline.add(now, 400, true);
            now += 3'000 + random.exponential(3'000);
        }
    }
    return std::move(timeline).queue();
}

/// A guest that makes requests one after the other and has up to `depth` of them under way.
Trace closed_loop(std::string name, std::string what, std::size_t depth, std::uint32_t service_ns, std::size_t length,
                  const auto& next_gap_ns) {
    Trace trace{.name = std::move(name), .what = std::move(what), .stationary = true, .queues = {{depth, {}}}};
    for (std::size_t i = 0; i < length; ++i) {
        trace.queues.front().arrivals.push_back({.gap_ns = whole(next_gap_ns(i)), .service_ns = service_ns});
    }
    return trace;
}

Trace stream(std::size_t length) {
    Random random(21);
    Trace trace =
        closed_loop("64 B stream", "a packet every 0.25 us, a full ring at most, a pause of 30 us every 1000", 256, 180,
                    length, [&](std::size_t i) { return i % 1'000 == 999 ? 30'000 : random.between(150, 350); });
    trace.queues.front().awaited = false;
    return trace;
}

Trace loop_of_8(std::size_t length) {
    Random random(22);
    return closed_loop("QD 8", "8 requests under way; the guest needs 0.6 us for one, the worker 0.4 us", 8, 400,
                       length, [&](std::size_t) { return 400 + random.exponential(200); });
}

Trace loop_of_32(std::size_t length) {
    Random random(23);
    return closed_loop("QD 32", "32 under way; the guest needs 0.35 us for one, the worker 0.4 us; a pause every 100",
                       32, 400, length,
                       [&](std::size_t i) { return i % 100 == 99 ? 200'000 : random.between(250, 450); });
}

Trace random_read(std::size_t length) {
    Random random(24);
    return {.name = "random read, 2 threads",
            .what = "two threads that read, 100 us of storage each time",
            .stationary = true,
            .queues = {random_reads(random, 2, static_cast<double>(length) * 26'500)}};
}

Trace three_guests(std::size_t length) {
    Random random(25);
    Trace trace{.name = "3 VMs", .what = "three guests with bursts of packets, 60 % load together", .stationary = true};
    const double end = static_cast<double>(length) * 800;
    for (int guest = 0; guest < 3; ++guest) {
        trace.queues.push_back(packet_bursts(random, 1'000, 120'000, 500, end));
    }
    return trace;
}

Trace one_of_many(double price_ns, std::size_t length) {
    Random random(26);
    Trace trace{.name = "64 VMs, one active",
                .what = "one guest with a request every 0.6 B, 63 with one every 50 ms",
                .stationary = true};
    const double end = static_cast<double>(length) * 0.6 * price_ns;
    trace.queues.push_back(random_arrivals(random, 0.6 * price_ns, 500, end));
    for (int guest = 1; guest < 64; ++guest) {
        trace.queues.push_back(random_arrivals(random, 50e6, 500, end));
    }
    return trace;
}

Trace noisy_neighbour(std::size_t length) {
    Random random(27);
    const double end = static_cast<double>(length) * 530;
    return {.name = "a noisy neighbour",
            .what = "one guest that loads the worker with 94 %, one with a request every 100 us",
            .stationary = true,
            .queues = {random_arrivals(random, 530, 500, end), random_arrivals(random, 100'000, 500, end)}};
}

Trace three_devices(std::size_t length) {
    Random random(28);
    const double end = static_cast<double>(length) * 3'000;
    Trace trace{.name = "net + blk + scsi",
                .what = "bursts of packets, random reads, and large sequential I/O",
                .stationary = true};
    trace.queues.push_back(packet_bursts(random, 700, 150'000, 300, end));
    trace.queues.push_back(random_reads(random, 4, end));
    Timeline sequential;
    double now = 10'000;
    while (now < end) {
        sequential.add(now, 3'000);
        sequential.add(now + 200'000 + random.exponential(50'000), 1'000, true);
        now += random.between(300'000, 400'000);
    }
    trace.queues.push_back(std::move(sequential).queue());
    return trace;
}

}  // namespace

std::vector<Trace> traces_of_guests(double price_ns, std::size_t length) {
    std::vector<Trace> suite;
    for (Trace& trace : traces_of_gaps(price_ns, length)) {
        for (const char* const name : {"Poisson a = 0.3", "Poisson a = 1", "Poisson a = 3", "bursty 90 %",
                                       "periodic 0.9 B", "on/off", "a day"}) {
            if (trace.name == name) {
                suite.push_back(opened(std::move(trace)));
                break;
            }
        }
    }
    suite.push_back(stream(length));
    suite.push_back(loop_of_8(length));
    suite.push_back(loop_of_32(length));
    suite.push_back(random_read(length / 4));
    suite.push_back(three_guests(length));
    suite.push_back(one_of_many(price_ns, length));
    suite.push_back(noisy_neighbour(length));
    suite.push_back(three_devices(length / 2));
    return suite;
}

}  // namespace sidecore::sim
