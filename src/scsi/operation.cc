// SPDX-License-Identifier: Apache-2.0
#include "scsi/operation.hh"

#include <algorithm>
#include <cerrno>
#include <new>

#include "base/big_endian.hh"
#include "base/pieces.hh"
#include "scsi/logical_unit.hh"
#include "scsi/task_queue.hh"

namespace sidecore::scsi {

using storage::BlockOperation;

std::uint64_t Operation::field(std::size_t at, std::size_t bytes) const noexcept {
    return load_big_endian(std::span(cdb_).subspan(at, bytes));
}

Progress Operation::end(Status status) noexcept {
    task_->status = status;
    return Progress::done;
}

Progress Operation::fail(const Sense& sense) noexcept {
    task_->sense = SenseData(sense, unit_ == nullptr ? SenseFormat::fixed : unit_->sense_format());
    return end(Status::check_condition);
}

Progress Operation::invalid_field(std::uint16_t byte, std::optional<std::uint8_t> bit) noexcept {
    Sense sense{SenseKey::illegal_request, AdditionalSense::invalid_field_in_cdb};
    sense.field = FieldPointer{true, byte, bit};
    return fail(sense);
}

Progress Operation::invalid_parameter(std::uint16_t byte, std::optional<std::uint8_t> bit) noexcept {
    Sense sense{SenseKey::illegal_request, AdditionalSense::invalid_field_in_parameter_list};
    sense.field = FieldPointer{false, byte, bit};
    return fail(sense);
}

Progress Operation::overrun() noexcept {
    task_->outcome = Outcome::overrun;
    return Progress::done;
}

/// What the error counter log pages tell.
void Operation::count_error() noexcept {
    ErrorCounters& counters = unit_->error_counters();
    const unsigned kind = command_->opcode & 0x1fU;  // of VERIFY and WRITE AND VERIFY, whatever their length
    auto& counter = operation != BlockOperation::read ? counters.write
                    : kind == 0x0eU || kind == 0x0fU  ? counters.verify
                                                      : counters.read;
    counter.fetch_add(1, std::memory_order_relaxed);
}

Progress Operation::storage_failed() noexcept {
    const bool reading = operation == BlockOperation::read;
    switch (-result) {
        case EROFS:
            return fail(SenseKey::data_protect, AdditionalSense::write_protected);
        case ENOSPC:
        case EDQUOT:
            return fail(SenseKey::data_protect, AdditionalSense::space_allocation_failed);
        case ENOMEM:
        case EAGAIN:
            return end(Status::busy);
        case EIO: {
            count_error();
            Sense sense{SenseKey::medium_error,
                        reading ? AdditionalSense::unrecovered_read_error : AdditionalSense::write_error};
            if (reading) {
                sense.information = offset_bytes / unit_->block_bytes();
            }
            return fail(sense);
        }
        default:
            return fail(SenseKey::hardware_error, AdditionalSense::internal_target_failure);
    }
}

Progress Operation::reply(std::span<const std::byte> data, std::uint64_t allocation_length) noexcept {
    const auto sent = data.first(static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), allocation_length)));
    if (sent.size() > task_->data_in_bytes) {
        return overrun();
    }
    task_->transferred_bytes = put_front(task_->data_in, sent);
    return good();
}

bool Operation::take_parameters(std::span<std::byte> out) noexcept {
    if (take_front(task_->data_out, out) != out.size()) {
        return false;
    }
    task_->transferred_bytes += out.size();
    return true;
}

Progress Operation::ask(BlockOperation what, std::uint64_t offset, std::uint64_t length, bool stable) noexcept {
    operation = what;
    offset_bytes = offset;
    length_bytes = length;
    durable = stable;
    segments = {};
    return Progress::storage;
}

Progress Operation::read(std::uint64_t offset, std::uint64_t length, std::span<iovec> pieces) noexcept {
    ask(BlockOperation::read, offset, length);
    segments = pieces;
    return Progress::storage;
}

Progress Operation::write(std::uint64_t offset, std::uint64_t length, std::span<iovec> pieces, bool stable) noexcept {
    ask(BlockOperation::write, offset, length, stable);
    segments = pieces;
    return Progress::storage;
}

Progress Operation::read(std::uint64_t offset, std::span<std::byte> host) noexcept {
    single_ = {host.data(), host.size()};
    return read(offset, host.size(), std::span(&single_, 1));
}

Progress Operation::write(std::uint64_t offset, std::span<std::byte> host, bool stable) noexcept {
    single_ = {host.data(), host.size()};
    return write(offset, host.size(), std::span(&single_, 1), stable);
}

std::span<std::byte> Operation::buffer(std::size_t bytes) noexcept {
    if (buffer_bytes_ < bytes) {
        // Few commands need any, none of those that make up a load; what they need differs by a factor of a thousand.
        buffer_.reset(new (std::nothrow) std::byte[bytes]);
        buffer_bytes_ = buffer_ == nullptr ? 0 : bytes;
    }
    return {buffer_.get(), buffer_bytes_ < bytes ? 0 : bytes};
}

bool Operation::have_alone(const MediumRange& range) {
    if (exclusion != nullptr) {
        return exclusion->settled();
    }
    exclusion = unit_->exclusions().take(range, waker());
    if (exclusion != nullptr) {
        // The task may have been aborted by then.
        unit_->settle_changes(range, [hold = std::weak_ptr(exclusion), wake = waker()] {
            if (const auto still = hold.lock()) {
                still->set_settled();
            }
            wake();
        });
    }
    return false;
}

bool Operation::use_storage_of(const Nexus& nexus) noexcept {
    TaskPort* const port = queue_->find_port(nexus.target(), nexus.lun());
    if (port == nullptr || port->nexus.get() != &nexus) {
        return false;
    }
    queue_->set_storage_port(*this, port);
    return true;
}

std::function<void()> Operation::waker() {
    return [mailbox = queue_->mailbox_, wake = TaskQueue::Wake{this, generation_}] {
        const std::lock_guard lock(mailbox->mutex);
        mailbox->wakes.push_back(wake);
        mailbox->notify();
    };
}

}  // namespace sidecore::scsi
