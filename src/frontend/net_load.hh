// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "base/error.hh"
#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"
#include "frontend/net_format.hh"

namespace sidecore::frontend {

/// How the chains of a network load look.
struct NetLoadOptions {
    std::uint16_t depth = 256;       ///< chains that may be in flight
    std::uint32_t buffer_bytes = 0;  ///< of a receive buffer, header included; 0: see net_receive_bytes()
    bool header_apart = false;       ///< in a descriptor of its own
    bool indirect = false;           ///< one descriptor of the ring per chain in any case

    /// Write the descriptors again each time, as a guest's driver does, which has other buffers each time. They then travel to the device too.
    bool rewrite_descriptors = false;
};

/// One chain of a load: header and frame side by side in guest memory, formatted once.
class NetLoadChain {
public:
    static Result<NetLoadChain> create(GuestMemoryFile& memory, DriverQueue& queue, const NetLoadOptions& options,
                                       std::uint32_t header_bytes, std::uint32_t bytes, bool device_writable);

    std::uint16_t head() const noexcept { return head_; }
    std::byte* host() const noexcept { return host_; }  ///< the header, with the frame behind it
    void rewrite() const noexcept {
        for (std::size_t i = 0; i < count_; ++i) {
            std::memcpy(shared_[i], &descriptors_[i], sizeof(Descriptor));
        }
    }

private:
    NetLoadChain() = default;

    std::byte* host_ = nullptr;
    std::uint16_t head_ = 0;
    std::uint16_t count_ = 0;
    std::array<Descriptor*, 2> shared_{};      // where the device sees them
    std::array<Descriptor, 2> descriptors_{};  // and what is there
};

/// Frames of one content on a transmit queue, as fast as one core can offer them. Nothing allocates after create(); nothing but a kick that
/// the device wants enters the kernel.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions.
class NetTransmitLoad {
public:
    /// Calls are suppressed from now on.
    static Result<NetTransmitLoad> create(GuestMemoryFile& memory, DriverQueue& queue, std::uint64_t features,
                                          std::span<const std::byte> frame, const NetLoadOptions& options);

    std::size_t idle() const noexcept { return idle_count_; }
    std::size_t depth() const noexcept { return chains_.size(); }

    /// The frame that send() takes next, to be changed. There must be an idle one.
    std::span<std::byte> next_frame() const noexcept {
        return {chains_[idle_[idle_count_ - 1]].host() + header_bytes_, frame_bytes_};
    }

    /// Offers idle frames, at most so many, and publishes them together; returns how many.
    std::size_t send(std::size_t most) noexcept {
        const std::size_t count = std::min(most, idle_count_);
        for (std::size_t i = 0; i < count; ++i) {
            const NetLoadChain& chain = chains_[idle_[--idle_count_]];
            if (rewrite_descriptors_) {
                chain.rewrite();
            }
            queue_->offer(chain.head());
        }
        if (count != 0) {
            queue_->publish();
        }
        return count;
    }

    /// Takes back what the device has used; returns how many.
    std::size_t reclaim() noexcept;

    std::uint64_t used() const noexcept { return queue_->statistics().used; }
    DriverQueue& queue() noexcept { return *queue_; }

private:
    NetTransmitLoad(DriverQueue& queue, std::uint32_t header_bytes, std::uint32_t frame_bytes,
                    const NetLoadOptions& options);

    DriverQueue* queue_;
    std::uint32_t header_bytes_;
    std::uint32_t frame_bytes_;
    bool rewrite_descriptors_;
    std::vector<NetLoadChain> chains_;
    std::vector<std::uint16_t> chain_of_head_;
    std::vector<std::uint16_t> idle_;  // the last idle_count_ that were given back
    std::size_t idle_count_ = 0;
};

/// Takes frames from a receive queue, looks at them, and offers their buffers again at once.
///
/// Thread: the queue's. Memory and queue outlive it. Takes all of the queue's completions. Nothing allocates after create().
class NetReceiveLoad {
public:
    struct Counts {
        std::uint64_t frames = 0;
        std::uint64_t bytes = 0;   ///< without headers
        std::uint64_t faults = 0;  ///< buffers where a header or num_buffers is wrong
    };

    /// All buffers are offered and published; calls are suppressed from now on.
    static Result<NetReceiveLoad> create(GuestMemoryFile& memory, DriverQueue& queue, std::uint64_t features,
                                         const NetLoadOptions& options);

    /// Takes up to 64 used buffers; `visit` gets the frame of each, as far as it lies in the first of its buffers. Returns how many frames began.
    template <typename Visit>
    std::size_t receive(Visit&& visit) noexcept {
        const std::size_t count = queue_->reap(used_);
        // The device has just written these lines. All are asked for before the first is looked at.
        for (std::size_t i = 0; i < count; ++i) {
            __builtin_prefetch(chains_[chain_of_head_[used_[i].head]].host());
        }
        std::size_t frames = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const NetLoadChain& chain = chains_[chain_of_head_[used_[i].head]];
            if (const auto frame = begin_frame(chain, used_[i].length)) {
                visit(*frame);
                ++frames;
            }
            if (rewrite_descriptors_) {
                chain.rewrite();
            }
            queue_->offer(chain.head());
        }
        if (count != 0) {
            queue_->publish();
        }
        return frames;
    }
    std::size_t receive() noexcept {
        return receive([](std::span<const std::byte>) {});
    }

    const Counts& counts() const noexcept { return counts_; }
    std::size_t depth() const noexcept { return chains_.size(); }
    DriverQueue& queue() noexcept { return *queue_; }

private:
    NetReceiveLoad(DriverQueue& queue, std::uint64_t features, const NetLoadOptions& options);

    /// Counts a buffer; the frame if one begins in it.
    std::optional<std::span<const std::byte>> begin_frame(const NetLoadChain& chain, std::uint32_t length) noexcept {
        if (continued_ != 0) {
            --continued_;
            counts_.bytes += length;
            return std::nullopt;
        }
        NetHeader header;
        std::memcpy(&header, chain.host(), header_bytes_);
        const std::uint16_t buffers =
            header_bytes_ == sizeof header ? static_cast<std::uint16_t>(header.buffers) : std::uint16_t{1};
        if (length < header_bytes_ || buffers == 0 || (buffers != 1 && !merges_)) {
            ++counts_.faults;
            return std::nullopt;
        }
        continued_ = static_cast<std::uint16_t>(buffers - 1);
        ++counts_.frames;
        counts_.bytes += length - header_bytes_;
        return std::span<const std::byte>(chain.host() + header_bytes_, length - header_bytes_);
    }

    DriverQueue* queue_;
    std::uint32_t header_bytes_;
    bool merges_;
    bool rewrite_descriptors_;
    std::uint16_t continued_ = 0;  // buffers of the last frame that are still to come
    Counts counts_;
    std::vector<NetLoadChain> chains_;
    std::vector<std::uint16_t> chain_of_head_;
    std::array<Used, 64> used_{};
};

/// Requests through a back-end that sends them back, and how long that takes: frames whose last bytes are a number.
///
/// Thread: the queues'. The loads outlive it; it is the only one to use them. Times are of any one clock.
class NetRequestResponse {
public:
    static constexpr std::size_t number_bytes = 4;

    /// A response that has not come within `patience` is lost. At most `most` requests are under way.
    NetRequestResponse(NetTransmitLoad& transmit, NetReceiveLoad& receive, std::uint64_t patience,
                       std::uint16_t most = 1)
        : transmit_(&transmit), receive_(&receive), patience_(patience), slots_(std::bit_ceil(std::size_t{most})) {}

    /// Takes the responses that have come, and calls `ended` with how long each took. Gives up what is lost.
    template <typename Ended>
    void take(std::uint64_t now, Ended&& ended) noexcept {
        transmit_->reclaim();
        receive_->receive([&](std::span<const std::byte> frame) {
            if (const auto took = answer(frame, now)) {
                ended(*took);
            }
        });
        give_up(now);
    }

    /// Sends a request at `now` whose time counts from `at`. False: no more can be under way.
    bool start(std::uint64_t at, std::uint64_t now) noexcept;

    /// One at a time: looks for the response, and sends the next request if none is under way. Returns how long the one took that has ended.
    std::optional<std::uint64_t> turn(std::uint64_t now) noexcept;

    std::uint64_t responses() const noexcept { return responses_; }
    std::uint64_t lost() const noexcept { return lost_; }
    std::uint64_t strangers() const noexcept { return strangers_; }  ///< frames that answer nothing that is under way

private:
    struct Slot {
        std::uint32_t number = 0;
        bool under_way = false;
        std::uint64_t at = 0;
        std::uint64_t sent = 0;
    };

    Slot& slot_of(std::uint32_t number) noexcept { return slots_[number & (slots_.size() - 1)]; }
    std::optional<std::uint64_t> answer(std::span<const std::byte> frame, std::uint64_t now) noexcept;
    void give_up(std::uint64_t now) noexcept;

    NetTransmitLoad* transmit_;
    NetReceiveLoad* receive_;
    std::uint64_t patience_;
    std::vector<Slot> slots_;   // a power of two; a request is in that of its number
    std::uint32_t oldest_ = 1;  // no earlier one is under way
    std::uint32_t next_ = 1;    // number
    std::uint64_t responses_ = 0;
    std::uint64_t lost_ = 0;
    std::uint64_t strangers_ = 0;
};

}  // namespace sidecore::frontend
