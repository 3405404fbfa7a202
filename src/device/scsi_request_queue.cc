// SPDX-License-Identifier: Apache-2.0
#include "device/scsi_request_queue.hh"

#include <algorithm>
#include <bit>

#include "base/clock.hh"
#include "base/pieces.hh"
#include "base/prefetch.hh"
#include "device/scsi_address.hh"

namespace sidecore::device {

using scsi_host::Response;
using scsi_host::ResponseHeader;

namespace {

/// Cases of QueueFault::Kind::bad_request.
constexpr std::uint64_t no_room_for_response = 1;
constexpr std::uint64_t no_header = 2;

/// Rings that may be emptied for those who manage tasks before the queue has a turn. With it goes the promise to find every request: only who has
/// sent as many without a pause does without.
constexpr std::uint32_t attentions_per_turn = 64;

Response response_to(scsi::Outcome outcome) noexcept {
    switch (outcome) {
        case scsi::Outcome::completed:
            return Response::ok;
        case scsi::Outcome::overrun:
            return Response::overrun;
        case scsi::Outcome::aborted:
            return Response::aborted;
        case scsi::Outcome::reset:
            return Response::reset;
        case scsi::Outcome::no_target:
            return Response::bad_target;
    }
    return Response::failure;
}

std::uint64_t task_tag(const scsi_host::RequestHeader& header) noexcept {
    return std::bit_cast<LittleEndian<std::uint64_t>>(header.id);
}

}  // namespace

Result<std::unique_ptr<ScsiRequestQueue>> ScsiRequestQueue::create(std::string name, virtqueue::SplitQueue ring,
                                                                   Notifiers notifiers, const ScsiChoices& choices,
                                                                   scsi::Domain& domain) {
    SIDECORE_TRY_ASSIGN(auto tasks, domain.open_queue(ring.size()));
    return std::unique_ptr<ScsiRequestQueue>(
        new ScsiRequestQueue(std::move(name), std::move(ring), std::move(notifiers), choices, std::move(tasks)));
}

ScsiRequestQueue::ScsiRequestQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers,
                                   const ScsiChoices& choices, std::unique_ptr<scsi::TaskQueue> tasks)
    : DeviceQueue(std::move(name), std::move(ring), std::move(notifiers)),
      choices_(choices),
      tasks_(std::move(tasks)),
      slot_count_(ring_.size()),
      free_count_(slot_count_),
      free_(std::make_unique<Slot*[]>(slot_count_)),
      slots_(std::make_unique<Slot[]>(slot_count_)),
      segments_(std::make_unique_for_overwrite<iovec[]>(slot_count_ * segments_per_slot)),
      responses_(std::make_unique_for_overwrite<iovec[]>(slot_count_ * response_bytes_max)) {
    for (std::uint32_t i = 0; i < slot_count_; ++i) {
        free_[i] = &slots_[slot_count_ - 1 - i];
    }
    tasks_->rest();  // until a worker comes
}

void ScsiRequestQueue::entered() noexcept {
    tasks_->go_on();
    if (!tasks_->wants_attention()) {
        return;
    }
    // Before the first turn: what was aborted in the meantime must not begin in it.
    attend();
    finish(elsewhere_);
    tasks_->settle();
}

void ScsiRequestQueue::left() noexcept {
    if (in_flight() == 0) {
        tasks_->rest();
    }
}

std::span<iovec> ScsiRequestQueue::segments_of(const Slot& slot) noexcept {
    const auto index = static_cast<std::size_t>(&slot - slots_.get());
    return {segments_.get() + index * segments_per_slot, segments_per_slot};
}

std::span<iovec> ScsiRequestQueue::response_of(const Slot& slot) noexcept {
    const auto index = static_cast<std::size_t>(&slot - slots_.get());
    return {responses_.get() + index * response_bytes_max, response_bytes_max};
}

engine::Turn ScsiRequestQueue::serve(std::uint32_t budget) noexcept {
    engine::Turn turn;
    taken_since_turn_ = 0;
    ring_.check_memory();
    while (!ring_.broken()) {
        const std::uint16_t available = ring_.available();
        if (available == 0) {
            break;
        }
        if (turn.requests == budget) {
            turn.end = engine::TurnEnd::budget;
            break;
        }
        const std::uint32_t count = take(std::min<std::uint32_t>(available, budget - turn.requests), turn);
        turn.requests += count;
        finish(turn);
        end_batch(count);
    }
    ring_.check_memory();  // zero pages in the place of lost ones look like an idle ring, too
    if (ring_.broken()) {
        turn.end = engine::TurnEnd::broken;
        report_broken();
    }
    return turn;
}

/// Shows the driver what is done.
void ScsiRequestQueue::finish(engine::Turn& turn) noexcept {
    reap_tasks();
    record_completions();
    turn.completed += std::exchange(completed_, 0);
    turn.calls += publish();
}

/// Takes up to `limit` chains, which are available, through all stages together, so that the guest's cache lines arrive while others are worked on.
std::uint32_t ScsiRequestQueue::take(std::uint32_t limit, engine::Turn& turn) noexcept {
    std::array<virtqueue::DescriptorChain, batch_size> chains;
    std::array<Slot*, batch_size> taken;
    std::array<scsi::Task*, batch_size> batch;
    limit = std::min({limit, batch_size, static_cast<std::uint32_t>(free_count_)});
    const std::uint64_t now = cycles();
    ring_.prefetch(static_cast<std::uint16_t>(limit));
    for (std::uint32_t i = 0; i < limit; ++i) {
        Slot* const slot = free_[free_count_ - 1];
        if (ring_.pop(segments_of(*slot), chains[i]) != virtqueue::PopResult::chain) {
            // Broken: what this batch has popped was not started and goes back.
            free_count_ += i;
            return 0;
        }
        --free_count_;
        taken[i] = slot;
        if (!chains[i].readable.empty()) {
            __builtin_prefetch(chains[i].readable.front().iov_base);
        }
        if (!chains[i].writable.empty()) {
            prefetch_for_writing(chains[i].writable.front().iov_base);
        }
    }
    const std::uint32_t first_part = begin_batch(now, limit);
    std::size_t batched = 0;
    for (std::uint32_t i = 0; i < limit; ++i) {
        if (i == first_part) {
            tasks_->submit(std::span(batch).first(std::exchange(batched, 0)));
            finish(turn);
        }
        if (ring_.broken()) {  // by one before: nobody would learn of what is done now
            free_[free_count_++] = taken[i];
            continue;
        }
        taken[i]->head = chains[i].head;
        taken[i]->taken_at = now;
        if (start(*taken[i], chains[i], turn)) {
            batch[batched++] = taken[i];
        }
    }
    tasks_->submit(std::span(batch).first(batched));
    return limit;
}

/// From a chain to a task. False: there is none, since the request is wrong.
bool ScsiRequestQueue::start(Slot& slot, virtqueue::DescriptorChain& chain, engine::Turn& turn) noexcept {
    const auto refuse = [&](std::uint64_t fault) {
        ring_.break_with({virtqueue::QueueFault::Kind::bad_request, chain.head, fault, 0});
        free_[free_count_++] = &slot;
        return false;
    };
    const std::uint32_t cdb_size = choices_.cdb.load(std::memory_order_relaxed);
    slot.sense_size = choices_.sense.load(std::memory_order_relaxed);
    const std::size_t response_bytes = sizeof(ResponseHeader) + slot.sense_size;
    if (chain.writable_bytes < response_bytes) {
        return refuse(no_room_for_response);
    }
    if (chain.readable_bytes < sizeof(scsi_host::RequestHeader) + cdb_size) {
        return refuse(no_header);
    }
    std::array<std::byte, sizeof(scsi_host::RequestHeader)> bytes;
    take_front(chain.readable, bytes);
    const auto header = std::bit_cast<scsi_host::RequestHeader>(bytes);
    const std::size_t cdb_bytes = std::min<std::size_t>(cdb_size, slot.cdb_copy.size());
    take_front(chain.readable, std::span(slot.cdb_copy).first(cdb_bytes));
    skip_front(chain.readable, cdb_size - cdb_bytes);
    slot.response_pieces = static_cast<std::uint16_t>(split_front(chain.writable, response_bytes, response_of(slot)));

    slot.cdb = std::span(slot.cdb_copy).first(cdb_bytes);
    slot.data_out = chain.readable;
    slot.data_in = chain.writable;
    slot.data_out_bytes = chain.readable_bytes - sizeof header - cdb_size;
    slot.data_in_bytes = chain.writable_bytes - response_bytes;
    slot.tag = task_tag(header);
    turn.bytes += slot.data_out_bytes + slot.data_in_bytes;

    const auto address = address_of(header.lun);
    const bool too_much = slot.data_out_bytes != 0 && slot.data_in_bytes != 0 &&
                          !choices_.both_directions.load(std::memory_order_relaxed);
    if (!address || too_much || header.task_attribute > static_cast<std::uint8_t>(scsi::TaskAttribute::aca)) {
        slot.transferred_bytes = 0;
        slot.sense = {};
        slot.status = scsi::Status::good;
        complete(slot, address ? Response::failure : Response::bad_target);
        return false;
    }
    slot.target = address->target;
    slot.lun = address->lun;
    slot.attribute = static_cast<scsi::TaskAttribute>(header.task_attribute);
    return true;
}

void ScsiRequestQueue::reap_tasks() noexcept {
    std::array<scsi::Task*, batch_size> ended;
    while (const std::size_t count = tasks_->reap(ended)) {
        for (scsi::Task* task : std::span(ended).first(count)) {
            complete(static_cast<Slot&>(*task), response_to(task->outcome));
        }
    }
}

/// Somebody wants tasks to end. Those of requests that lie in the ring by now may be among them; there are no more than it has room for, whatever a
/// driver adds meanwhile. And one that does not stop to manage tasks must not keep a queue from being stopped, which gets no turn any more.
void ScsiRequestQueue::attend() noexcept {
    ring_.check_memory();
    for (std::uint32_t taken = 0; taken < ring_.size() && taken_since_turn_ < attentions_per_turn * ring_.size();) {
        const std::uint32_t available = ring_.available();
        const std::uint32_t count = available == 0 ? 0 : take(available, elsewhere_);
        if (count == 0) {
            break;
        }
        taken += count;
        taken_since_turn_ += count;
        elsewhere_.requests += count;
        reap_tasks();
    }
    tasks_->attend();
}

engine::Reaped ScsiRequestQueue::reap() noexcept {
    engine::Reaped reaped;
    if (tasks_->wants_attention()) {
        attend();
    }
    reap_tasks();
    record_completions();
    reaped.requests = std::exchange(completed_, 0);
    reaped.calls = publish();
    // Those who wait for the end of tasks hear of it when the driver can see it.
    tasks_->settle();
    if (ring_.broken()) {
        report_broken();
    }
    return reaped;
}

void ScsiRequestQueue::complete(Slot& slot, Response response) noexcept {
    const auto sense = slot.sense.bytes().first(std::min<std::size_t>(slot.sense.bytes().size(), slot.sense_size));
    ResponseHeader header{};
    header.sense_length = static_cast<std::uint32_t>(sense.size());
    const std::uint64_t residual = slot.data_out_bytes + slot.data_in_bytes - slot.transferred_bytes;
    header.residual = static_cast<std::uint32_t>(std::min<std::uint64_t>(residual, UINT32_MAX));
    header.status = static_cast<std::uint8_t>(slot.status);
    header.response = response;

    std::span<iovec> place = response_of(slot).first(slot.response_pieces);
    put_front(place, std::as_bytes(std::span(&header, 1)));
    std::size_t used = sizeof header + sense.size();
    put_front(place, sense);
    // 2.7.8.2: all bytes up to the used length have been written, those between the sense data and data-in among them.
    if (response == Response::ok && slot.transferred_in && slot.transferred_bytes != 0) {
        static constexpr std::array<std::byte, ScsiChoices::sense_max> zeroes{};
        put_front(place, std::span(zeroes).first(slot.sense_size - sense.size()));
        used = sizeof header + slot.sense_size + slot.transferred_bytes;
    }
    ring_.push(slot.head, static_cast<std::uint32_t>(used));
    free_[free_count_++] = &slot;
    ++completed_;
    count_completion(slot.taken_at);
}

}  // namespace sidecore::device
