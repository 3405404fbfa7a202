// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_receiver.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/format.hh"

namespace sidecore::frontend {

namespace {

constexpr std::uint32_t merged_bytes = 1536;

bool merges(std::uint64_t features) noexcept {
    return (features & feature_mask(net_feature_mrg_rxbuf)) != 0;
}

tl::unexpected<Error> violation(std::string what) {
    return failure(ErrorKind::protocol_violation, std::move(what));
}

}  // namespace

NetReceiver::Options NetReceiver::resolve(Options options, std::uint64_t features) {
    if (options.buffer_bytes == 0) {
        options.buffer_bytes = merges(features) ? merged_bytes : net_receive_bytes(features);
    }
    if (options.cuts.empty() && (features & feature_mask(feature_version_1)) == 0) {
        options.cuts = {net_header_bytes(features)};
    }
    return options;
}

std::uint64_t NetReceiver::memory_needed(const Options& options, std::uint64_t features) {
    const Options resolved = resolve(options, features);
    std::vector<std::uint32_t> lengths = resolved.cuts;
    lengths.push_back(resolved.buffer_bytes);
    const std::uint64_t table = lengths.size() * sizeof(Descriptor);
    return resolved.buffers * (GuardedBuffers::room_for(lengths, resolved.placement) + table + 8192);
}

NetReceiver::NetReceiver(DriverQueue& queue, std::uint64_t features, Options options)
    : queue_(&queue),
      features_(features),
      header_bytes_(net_header_bytes(features)),
      options_(std::move(options)),
      slot_of_head_(queue.size()) {}

Result<NetReceiver> NetReceiver::create(GuestMemoryFile& memory, DriverQueue& queue, std::uint64_t features,
                                        const Options& options) {
    NetReceiver made(queue, features, resolve(options, features));
    SIDECORE_TRY_ASSIGN(const auto lengths, lengths_of(made.options_.buffer_bytes, made.options_.cuts));
    for (std::uint16_t i = 0; i < options.buffers; ++i) {
        if (queue.free_descriptors() < (options.indirect ? 1U : lengths.size())) {
            break;
        }
        Slot slot;
        SIDECORE_TRY_ASSIGN(const GuestBuffer room,
                            memory.allocate(GuardedBuffers::room_for(lengths, options.placement), 4096));
        slot.buffers = GuardedBuffers(room);
        SIDECORE_TRY(slot.buffers.place(lengths, options.placement));
        std::vector<Piece> chain;
        append_pieces(chain, slot.buffers.pieces(), true);
        std::optional<std::uint16_t> head;
        if (options.indirect) {
            SIDECORE_TRY_ASSIGN(const GuestBuffer table,
                                memory.allocate(chain.size() * sizeof(Descriptor), sizeof(Descriptor)));
            head = queue.format({}, chain, table);
        } else {
            head = queue.format(chain);
        }
        slot.head = head.value();
        made.slot_of_head_[slot.head] = i;
        made.slots_.push_back(std::move(slot));
        made.idle_.push_back(i);
    }
    if (options.refill) {
        for (const std::uint16_t index : std::exchange(made.idle_, {})) {
            queue.offer(made.slots_[index].head);
        }
    }
    return made;
}

std::size_t NetReceiver::fill(std::size_t count) noexcept {
    const std::size_t wanted = std::min(count, idle_.size());
    for (std::size_t i = 0; i < wanted; ++i) {
        queue_->offer(slots_[idle_[i]].head);
    }
    idle_.erase(idle_.begin(), idle_.begin() + static_cast<std::ptrdiff_t>(wanted));
    queue_->publish();
    return wanted;
}

Result<std::optional<NetReceived>> NetReceiver::try_receive() {
    auto taken = take();
    if (options_.refill) {
        fill();
    }
    return taken;
}

Result<NetReceived> NetReceiver::receive(std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        SIDECORE_TRY_ASSIGN(auto received, try_receive());
        if (received) {
            return *std::move(received);
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) {
            return failure(ErrorKind::timed_out,
                           fmt::format("no frame within {} ms, with {} buffers offered", timeout.count(), offered()));
        }
        queue_->wait_for_used(left);
    }
}

Result<std::optional<NetReceived>> NetReceiver::take() {
    std::vector<std::byte> bytes;
    SIDECORE_TRY_ASSIGN(const bool any, take_buffer(bytes));
    if (!any) {
        return std::nullopt;
    }
    SIDECORE_TRY_ASSIGN(NetReceived received, reassemble(std::move(bytes)));
    return received;
}

/// Appends what the next used buffer holds. False: none is used.
Result<bool> NetReceiver::take_buffer(std::vector<std::byte>& bytes) {
    std::array<Used, 1> used{};
    const std::size_t count = queue_->reap(used);
    if (!queue_->violation().empty()) {
        return violation(queue_->violation());
    }
    if (count == 0) {
        return false;
    }
    const std::uint16_t index = slot_of_head_[used[0].head];
    idle_.push_back(index);
    const GuardedBuffers& buffers = slots_[index].buffers;
    SIDECORE_TRY(buffers.check());
    const std::size_t before = bytes.size();
    bytes.resize(before + used[0].length);
    gather(buffers.pieces(), std::span(bytes).subspan(before));
    return true;
}

/// Makes a frame of what its first buffer holds and of the buffers behind it.
Result<NetReceived> NetReceiver::reassemble(std::vector<std::byte> bytes) {
    if (bytes.size() < header_bytes_) {
        return violation(
            fmt::format("the used length is {}, but a header alone has {} bytes", bytes.size(), header_bytes_));
    }
    NetReceived received;
    std::memcpy(&received.header, bytes.data(), header_bytes_);
    const bool has_count = header_bytes_ == sizeof(NetHeader);
    received.buffers = has_count ? static_cast<std::uint16_t>(received.header.buffers) : std::uint16_t{1};
    if (received.buffers == 0 || (received.buffers != 1 && !merges(features_))) {
        return violation(
            fmt::format("num_buffers is {} {} MRG_RXBUF", received.buffers, merges(features_) ? "with" : "without"));
    }
    for (std::uint16_t i = 1; i < received.buffers; ++i) {
        if (bytes.size() != std::size_t{options_.buffer_bytes} * i) {
            return violation(fmt::format("buffer {} of {} is not full: {} bytes so far, in buffers of {}", i,
                                         received.buffers, bytes.size(), options_.buffer_bytes));
        }
        SIDECORE_TRY_ASSIGN(const bool any, take_buffer(bytes));
        if (!any) {
            return violation(fmt::format("num_buffers is {}, but only {} are used", received.buffers, i));
        }
    }
    if (std::string fault = net_header_violation(received.header, features_); !fault.empty()) {
        return violation(std::move(fault));
    }
    received.frame.assign(bytes.begin() + header_bytes_, bytes.end());
    return received;
}

}  // namespace sidecore::frontend
