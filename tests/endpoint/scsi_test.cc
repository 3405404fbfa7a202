// SPDX-License-Identifier: Apache-2.0
// A SCSI device on its socket: its queues on several workers, task management and hot plug while I/O is under way.
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "endpoint/live_scsi.hh"
#include "endpoint/scsi_load.hh"

namespace sidecore::endpoint {
namespace {

using engine::PolicyKind;
using frontend::scsi_lun;
using frontend::ScsiDriver;
using frontend::ScsiFunction;
using frontend::ScsiResponse;
using storage::FakeDisk;

constexpr std::uint16_t request_queues = 4;
constexpr std::uint32_t blocks_per_load = ScsiLoad::cells * ScsiLoad::blocks_per_cell;
constexpr std::uint64_t disk_bytes = 16 * mebibyte;

/// Storage that takes between no time and a millisecond.
std::shared_ptr<FakeDisk> slow_disk() {
    const auto disk = FakeDisk::create(disk_bytes);
    for (std::uint64_t i = 0; i < 8; ++i) {
        disk->add_fault({
            .action = storage::FaultAction::delay,
            .delay_ns = i * 150'000,
            .times = 50'000,
        });
    }
    return disk;
}

/// The first commands may be told of what has happened before.
void settle_attentions(ScsiDriver& driver, std::uint16_t lun = 0) {
    for (int i = 0; i < 10; ++i) {
        if (must(driver.requests().run({.cdb = frontend::scsi_test_unit_ready(), .lun = scsi_lun(0, lun)})).good()) {
            return;
        }
    }
    throw std::runtime_error("the unit does not get ready");
}

/// Loads on all request queues, each on a thread and a part of the unit of its own.
class Loads {
public:
    /// `blank`: the disk is all zero.
    explicit Loads(ScsiDriver& driver, bool blank = true) : driver_(driver) {
        for (std::uint16_t i = 0; i < driver.request_queues().size(); ++i) {
            loads_.push_back(std::make_unique<ScsiLoad>(i * blocks_per_load, i * ScsiLoad::tags, i + 1, blank));
        }
    }
    ~Loads() { finish(); }

    void begin(std::uint64_t count = UINT64_MAX) {
        for (std::size_t i = 0; i < loads_.size(); ++i) {
            threads_.emplace_back([this, i, count] {
                const auto done = loads_[i]->run(driver_.requests(i), count, 8, &stop_);
                EXPECT_TRUE(done) << "queue " << i << ": " << done.error().message;
            });
        }
    }
    void finish() {
        stop_ = true;
        for (auto& thread : threads_) {
            thread.join();
        }
        threads_.clear();
        stop_ = false;
    }
    void join() {
        for (auto& thread : threads_) {
            thread.join();
        }
        threads_.clear();
    }
    void compare(ScsiDriver& driver) {
        for (std::size_t i = 0; i < loads_.size(); ++i) {
            const auto compared = loads_[i]->compare_all(driver.requests(i));
            EXPECT_TRUE(compared) << "queue " << i << ": " << compared.error().message;
            EXPECT_GT(loads_[i]->good, 0U);
        }
    }
    std::uint64_t ended_by_others() const {
        std::uint64_t all = 0;
        for (const auto& load : loads_) {
            all += load->ended_by_others;
        }
        return all;
    }
    bool progress(std::uint64_t more) const {
        const std::uint64_t before = good();
        return eventually([&] { return good() >= before + more; });
    }

private:
    std::uint64_t good() const {
        std::uint64_t all = 0;
        for (const auto& load : loads_) {
            all += load->good;
        }
        return all;
    }

    ScsiDriver& driver_;
    std::vector<std::unique_ptr<ScsiLoad>> loads_;
    std::atomic<bool> stop_{false};
    std::vector<std::thread> threads_;
};

class LiveScsiTest : public testing::Test {
protected:
    std::vector<engine::Worker*> workers() { return {first_.get(), second_.get(), third_.get()}; }

    const std::unique_ptr<engine::Worker> first_ = make_worker("first");
    const std::unique_ptr<engine::Worker> second_ = make_worker("second");
    const std::unique_ptr<engine::Worker> third_ = make_worker("third");
};

TEST_F(LiveScsiTest, data_is_right_while_policies_flip) {
    LiveScsi live(workers(), request_queues);
    live.add(0, slow_disk());
    auto driver = live.start(request_queues);
    EXPECT_EQ(must(driver.config()).request_queues, request_queues);
    settle_attentions(driver);
    Loads loads(driver);
    loads.begin();
    const std::vector<engine::QueueSettings> all{
        with_policy(PolicyKind::always), with_policy(PolicyKind::never), with_rate(1, std::chrono::milliseconds(1)),
        with_policy(PolicyKind::always), with_rate(0, std::chrono::milliseconds(1))};
    for (std::size_t i = 0; i < 60; ++i) {
        if (i % 3 == 0) {
            live.set_all(all[i / 3 % all.size()]);
        } else {
            live.endpoint().set_queue(static_cast<std::uint16_t>(i % live.vrings()), all[i % all.size()]);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
    EXPECT_TRUE(loads.progress(100));
    loads.finish();
    EXPECT_EQ(loads.ended_by_others(), 0U);
    loads.compare(driver);
    for (std::size_t vring = 2; vring < live.vrings(); ++vring) {
        EXPECT_TRUE(eventually([&] {
            const auto now = live.counters(vring);
            return now.completions != 0 && now.completions == now.poll_requests + now.notif_requests;
        }));
    }
}

/// The control queue is on a worker of its own, and queues move between the others.
TEST_F(LiveScsiTest, tasks_are_aborted_and_units_reset_under_load) {
    for (const PolicyKind policy : {PolicyKind::never, PolicyKind::always}) {
        LiveScsi live(workers(), request_queues, with_policy(policy));
        live.add(0, slow_disk());
        auto driver = live.start(request_queues);
        settle_attentions(driver);
        Loads loads(driver);
        loads.begin();
        std::uint64_t functions = 0;
        const auto manage = [&](ScsiFunction function, std::uint64_t id) {
            EXPECT_EQ(must(driver.control().run(function, scsi_lun(0, 0), id)), ScsiResponse::ok);
            ++functions;
        };
        for (std::uint64_t i = 0; i < 150; ++i) {
            manage(ScsiFunction::abort_task, i * 7 % (request_queues * ScsiLoad::tags));
            if (i % 20 == 7) {
                manage(ScsiFunction::logical_unit_reset, 0);
            }
            if (i % 50 == 11) {
                manage(ScsiFunction::i_t_nexus_reset, 0);
            }
            if (i % 10 == 3) {
                must(live.endpoint().move_queue(static_cast<std::uint16_t>(2 + i / 10 % request_queues),
                                                i % 20 == 3 ? *second_ : *third_));
            }
        }
        EXPECT_TRUE(loads.progress(50));
        loads.finish();
        EXPECT_GT(loads.ended_by_others(), 0U);
        loads.compare(driver);
        must(driver.control().check_finished());
        EXPECT_TRUE(eventually([&] { return live.counters(0).completions == functions; }));
    }
}

TEST_F(LiveScsiTest, units_come_and_go_under_load) {
    LiveScsi live(workers(), request_queues);
    live.add(0, slow_disk());
    auto driver = live.start(request_queues);
    settle_attentions(driver);
    Loads loads(driver);
    // Queue 3 is for the units that come and go.
    std::atomic<bool> stop{false};
    constexpr int rounds = 30;
    std::thread changing([&] {
        for (int i = 0; i < rounds; ++i) {
            const auto lun = static_cast<std::uint16_t>(1 + i % 3);
            live.add(lun, FakeDisk::create(mebibyte));
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            must(live.domain().remove(0, scsi::Lun(lun)));
        }
        stop = true;
    });
    std::size_t told = 0;
    std::thread listening([&] {
        while (told < 2U * rounds) {
            for (const auto& event : must(driver.events().collect())) {
                EXPECT_EQ(event.kind(), frontend::ScsiEventKind::transport_reset);
                EXPECT_EQ(event.reason, told % 2 == 0 ? frontend::scsi_reset_rescan : frontend::scsi_reset_removed);
                ++told;
                must(driver.events().add());
            }
            driver.events().queue().publish();
        }
    });
    for (std::uint64_t i = 0; !stop; ++i) {  // whether the unit is there at the time, nobody knows
        std::vector<std::byte> room(512);
        const auto lun = static_cast<std::uint16_t>(1 + i % 3);
        const auto finished =
            must(driver.requests(3).run({.cdb = frontend::scsi_read_10(1, 1), .lun = scsi_lun(0, lun), .in = room}));
        EXPECT_EQ(finished.response, ScsiResponse::ok);
    }
    changing.join();
    listening.join();
    EXPECT_EQ(told, 2U * rounds);
    loads.begin(50);
    loads.join();
    loads.compare(driver);
}

TEST_F(LiveScsiTest, a_stopped_queue_has_nothing_in_flight_and_goes_on_later) {
    LiveScsi live(workers(), request_queues);
    const auto disk = slow_disk();
    live.add(0, disk);
    auto driver = live.start(request_queues);
    settle_attentions(driver);
    for (int round = 0; round < 5; ++round) {
        const std::vector<std::byte> data(4096);
        for (std::size_t queue = 0; queue < request_queues; ++queue) {
            for (std::uint64_t id = 0; id < 8; ++id) {
                must(driver.requests(queue).submit({.cdb = frontend::scsi_write_10(0, 8), .out = data, .id = id}));
            }
            driver.requests(queue).queue().publish();
        }
        must(driver.control().submit(ScsiFunction::logical_unit_reset, scsi_lun(0, 0)));
        driver.control().queue().publish();
        const auto bases = must(driver.client().stop(driver.queues().size()));
        for (std::size_t queue = 0; queue < request_queues; ++queue) {
            // What was taken is completed; what was not is taken when the queue goes on.
            must(driver.requests(queue).take());
            EXPECT_EQ(bases.at(queue + 2), driver.requests(queue).queue().used_index());
        }
        for (std::size_t vring = 0; vring < driver.queues().size(); ++vring) {
            frontend::DriverQueue& ring = driver.queues()[vring];
            must(driver.client().set_vring_base(static_cast<std::uint32_t>(vring), bases[vring]));
            must(driver.client().set_vring_call(static_cast<std::uint32_t>(vring), ring.call_fd()));
            must(driver.client().set_vring_kick(static_cast<std::uint32_t>(vring), ring.kick_fd()));
        }
        for (std::size_t queue = 0; queue < request_queues; ++queue) {
            while (driver.requests(queue).in_flight() != 0) {
                must(driver.requests(queue).collect());
            }
        }
        EXPECT_TRUE(eventually([&] { return !must(driver.control().take()).empty(); }));
    }
    settle_attentions(driver);
}

/// The front-end has disabled a vring: what manages tasks must not wait for it, nor may a stop.
TEST_F(LiveScsiTest, a_disabled_queue_holds_nobody_up) {
    LiveScsi live(workers(), 2);
    live.add(0, FakeDisk::create(disk_bytes));
    auto driver = live.start(2);
    settle_attentions(driver);
    must(driver.client().set_vring_enable(2, false));
    EXPECT_EQ(must(driver.control().run(ScsiFunction::logical_unit_reset, scsi_lun(0, 0))), ScsiResponse::ok);
    must(driver.client().set_vring_enable(2, true));
    settle_attentions(driver);
    must(driver.client().set_vring_enable(3, false));
    must(driver.control().submit(ScsiFunction::abort_task_set, scsi_lun(0, 0)));
    driver.control().queue().publish();
    must(driver.client().stop(driver.queues().size()));
}

TEST_F(LiveScsiTest, a_driver_that_comes_back_finds_everything_as_it_was) {
    LiveScsi live(workers(), request_queues);
    const auto disk = slow_disk();
    live.add(0, disk);
    std::vector<std::byte> data = pattern(4096, 1);
    for (int round = 0; round < 4; ++round) {
        auto driver = live.start(request_queues);
        settle_attentions(driver);
        std::vector<std::byte> found(4096);
        if (round != 0) {
            EXPECT_TRUE(must(driver.requests().run({.cdb = frontend::scsi_read_10(4096, 8), .in = found})).good());
            EXPECT_EQ(found, data);
        }
        data = pattern(4096, static_cast<std::uint64_t>(round));
        EXPECT_TRUE(must(driver.requests().run({.cdb = frontend::scsi_write_10(4096, 8), .out = data})).good());
        Loads loads(driver, round == 0);
        loads.begin(30);
        loads.join();
        loads.compare(driver);
        // It goes while requests and a function are under way.
        for (std::size_t queue = 0; queue < request_queues; ++queue) {
            must(driver.requests(queue).submit({.cdb = frontend::scsi_read_10(0, 8), .in = found}));
            driver.requests(queue).queue().publish();
        }
        must(driver.control().submit(ScsiFunction::logical_unit_reset, scsi_lun(0, 0)));
        driver.control().queue().publish();
    }
}

}  // namespace
}  // namespace sidecore::endpoint
