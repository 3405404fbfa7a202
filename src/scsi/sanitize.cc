// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include "base/big_endian.hh"
#include "base/log.hh"
#include "scsi/block_functions.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/sanitize_check.hh"
#include "scsi/sanitizer.hh"

namespace sidecore::scsi {

namespace {

// What operation.position says.
enum : std::uint64_t { beginning, settling, working };

constexpr std::size_t overwrite_header_bytes = 4;

Progress sanitize_failed(Operation& operation) noexcept {
    return operation.fail(SenseKey::medium_error, AdditionalSense::sanitize_command_failed);
}

/// The whole medium, up to any end that it may get meanwhile.
constexpr MediumRange everything{0, UINT64_MAX};

/// Waits until it may begin, and, but with IMMED, until it has ended. `job`: without its hold, looked at once the medium is settled.
template <typename MakeJob>
Progress carry_out(Operation& operation, MakeJob make_job) {
    LogicalUnit& unit = operation.unit();
    if (operation.position == working) {
        if (unit.sanitizing.load(std::memory_order_acquire)) {
            return Progress::waiting;
        }
        return unit.sanitize_failed.load(std::memory_order_acquire) == SanitizeFailure::none
                   ? operation.good()
                   : sanitize_failed(operation);
    }
    if (fails_while_sanitizing(operation)) {
        return Progress::done;
    }
    operation.position = settling;
    if (!operation.have_alone(everything)) {
        return Progress::waiting;
    }
    SanitizeJob job = make_job();
    job.unrestricted = operation.bit(1, 5);
    job.hold = operation.exclusion;
    const auto hold = std::exchange(operation.exclusion, nullptr);
    if (const auto started = unit.sanitizer().start(std::move(job), operation.waker()); !started) {
        spdlog::error("{}: {}", unit.options().name, started.error().message);
        return operation.end(Status::busy);
    }
    hold->wake_others();  // requests of tasks that have begun before are to fail now, and not to wait for hours
    if (operation.bit(1, 7)) {
        return operation.good();
    }
    operation.position = working;
    return Progress::waiting;
}

/// Whether a service action may begin at all (SBC-3 5.19.1). Progress::done: it may not.
Progress admit_sanitize(Operation& operation) noexcept {
    if (operation.unit().stopped.load(std::memory_order_acquire)) {
        return operation.fail(SenseKey::not_ready, AdditionalSense::initializing_command_required);
    }
    return Progress::storage;
}

}  // namespace

/// SANITIZE, OVERWRITE (SBC-3 5.19.2)
Progress sanitize_overwrite(Operation& operation) noexcept {
    const std::size_t block = operation.unit().block_bytes();
    const std::uint64_t length = operation.field(7, 2);
    if (operation.position == beginning) {
        if (admit_sanitize(operation) == Progress::done) {
            return Progress::done;
        }
        if (length <= overwrite_header_bytes || length > overwrite_header_bytes + block) {
            return operation.invalid_field(7);
        }
        if (length > operation.task().data_out_bytes) {
            return operation.overrun();
        }
        const auto list = operation.buffer(static_cast<std::size_t>(length));
        if (list.empty()) {
            return operation.end(Status::busy);
        }
        operation.take_parameters(list);
        const auto flags = std::to_integer<unsigned>(list[0]);
        if ((flags & 0x60U) != 0) {
            return operation.invalid_parameter(0, 6);  // TEST
        }
        if ((flags & 0x1fU) == 0) {
            return operation.invalid_parameter(0, 4);  // OVERWRITE COUNT
        }
        if (list[1] != std::byte{0}) {
            return operation.invalid_parameter(1);
        }
        const auto pattern_bytes = load_big_endian<std::uint16_t>(list.subspan(2, 2));
        if (pattern_bytes == 0 || pattern_bytes != length - overwrite_header_bytes) {
            return operation.invalid_parameter(2);
        }
    }
    const auto list = operation.buffer(static_cast<std::size_t>(length));
    return carry_out(operation, [&] {
        SanitizeJob job;
        const auto flags = std::to_integer<unsigned>(list[0]);
        job.passes = flags & 0x1fU;
        job.invert = (flags & 0x80U) != 0;
        // Each logical block begins with the pattern, which is repeated in it and cut off at its end.
        job.pattern.resize(block);
        for (std::size_t i = 0; i < block; ++i) {
            job.pattern[i] = list[overwrite_header_bytes + i % (list.size() - overwrite_header_bytes)];
        }
        return job;
    });
}

/// SANITIZE, BLOCK ERASE (SBC-3 5.19.3): as zeroes, and without space where the storage can give it back.
Progress sanitize_block_erase(Operation& operation) noexcept {
    if (operation.position == beginning) {
        if (admit_sanitize(operation) == Progress::done) {
            return Progress::done;
        }
        if (operation.field(7, 2) != 0) {
            return operation.invalid_field(7);
        }
    }
    return carry_out(operation, [] { return SanitizeJob{}; });
}

/// SANITIZE, EXIT FAILURE MODE (SBC-3 5.19.5)
Progress exit_failure_mode(Operation& operation) noexcept {
    LogicalUnit& unit = operation.unit();
    if (operation.field(7, 2) != 0) {
        return operation.invalid_field(7);
    }
    if (fails_while_sanitizing(operation)) {
        return Progress::done;
    }
    auto expected = SanitizeFailure::unrestricted;
    if (!unit.sanitize_failed.compare_exchange_strong(expected, SanitizeFailure::none) &&
        expected == SanitizeFailure::restricted) {
        return operation.invalid_field(1, 4);
    }
    return operation.good();
}

}  // namespace sidecore::scsi
