// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_load.hh"

#include "base/big_endian.hh"
#include "base/format.hh"

namespace sidecore::frontend {

namespace {

// CPUs fetch lines in pairs, and two chains are at different stages.
constexpr std::uint64_t chain_alignment = 128;

}  // namespace

Result<NetLoadChain> NetLoadChain::create(GuestMemoryFile& memory, DriverQueue& queue, const NetLoadOptions& options,
                                          std::uint32_t header_bytes, std::uint32_t bytes, bool device_writable) {
    SIDECORE_TRY_ASSIGN(const GuestBuffer buffer, memory.allocate(bytes, chain_alignment));
    const std::uint32_t first = options.header_apart ? header_bytes : bytes;
    const std::array<Piece, 2> both{
        Piece{.address = buffer.address, .length = first, .device_writable = device_writable},
        Piece{.address = buffer.address + first, .length = bytes - first, .device_writable = device_writable}};
    const auto pieces = std::span(both).first(options.header_apart ? 2 : 1);
    NetLoadChain chain;
    chain.host_ = buffer.host;
    chain.count_ = static_cast<std::uint16_t>(pieces.size());
    std::optional<std::uint16_t> head;
    Descriptor* table = nullptr;
    std::uint16_t index = 0;
    if (options.indirect) {
        SIDECORE_TRY_ASSIGN(const GuestBuffer place, memory.allocate(pieces.size() * sizeof(Descriptor), 64));
        head = queue.format({}, pieces, place);
        table = reinterpret_cast<Descriptor*>(place.host);
    } else {
        head = queue.format(pieces);
        table = reinterpret_cast<Descriptor*>(queue.ring().descriptor_area().host);
        index = head.value_or(0);
    }
    if (!head) {
        return failure(ErrorKind::out_of_range, "the queue has too few descriptors for this depth");
    }
    chain.head_ = *head;
    for (std::size_t i = 0; i < chain.count_; ++i) {
        chain.shared_[i] = &table[index];
        chain.descriptors_[i] = *chain.shared_[i];
        index = chain.descriptors_[i].next;
    }
    return chain;
}

NetTransmitLoad::NetTransmitLoad(DriverQueue& queue, std::uint32_t header_bytes, std::uint32_t frame_bytes,
                                 const NetLoadOptions& options)
    : queue_(&queue),
      header_bytes_(header_bytes),
      frame_bytes_(frame_bytes),
      rewrite_descriptors_(options.rewrite_descriptors),
      chain_of_head_(queue.size()),
      idle_(options.depth),
      idle_count_(options.depth) {}

Result<NetTransmitLoad> NetTransmitLoad::create(GuestMemoryFile& memory, DriverQueue& queue, std::uint64_t features,
                                                std::span<const std::byte> frame, const NetLoadOptions& options) {
    if (options.depth == 0 || frame.empty()) {
        return failure(ErrorKind::invalid_argument, "a load needs a depth and a frame");
    }
    const std::uint32_t header_bytes = net_header_bytes(features);
    const auto frame_bytes = static_cast<std::uint32_t>(frame.size());
    NetTransmitLoad load(queue, header_bytes, frame_bytes, options);
    load.chains_.reserve(options.depth);
    for (std::uint16_t i = 0; i < options.depth; ++i) {
        SIDECORE_TRY_ASSIGN(const NetLoadChain chain, NetLoadChain::create(memory, queue, options, header_bytes,
                                                                           header_bytes + frame_bytes, false));
        std::memset(chain.host(), 0, header_bytes);
        std::memcpy(chain.host() + header_bytes, frame.data(), frame.size());
        load.chain_of_head_[chain.head()] = i;
        load.idle_[i] = i;
        load.chains_.push_back(chain);
    }
    queue.suppress_calls();
    return load;
}

std::size_t NetTransmitLoad::reclaim() noexcept {
    std::array<Used, 64> used;
    std::size_t total = 0;
    // Bounded by the depth: nothing is offered meanwhile.
    while (const std::size_t count = queue_->reap(used)) {
        for (std::size_t i = 0; i < count; ++i) {
            idle_[idle_count_++] = chain_of_head_[used[i].head];
        }
        total += count;
    }
    return total;
}

NetReceiveLoad::NetReceiveLoad(DriverQueue& queue, std::uint64_t features, const NetLoadOptions& options)
    : queue_(&queue),
      header_bytes_(net_header_bytes(features)),
      merges_((features & feature_mask(net_feature_mrg_rxbuf)) != 0),
      rewrite_descriptors_(options.rewrite_descriptors),
      chain_of_head_(queue.size()) {}

Result<NetReceiveLoad> NetReceiveLoad::create(GuestMemoryFile& memory, DriverQueue& queue, std::uint64_t features,
                                              const NetLoadOptions& options) {
    NetReceiveLoad load(queue, features, options);
    const std::uint32_t bytes = options.buffer_bytes != 0 ? options.buffer_bytes : net_receive_bytes(features);
    if (options.depth == 0 || bytes <= load.header_bytes_) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{} buffers of {} bytes, header included", options.depth, bytes));
    }
    load.chains_.reserve(options.depth);
    for (std::uint16_t i = 0; i < options.depth; ++i) {
        SIDECORE_TRY_ASSIGN(const NetLoadChain chain,
                            NetLoadChain::create(memory, queue, options, load.header_bytes_, bytes, true));
        load.chain_of_head_[chain.head()] = i;
        load.chains_.push_back(chain);
        queue.offer(chain.head());
    }
    queue.suppress_calls();
    queue.publish();
    return load;
}

bool NetRequestResponse::start(std::uint64_t at, std::uint64_t now) noexcept {
    Slot& slot = slot_of(next_);
    if (slot.under_way || transmit_->idle() == 0) {
        return false;
    }
    slot = {.number = next_, .under_way = true, .at = at, .sent = now};
    store_big_endian(transmit_->next_frame().last(number_bytes), next_);
    ++next_;
    transmit_->send(1);
    return true;
}

std::optional<std::uint64_t> NetRequestResponse::answer(std::span<const std::byte> frame, std::uint64_t now) noexcept {
    if (frame.size() >= number_bytes) {
        const auto number = load_big_endian<std::uint32_t>(frame.last(number_bytes));
        if (Slot& slot = slot_of(number); slot.under_way && slot.number == number) {
            slot.under_way = false;
            ++responses_;
            return now - slot.at;
        }
    }
    ++strangers_;
    return std::nullopt;
}

void NetRequestResponse::give_up(std::uint64_t now) noexcept {
    for (; oldest_ != next_; ++oldest_) {
        Slot& slot = slot_of(oldest_);
        if (slot.under_way && slot.number == oldest_) {
            if (now - slot.sent <= patience_) {
                return;
            }
            slot.under_way = false;
            ++lost_;
        }
    }
}

std::optional<std::uint64_t> NetRequestResponse::turn(std::uint64_t now) noexcept {
    std::optional<std::uint64_t> took;
    take(now, [&](std::uint64_t time) { took = time; });
    if (oldest_ == next_) {
        start(now, now);
    }
    return took;
}

}  // namespace sidecore::frontend
