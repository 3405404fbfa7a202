// SPDX-License-Identifier: Apache-2.0
// The endpoint's life: sockets, sessions, stopping, and what other threads ask. The meaning of messages is in
// endpoint_handler.cc.
#include "endpoint/endpoint.hh"

#include <chrono>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "base/clock.hh"
#include "base/format.hh"
#include "base/log.hh"
#include "vhost_user/backend_channel.hh"
#include "vhost_user/connection.hh"
#include "vhost_user/socket.hh"

namespace sidecore::endpoint {

namespace {

/// How long a move waits while a front-end's message changes the queue, which may have to wait for its I/O.
constexpr std::chrono::seconds patience_for_changes{2};

bool is_listening(int socket) noexcept {
    int listening = 0;
    socklen_t size = sizeof listening;
    return ::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0;
}

}  // namespace

Result<std::unique_ptr<Endpoint>> Endpoint::create(Options options, std::unique_ptr<device::Device> device,
                                                   std::vector<engine::Worker*> workers,
                                                   std::vector<engine::QueueSettings> settings) {
    if (workers.empty() || settings.size() != device->max_queues()) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{}: {} workers and {} queue settings for {} queues", options.name, workers.size(),
                                   settings.size(), device->max_queues()));
    }
    Fd listener;
    if (options.given) {
        if (is_listening(options.given.get())) {
            listener = std::move(options.given);
        }
    } else if (options.role == Role::listen) {
        SIDECORE_TRY_ASSIGN(listener, vhost_user::listen_unix(options.socket));
    }
    std::unique_ptr<Endpoint> endpoint(new Endpoint(std::move(options), std::move(device), std::move(listener)));
    for (std::size_t i = 0; i < settings.size(); ++i) {
        auto& queue = *endpoint->queues_.emplace_back(std::make_unique<Queue>());
        queue.worker = workers[i % workers.size()];
        queue.settings = settings[i];
    }
    endpoint->thread_ = std::thread([&self = *endpoint] { self.run(); });
    return endpoint;
}

Endpoint::Endpoint(Options options, std::unique_ptr<device::Device> device, Fd listener)
    : options_(std::move(options)), device_(std::move(device)), listener_(std::move(listener)) {}

Endpoint::~Endpoint() {
    stop();
}

void Endpoint::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        if (session_ != nullptr) {
            session_->stop();
        }
        if (listener_) {
            ::shutdown(listener_.get(), SHUT_RDWR);
        }
    }
    wake_.notify_all();
    const std::lock_guard lock(join_mutex_);
    if (thread_.joinable()) {
        thread_.join();
        if (listener_ && !options_.socket.empty()) {
            ::unlink(options_.socket.c_str());
        }
    }
}

bool Endpoint::stopping() const {
    const std::lock_guard lock(mutex_);
    return stopping_;
}

void Endpoint::run() {
    ::pthread_setname_np(::pthread_self(), options_.name.substr(0, 15).c_str());
    const bool only_once = options_.given.valid();
    while (!stopping()) {
        auto socket = next_connection();
        if (socket) {
            serve(std::move(*socket));
        } else if (!stopping()) {
            // No descriptors left, say: it may pass.
            spdlog::error("{}: {}", options_.name, socket.error().message);
            std::unique_lock lock(mutex_);
            last_error_ = socket.error().message;
            wake_.wait_for(lock, std::chrono::nanoseconds(options_.retry_interval_ns), [this] { return stopping_; });
        }
        if (only_once) {
            break;
        }
    }
    if (!stopping() && options_.on_ended) {
        options_.on_ended();
    }
}

Result<Fd> Endpoint::next_connection() {
    if (options_.given) {
        return std::move(options_.given);
    }
    return listener_ ? vhost_user::accept_unix(listener_.get()) : connect_patiently();
}

Result<Fd> Endpoint::connect_patiently() {
    bool said = false;
    while (true) {
        // Also after a connection: a front-end that drops it at once gets no storm of them.
        if (last_try_ns_) {
            const auto next = *last_try_ns_ + options_.retry_interval_ns;
            const std::uint64_t now = monotonic_ns();
            const std::chrono::nanoseconds left(next > now ? next - now : 0);
            std::unique_lock lock(mutex_);
            if (wake_.wait_for(lock, left, [this] { return stopping_; })) {
                return failure(ErrorKind::closed, "stopped");
            }
        }
        last_try_ns_ = monotonic_ns();
        auto socket = vhost_user::connect_unix(options_.socket);
        if (socket || socket.error().kind != ErrorKind::not_found) {
            return socket;
        }
        if (!std::exchange(said, true)) {
            spdlog::info("{}: nobody listens at {} yet, trying again every {} ms", options_.name,
                         options_.socket.string(), options_.retry_interval_ns / 1'000'000);
        }
    }
}

/// One session, from its connection to the last vring's stop.
void Endpoint::serve(Fd socket) {
    auto session = vhost_user::Session::create(vhost_user::Connection(std::move(socket)), *this, options_.name);
    if (!session) {
        spdlog::error("{}: {}", options_.name, session.error().message);
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        if (stopping_) {
            return;
        }
        session_ = std::move(*session);
        connected_since_ns_ = monotonic_ns();
        ++sessions_;
    }
    spdlog::info("{}: front-end connected", options_.name);
    auto result = session_->run();
    if (result) {
        spdlog::info("{}: front-end gone", options_.name);
    } else {
        spdlog::warn("{}: connection closed: {}", options_.name, result.error().message);
    }
    if (auto done = reset(); !done) {
        spdlog::error("{}: {}", options_.name, done.error().message);
    }
    map_.reset();
    set_backend_channel(nullptr);
    const std::lock_guard lock(mutex_);
    session_.reset();
    connected_since_ns_ = 0;
    if (!result) {
        last_error_ = std::move(result).error().message;
    }
}

Info Endpoint::info() const {
    Info info;
    const std::lock_guard lock(mutex_);
    info.connected = session_ != nullptr;
    info.connected_since_ns = connected_since_ns_;
    info.sessions = sessions_;
    info.features = features_;
    info.last_error = last_error_;
    for (const auto& queue : queues_) {
        info.queues.push_back({queue->statistics.read(), queue->settings, queue->worker->name(), queue->size,
                               queue->started, queue->enabled});
    }
    return info;
}

void Endpoint::set_queue(std::uint16_t index, const engine::QueueSettings& settings) {
    const std::lock_guard lock(mutex_);
    Queue& queue = *queues_.at(index);
    queue.settings = settings;
    if (queue.attached) {
        queue.worker->set_queue(*queue.served, settings);
    }
}

engine::QueueSettings Endpoint::queue_settings(std::uint16_t index) const {
    const std::lock_guard lock(mutex_);
    return queues_.at(index)->settings;
}

void Endpoint::set_poll_budget(std::uint32_t percent) {
    budget_->set(percent);
}

/// Keeps the front-end from changing the queue for as long as the lock lives.
Result<std::unique_lock<PatientMutex>> Endpoint::hold_changes(std::uint16_t index) {
    std::unique_lock changes(queues_.at(index)->change_mutex, patience_for_changes);
    if (!changes) {
        return failure(ErrorKind::timed_out,
                       fmt::format("{} queue {}: its front-end is changing it and waits for its I/O; try again later",
                                   options_.name, index));
    }
    return changes;
}

Result<void> Endpoint::move_queue(std::uint16_t index, engine::Worker& to) {
    Queue& queue = *queues_.at(index);
    SIDECORE_TRY_ASSIGN(const auto changes, hold_changes(index));
    const std::lock_guard lock(mutex_);
    if (queue.worker == &to) {
        return {};
    }
    if (queue.attached) {
        SIDECORE_TRY(queue.worker->move(*queue.served, to));
    }
    queue.worker = &to;
    return {};
}

Result<void> Endpoint::settle(std::uint16_t index) {
    Queue& queue = *queues_.at(index);
    SIDECORE_TRY_ASSIGN(const auto changes, hold_changes(index));
    if (queue.attached) {
        queue.worker->quiesced(*queue.served, [] {});
    }
    return {};
}

engine::Worker& Endpoint::worker(std::uint16_t index) const {
    const std::lock_guard lock(mutex_);
    return *queues_.at(index)->worker;
}

std::optional<engine::QueueExplanation> Endpoint::explain(std::uint16_t index) const {
    const std::lock_guard lock(mutex_);
    const Queue& queue = *queues_.at(index);
    return queue.attached ? queue.worker->explain(*queue.served) : std::nullopt;
}

void Endpoint::announce_config_change() {
    std::shared_ptr<vhost_user::BackendChannel> channel;
    {
        const std::lock_guard lock(channel_mutex_);
        channel = channel_;
    }
    if (channel == nullptr) {
        return;
    }
    if (auto announced = channel->announce_config_change(); !announced) {
        spdlog::warn("{}: the front-end could not be told of a configuration change: {}", options_.name,
                     announced.error().message);
    }
}

}  // namespace sidecore::endpoint
