// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hh"
#include "base/fd.hh"
#include "base/patient_mutex.hh"
#include "device/device.hh"
#include "engine/worker.hh"
#include "vhost_user/handler.hh"
#include "vhost_user/session.hh"
#include "virtqueue/split_queue.hh"

namespace sidecore::endpoint {

/// How a device meets its front-end.
enum class Role : std::uint8_t {
    listen,   ///< front-ends connect to the socket, one after the other
    connect,  ///< the front-end listens; we connect, and try again while nobody is there
};

struct Options {
    std::string name;              ///< of the device, for the log
    std::filesystem::path socket;  ///< the UNIX socket
    Role role = Role::listen;
    std::uint64_t retry_interval_ns =
        1'000'000'000;  ///< from one try to connect to the next, and after a failed accept

    /// Instead of a path: a socket that listens already, or one connection; then the endpoint ends with it.
    Fd given;

    /// Called once, on the endpoint's thread, when it has ended by itself: a given connection is over. Must not stop or
    /// destroy the endpoint.
    std::function<void()> on_ended;
};

/// One queue, as of now.
struct QueueInfo {
    engine::QueueSnapshot counters;
    engine::QueueSettings settings;
    std::string worker;
    std::uint32_t size = 0;  ///< 0 while not started
    bool started = false;
    bool enabled = false;
};

/// One endpoint, as of now.
struct Info {
    bool connected = false;
    std::uint64_t connected_since_ns = 0;  ///< CLOCK_MONOTONIC
    std::uint64_t sessions = 0;            ///< so far, with this one
    std::uint64_t features = 0;            ///< accepted by the driver
    std::string last_error;                ///< why the last session that went wrong did, or empty
    std::vector<QueueInfo> queues;
};

/// One vhost-user socket with the device behind it: takes one front-end at a time, runs its session on a thread of its
/// own, makes the queues it starts and gives them to workers.
///
/// Thread: the public functions from any thread. The messages' meaning (the private Handler) is carried out on the
/// endpoint's thread, which waits for workers and for storage; nobody else waits for it but stop().
///
/// Invariants:
///  1. A queue exists from the vring's start to its stop, and is attached to its worker while it is enabled and its ring
///     lies in the guest's memory.
///  2. What a front-end does wrong ends its session, with a line in the log; the next one finds the endpoint as new.
///  3. Accepted I/O is completed before a vring stops, whatever the reason (design invariant 4).
class Endpoint final : private vhost_user::Handler {
public:
    /// Starts listening or connecting. Queue i runs on workers[i % workers.size()] with settings[i]; workers outlive the
    /// endpoint. Errors: those of the socket; invalid_argument if there is no worker or not one setting per queue.
    static Result<std::unique_ptr<Endpoint>> create(Options options, std::unique_ptr<device::Device> device,
                                                    std::vector<engine::Worker*> workers,
                                                    std::vector<engine::QueueSettings> settings);

    Endpoint(const Endpoint&) = delete;
    Endpoint& operator=(const Endpoint&) = delete;
    /// stop()
    ~Endpoint() override;

    /// Ends the session, after accepted I/O is completed, and the listening. Idempotent.
    void stop();

    Info info() const;
    const std::string& name() const noexcept { return options_.name; }
    const std::filesystem::path& socket() const noexcept { return options_.socket; }
    Role role() const noexcept { return options_.role; }
    device::Device& device() noexcept { return *device_; }
    const device::Device& device() const noexcept { return *device_; }

    /// From now on, also for a queue that runs. `index` < device().max_queues().
    void set_queue(std::uint16_t index, const engine::QueueSettings& settings);
    engine::QueueSettings queue_settings(std::uint16_t index) const;

    /// Percent of a CPU that all queues of the device together may spend on looks that find nothing. 100: no limit.
    void set_poll_budget(std::uint32_t percent);

    /// Hands the queue over to `to`, with I/O in flight if it runs. `to` outlives the endpoint, or the queue moves on before.
    /// timed_out if the front-end is changing the queue just now and that takes long.
    Result<void> move_queue(std::uint16_t index, engine::Worker& to);

    /// Waits until all I/O that the queue has accepted so far is completed: then none of it needs a worker that the queue has
    /// left. timed_out as for move_queue().
    Result<void> settle(std::uint16_t index);

    /// The worker that the queue is on, or will be on.
    engine::Worker& worker(std::uint16_t index) const;

    /// Why the queue is treated as it is; nullopt while it is not served.
    std::optional<engine::QueueExplanation> explain(std::uint16_t index) const;

    /// Tells the front-end that the configuration space has changed, if it can be told.
    void announce_config_change();

private:
    struct Queue {
        engine::QueueStatistics statistics;  // any thread; goes on over sessions

        // Held by whoever has the worker do something with the queue that may take long, and by whoever gives it another
        // worker. Before mutex_.
        PatientMutex change_mutex;
        engine::Worker* worker = nullptr;             // with change_mutex and mutex_ to write, with either to read
        engine::QueueSettings settings;               // with mutex_
        bool started = false;                         // with mutex_
        bool enabled = false;                         // with mutex_
        bool attached = false;                        // likewise
        std::uint32_t size = 0;                       // with mutex_
        bool resting = false;                         // the endpoint's thread: the ring is not in the guest's memory
        virtqueue::SplitQueue::Setup ring;            // the endpoint's thread
        std::unique_ptr<device::DeviceQueue> served;  // the endpoint's thread
    };

    Endpoint(Options options, std::unique_ptr<device::Device> device, Fd listener);

    void run();
    Result<Fd> next_connection();
    Result<Fd> connect_patiently();
    void serve(Fd socket);
    bool stopping() const;
    Result<std::unique_lock<PatientMutex>> hold_changes(std::uint16_t index);
    Result<void> attach(Queue& queue);
    Result<void> move_to_map(Queue& queue);
    void detach(Queue& queue);
    Result<Queue*> find_started(std::uint16_t index);
    Result<void> change_notifier(std::uint16_t index, const std::function<void(device::DeviceQueue&)>& change);

    // vhost_user::Handler
    std::uint64_t offered_features() const override { return device_->features(); }
    std::uint16_t max_queues() const override { return device_->max_queues(); }
    std::uint64_t device_protocol_features() const override;
    Result<void> announce_mac(std::span<const std::uint8_t, 6> mac) override { return device_->announce_mac(mac); }
    Result<void> set_mtu(std::uint64_t mtu) override;
    Result<void> set_features(std::uint64_t features) override;
    Result<void> set_memory(std::shared_ptr<const memory::MemoryMap> map) override;
    Result<void> start_vring(std::uint16_t index, vhost_user::VringSetup setup) override;
    Result<std::uint16_t> stop_vring(std::uint16_t index) override;
    Result<void> enable_vring(std::uint16_t index, bool enabled) override;
    Result<void> replace_kick(std::uint16_t index, Fd kick) override;
    Result<void> replace_call(std::uint16_t index, Fd call) override;
    Result<void> replace_error(std::uint16_t index, Fd error) override;
    void read_config(std::uint32_t offset, std::span<std::byte> out) const override;
    Result<void> write_config(std::uint32_t offset, std::span<const std::byte> data, bool migration) override;
    void set_backend_channel(std::shared_ptr<vhost_user::BackendChannel> channel) override;
    Result<void> set_status(std::uint8_t status) override;
    std::uint8_t status() const override;
    Result<void> reset() override;

    // Fixed after create()
    Options options_;
    const std::unique_ptr<device::Device> device_;
    const std::shared_ptr<engine::SharedPollBudget> budget_ = std::make_shared<engine::SharedPollBudget>();
    Fd listener_;

    // Any thread, with mutex_; held for as long as a worker takes for a command, never while I/O is waited for.
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    bool stopping_ = false;
    std::unique_ptr<vhost_user::Session> session_;
    std::uint64_t connected_since_ns_ = 0;
    std::uint64_t sessions_ = 0;
    std::string last_error_;
    std::atomic<std::uint64_t> features_{0};

    // Any thread. Workers announce a broken queue, so nothing is waited for with this one.
    std::mutex channel_mutex_;
    std::shared_ptr<vhost_user::BackendChannel> channel_;

    std::mutex join_mutex_;  // one stop() at a time waits for the thread

    // The endpoint's thread, but for what Queue says
    std::vector<std::unique_ptr<Queue>> queues_;
    std::shared_ptr<const memory::MemoryMap> map_;
    std::uint8_t status_ = 0;
    std::optional<std::uint64_t> last_try_ns_;  // to connect

    std::thread thread_;  // last: it uses all of the above
};

}  // namespace sidecore::endpoint
