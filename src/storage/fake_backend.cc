// SPDX-License-Identifier: Apache-2.0
#include "storage/fake_backend.hh"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <iterator>
#include <sys/timerfd.h>

#include "base/bounded_fifo.hh"
#include "base/clock.hh"
#include "base/fd.hh"
#include "base/format.hh"
#include "storage/argument_check.hh"
#include "storage/request_check.hh"

namespace sidecore::storage {

/// One queue; all its state is guarded by the disk's mutex. completion_fd() is a timer, because that can be made
/// readable now as well as later.
class FakeQueue final : public BlockQueue {
public:
    FakeQueue(std::shared_ptr<FakeDisk> disk, Fd timer, std::uint32_t depth)
        : disk_(std::move(disk)), timer_(std::move(timer)), completed_(depth) {}

    FakeQueue(const FakeQueue&) = delete;
    FakeQueue& operator=(const FakeQueue&) = delete;

    ~FakeQueue() override {
        const std::lock_guard lock(disk_->mutex_);
        assert(completed_.empty() && delayed_.empty());
        --disk_->open_queue_count_;
    }

    void submit(std::span<BlockRequest* const> batch) noexcept override;
    std::size_t reap(std::span<BlockRequest*> completed) noexcept override;
    void cancel(BlockRequest& request) noexcept override;
    int completion_fd() const noexcept override { return timer_.get(); }

    /// With the mutex held.
    void finish(BlockRequest& request) {
        completed_.push(request);
        set_timer();
    }

private:
    struct Delayed {
        std::uint64_t due_ns = 0;
        BlockRequest* request = nullptr;
    };

    void start(BlockRequest& request);
    void finish_due();
    void set_timer();

    const std::shared_ptr<FakeDisk> disk_;
    const Fd timer_;
    BoundedFifo<BlockRequest> completed_;
    std::vector<Delayed> delayed_;
};

void FakeQueue::submit(std::span<BlockRequest* const> batch) noexcept {
    const std::lock_guard lock(disk_->mutex_);
    for (BlockRequest* request : batch) {
        start(*request);
    }
    ++disk_->batch_count_;
    disk_->changed_.notify_all();
}

void FakeQueue::start(BlockRequest& request) {
    const SeenRequest seen{request.operation,    request.durable,         request.offset_bytes,
                           request.length_bytes, request.segments.size(), disk_->batch_count_};
    disk_->seen_.push_back(seen);
    const BlockGeometry& geometry = disk_->geometry_;
    request.result = check_request(request, geometry.capacity_bytes, geometry.logical_block_bytes, geometry.read_only);
    const std::optional<Fault> fault = request.result == 0 ? disk_->meet_fault(request) : std::nullopt;
    if (fault && (fault->action == FaultAction::hold || fault->action == FaultAction::hold_fast)) {
        disk_->held_.push_back({this, &request, seen, fault->action == FaultAction::hold_fast});
        return;
    }
    if (fault && fault->action == FaultAction::delay) {
        delayed_.push_back({monotonic_ns() + fault->delay_ns, &request});
        set_timer();
        return;
    }
    if (fault) {
        disk_->take_effect(request, fault->action == FaultAction::short_transfer ? fault->transfer_bytes : 0);
        request.result = -fault->error;
    } else if (request.result == 0) {
        disk_->take_effect(request, UINT64_MAX);
    }
    finish(request);
}

std::size_t FakeQueue::reap(std::span<BlockRequest*> completed) noexcept {
    const std::lock_guard lock(disk_->mutex_);
    finish_due();
    const std::size_t count = completed_.pop(completed);
    if (count != 0) {
        set_timer();
    }
    return count;
}

void FakeQueue::cancel(BlockRequest& request) noexcept {
    const std::lock_guard lock(disk_->mutex_);
    const auto position = std::ranges::find(disk_->held_, &request, &FakeDisk::Held::request);
    if (position != disk_->held_.end() && !position->fast) {
        disk_->finish_held(position, ECANCELED);
    }
}

void FakeQueue::finish_due() {
    if (delayed_.empty()) {
        return;
    }
    const std::uint64_t now_ns = monotonic_ns();
    std::erase_if(delayed_, [&](const Delayed& delayed) {
        if (delayed.due_ns > now_ns) {
            return false;
        }
        disk_->take_effect(*delayed.request, UINT64_MAX);
        completed_.push(*delayed.request);
        return true;
    });
}

void FakeQueue::set_timer() {
    std::uint64_t due_ns = 0;  // switched off, and not readable
    if (!completed_.empty()) {
        due_ns = 1;  // long ago
    } else if (!delayed_.empty()) {
        due_ns = std::min_element(delayed_.begin(), delayed_.end(), [](const Delayed& a, const Delayed& b) {
                     return a.due_ns < b.due_ns;
                 })->due_ns;
    }
    itimerspec when{};
    when.it_value.tv_sec = static_cast<time_t>(due_ns / 1'000'000'000U);
    when.it_value.tv_nsec = static_cast<long>(due_ns % 1'000'000'000U);
    ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

/// What is handed to the code under test.
class FakeBackend final : public BlockBackend {
public:
    explicit FakeBackend(std::shared_ptr<FakeDisk> disk) : disk_(std::move(disk)) {}

    std::string_view kind() const noexcept override { return "fake"; }
    std::string description() const override { return fmt::format("fake, {}", format_size(geometry().capacity_bytes)); }

    BlockGeometry geometry() const override {
        const std::lock_guard lock(disk_->mutex_);
        return disk_->geometry_;
    }

    AllocatedRun allocated_run(std::uint64_t offset_bytes) const noexcept override {
        const std::lock_guard lock(disk_->mutex_);
        const auto after = disk_->holes_.upper_bound(offset_bytes);
        if (after != disk_->holes_.begin()) {
            const auto& [begin, end] = *std::prev(after);
            if (offset_bytes < end) {
                return {false, end - offset_bytes};
            }
        }
        return {true, (after == disk_->holes_.end() ? UINT64_MAX : after->first) - offset_bytes};
    }

    Result<std::unique_ptr<BlockQueue>> open_queue(std::uint32_t depth) override {
        SIDECORE_TRY(check_depth(depth));
        const std::lock_guard lock(disk_->mutex_);
        if (const int error = std::exchange(disk_->open_queue_error_, 0); error != 0) {
            return failure_from_errno("opening a queue", error);
        }
        Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
        if (!timer) {
            return failure_from_errno("creating a timer");
        }
        ++disk_->open_queue_count_;
        return std::make_unique<FakeQueue>(disk_, std::move(timer), depth);
    }

    Result<void> resize(std::uint64_t capacity_bytes) override {
        const std::lock_guard lock(disk_->mutex_);
        SIDECORE_TRY(check_capacity(capacity_bytes, disk_->geometry_.logical_block_bytes));
        if (const int error = std::exchange(disk_->resize_error_, 0); error != 0) {
            return failure_from_errno("resizing", error);
        }
        disk_->contents_.resize(capacity_bytes);
        disk_->geometry_.capacity_bytes = capacity_bytes;
        return {};
    }

private:
    const std::shared_ptr<FakeDisk> disk_;
};

FakeDisk::FakeDisk(BlockGeometry geometry) : geometry_(geometry), contents_(geometry.capacity_bytes) {}

std::shared_ptr<FakeDisk> FakeDisk::create(BlockGeometry geometry) {
    return std::shared_ptr<FakeDisk>(new FakeDisk(geometry));
}

std::shared_ptr<FakeDisk> FakeDisk::create(std::uint64_t capacity_bytes) {
    BlockGeometry geometry;
    geometry.capacity_bytes = capacity_bytes;
    geometry.can_discard = true;
    geometry.can_write_zeroes = true;
    geometry.write_zeroes_may_unmap = true;
    return create(geometry);
}

std::unique_ptr<BlockBackend> FakeDisk::open() {
    return std::make_unique<FakeBackend>(shared_from_this());
}

void FakeDisk::add_fault(Fault fault) {
    const std::lock_guard lock(mutex_);
    faults_.push_back({fault, 0});
}

void FakeDisk::clear_faults() {
    const std::lock_guard lock(mutex_);
    faults_.clear();
}

void FakeDisk::fail_next_open_queue(int error) {
    const std::lock_guard lock(mutex_);
    open_queue_error_ = error;
}

void FakeDisk::fail_next_resize(int error) {
    const std::lock_guard lock(mutex_);
    resize_error_ = error;
}

std::optional<Fault> FakeDisk::meet_fault(const BlockRequest& request) {
    for (auto active = faults_.begin(); active != faults_.end(); ++active) {
        const Fault fault = active->fault;
        if (fault.operation && *fault.operation != request.operation) {
            continue;
        }
        const bool touches =
            request.offset_bytes < fault.to_bytes && request.offset_bytes + request.length_bytes > fault.from_bytes;
        if (!touches && request.operation != BlockOperation::flush) {
            continue;
        }
        if (active->matched++ < fault.skip) {
            continue;
        }
        if (active->matched - fault.skip == fault.times) {
            faults_.erase(active);
        }
        return fault;
    }
    return std::nullopt;
}

void FakeDisk::take_effect(BlockRequest& request, std::uint64_t bytes_max) {
    // A held or delayed request may find the disk shrunk.
    request.result =
        check_request(request, geometry_.capacity_bytes, geometry_.logical_block_bytes, geometry_.read_only);
    if (request.result != 0) {
        return;
    }
    std::uint64_t left = std::min(bytes_max, request.length_bytes);
    std::byte* disk = contents_.data() + request.offset_bytes;
    switch (request.operation) {
        case BlockOperation::read:
        case BlockOperation::write:
            for (const iovec& segment : request.segments) {
                const std::uint64_t part = std::min<std::uint64_t>(segment.iov_len, left);
                if (request.operation == BlockOperation::read) {
                    std::memcpy(segment.iov_base, disk, part);
                } else {
                    std::memcpy(disk, segment.iov_base, part);
                }
                disk += part;
                left -= part;
            }
            break;
        case BlockOperation::flush:
            break;
        case BlockOperation::discard:
        case BlockOperation::write_zeroes:
        case BlockOperation::write_zeroes_unmap:
            std::memset(disk, 0, left);
            break;
    }
}

std::vector<SeenRequest> FakeDisk::held() const {
    const std::lock_guard lock(mutex_);
    std::vector<SeenRequest> all;
    for (const Held& held : held_) {
        all.push_back(held.seen);
    }
    return all;
}

void FakeDisk::finish_held(std::list<Held>::iterator position, int error) {
    const Held held = *position;
    held_.erase(position);
    if (error == 0) {
        take_effect(*held.request, UINT64_MAX);
    } else {
        held.request->result = -error;
    }
    held.queue->finish(*held.request);
}

void FakeDisk::release(std::size_t index, int error) {
    const std::lock_guard lock(mutex_);
    assert(index < held_.size());
    finish_held(std::next(held_.begin(), static_cast<std::ptrdiff_t>(index)), error);
}

void FakeDisk::release_all() {
    const std::lock_guard lock(mutex_);
    while (!held_.empty()) {
        finish_held(held_.begin(), 0);
    }
}

void FakeDisk::release_all_reversed() {
    const std::lock_guard lock(mutex_);
    while (!held_.empty()) {
        finish_held(std::prev(held_.end()), 0);
    }
}

std::vector<SeenRequest> FakeDisk::seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
}

std::size_t FakeDisk::batch_count() const {
    const std::lock_guard lock(mutex_);
    return batch_count_;
}

std::size_t FakeDisk::open_queue_count() const {
    const std::lock_guard lock(mutex_);
    return open_queue_count_;
}

bool FakeDisk::wait_until_held(std::size_t count, std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return held_.size() >= count; });
}

bool FakeDisk::wait_until_seen(std::size_t count, std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return seen_.size() >= count; });
}

std::vector<std::byte> FakeDisk::contents(std::uint64_t offset_bytes, std::uint64_t length_bytes) const {
    const std::lock_guard lock(mutex_);
    assert(offset_bytes + length_bytes <= contents_.size());
    const auto first = contents_.begin() + static_cast<std::ptrdiff_t>(offset_bytes);
    return {first, first + static_cast<std::ptrdiff_t>(length_bytes)};
}

void FakeDisk::set_contents(std::uint64_t offset_bytes, std::span<const std::byte> bytes) {
    const std::lock_guard lock(mutex_);
    assert(offset_bytes + bytes.size() <= contents_.size());
    std::copy(bytes.begin(), bytes.end(), contents_.begin() + static_cast<std::ptrdiff_t>(offset_bytes));
}

void FakeDisk::add_hole(std::uint64_t offset_bytes, std::uint64_t length_bytes) {
    const std::lock_guard lock(mutex_);
    holes_[offset_bytes] = offset_bytes + length_bytes;
}

}  // namespace sidecore::storage
