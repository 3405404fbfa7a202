// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <sys/uio.h>

#include "base/error.hh"
#include "base/fd.hh"

namespace sidecore::capture {

/// Which way a packet goes, as its guest sees it. The numbers are pcapng's.
enum class Direction : std::uint8_t { in = 1, out = 2 };

/// A packet that was captured, without its bytes.
struct Record {
    std::uint64_t time_ns = 0;         ///< since 1970
    std::uint32_t packet_bytes = 0;    ///< that the packet has
    std::uint32_t captured_bytes = 0;  ///< of these, from the front, were kept
    std::uint32_t queue = 0;           ///< the queue pair that it went through
    Direction direction = Direction::in;

    friend bool operator==(const Record&, const Record&) = default;
};

/// A bounded queue of captured packets: many producers that never wait, one consumer, no lock. It differs from network::PacketRing in what
/// it is there for: the memory that it copies may be changed by a guest at the same time, and the consumer is woken up by how full it is.
///
/// Thread: push() and wake() from any thread; the rest from one thread at a time.
///
/// Invariants:
///  1. Records come out in the order in which their room was reserved. One whose producer is still copying holds up those behind it.
///  2. consumed_ <= reserved_ <= consumed_ + granules. Both count granules, run freely, and never go back.
///  3. committed_ of a granule is true but from the commit of the record that begins there to that record's pop(), and only there.
class RecordRing {
public:
    /// Room is given in units of so many bytes: a cache line, which no two records share.
    static constexpr std::size_t granule_bytes = 64;
    static constexpr std::size_t bytes_min = std::size_t{4} << 10U;
    static constexpr std::size_t bytes_max = std::size_t{1} << 30U;

    /// How full it is to be before the consumer is woken up.
    enum class Level : std::uint8_t { any, half };

    /// `bytes`: bytes_min to bytes_max; rounded up to a power of two. They are touched, so that producers find no page missing.
    static Result<std::unique_ptr<RecordRing>> create(std::size_t bytes);

    RecordRing(const RecordRing&) = delete;
    RecordRing& operator=(const RecordRing&) = delete;
    ~RecordRing() = default;

    /// Copies the first record.captured_bytes of `data`, which has as many or more. False: no room now. The memory of `data` may be a
    /// guest's.
    bool push(const Record& record, std::span<const iovec> data) noexcept;

    /// After push()es, as many as there are at a time: wakes the consumer up if it waits for that much.
    void wake() noexcept;

    /// The record that pop() takes, if there is one.
    std::optional<Record> front() const noexcept;

    /// Takes the front record out and copies its bytes to `out`, which has room for its captured_bytes.
    void pop(std::span<std::byte> out) noexcept;

    /// Asks for fd() to be signalled as soon as it is `level` full, then looks again. True: it is not, and fd() will be signalled.
    bool arm(Level level) noexcept;

    /// A non-blocking eventfd. It may be signalled once although nobody has asked.
    int fd() const noexcept { return event_.get(); }

    /// Signals fd() for a reason of the caller's. Any thread.
    void signal() noexcept { signal_eventfd(event_.get()); }

private:
    RecordRing(std::size_t granules, Fd event);

    static std::uint64_t granules_of(std::uint32_t captured_bytes) noexcept {
        return (sizeof(Record) + std::uint64_t{captured_bytes} + granule_bytes - 1) / granule_bytes;
    }
    std::size_t index(std::uint64_t granule) const noexcept { return static_cast<std::size_t>(granule) & mask_; }
    std::size_t size() const noexcept { return (mask_ + 1) * granule_bytes; }
    std::uint64_t used() const noexcept;
    void copy_in(std::size_t at, std::uint32_t bytes, std::span<const iovec> data) noexcept;

    static constexpr std::uint64_t nothing_wanted = UINT64_MAX;

    struct Aligned {
        void operator()(std::byte* memory) const noexcept {
            ::operator delete[](memory, std::align_val_t{granule_bytes});
        }
    };

    const std::size_t mask_;  // granules - 1
    const std::unique_ptr<std::atomic<bool>[]> committed_;
    const std::unique_ptr<std::byte[], Aligned> data_;
    const Fd event_;

    alignas(64) std::atomic<std::uint64_t> reserved_{0};  // producers: granules given away so far
    alignas(64) std::atomic<std::uint64_t> consumed_{0};  // consumer: granules given back so far
    alignas(64) std::atomic<std::uint64_t> wanted_{
        nothing_wanted};  // granules in use at which the consumer is to be woken up
};

}  // namespace sidecore::capture
