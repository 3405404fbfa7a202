// SPDX-License-Identifier: Apache-2.0
#include "storage/queue_user.hh"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <sys/epoll.h>

#include <gtest/gtest.h>

#include "base/clock.hh"

namespace sidecore::storage::test {

QueueUser::QueueUser(BlockBackend& backend, std::uint32_t depth) : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    auto queue = backend.open_queue(depth);
    if (!queue) {
        ADD_FAILURE() << queue.error().message;
        std::abort();
    }
    queue_ = std::move(*queue);
    if (queue_->completion_fd() >= 0) {
        epoll_event event{};
        event.events = EPOLLIN;
        EXPECT_EQ(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, queue_->completion_fd(), &event), 0);
    }
}

bool QueueUser::readable(int timeout_ms) {
    epoll_event event{};
    const std::uint64_t end_ns = monotonic_ns() + static_cast<std::uint64_t>(timeout_ms) * 1'000'000U;
    for (;;) {
        const int found = ::epoll_wait(epoll_.get(), &event, 1, timeout_ms);
        if (found >= 0) {
            return found == 1;
        }
        EXPECT_EQ(errno, EINTR);
        if (timeout_ms != 0 && monotonic_ns() > end_ns) {
            return false;
        }
    }
}

std::vector<BlockRequest*> QueueUser::wait(std::size_t count, std::size_t at_once) {
    std::vector<BlockRequest*> all;
    std::array<BlockRequest*, 64> some{};
    while (all.size() < count) {
        const std::size_t room = std::min(at_once, some.size());
        const std::size_t found = queue_->reap(std::span(some).first(room));
        all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(found));
        if (found == 0 && all.size() < count && !readable(20'000)) {
            ADD_FAILURE() << "only " << all.size() << " of " << count << " requests came back";
            std::abort();
        }
    }
    EXPECT_EQ(all.size(), count);
    return all;
}

int QueueUser::run(BlockRequest& request) {
    submit(request);
    EXPECT_EQ(wait(1).front(), &request);
    return request.result;
}

int QueueUser::run(BlockOperation operation, std::uint64_t offset_bytes, std::uint64_t length_bytes) {
    BlockRequest request;
    request.operation = operation;
    request.offset_bytes = offset_bytes;
    request.length_bytes = length_bytes;
    return run(request);
}

int QueueUser::read(std::uint64_t offset_bytes, std::span<std::byte> to) {
    iovec segment{to.data(), to.size()};
    BlockRequest request;
    request.offset_bytes = offset_bytes;
    request.length_bytes = to.size();
    request.segments = {&segment, 1};
    return run(request);
}

int QueueUser::write(std::uint64_t offset_bytes, std::span<const std::byte> from, bool durable) {
    iovec segment{const_cast<std::byte*>(from.data()), from.size()};
    BlockRequest request;
    request.operation = BlockOperation::write;
    request.durable = durable;
    request.offset_bytes = offset_bytes;
    request.length_bytes = from.size();
    request.segments = {&segment, 1};
    return run(request);
}

}  // namespace sidecore::storage::test
