// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/block_backend.hh"

namespace sidecore::storage {

/// What befalls a request.
enum class FaultAction : std::uint8_t {
    fail,            ///< moves nothing; the result is -error
    short_transfer,  ///< moves the first transfer_bytes of a read or write, then fails with -error: a torn write
    hold,            ///< waits for FakeDisk::release(), in whatever order that comes, or until it is cancelled
    hold_fast,       ///< waits for FakeDisk::release(), cancelled or not
    delay,           ///< finishes delay_ns later
};

/// A rule for requests to come. A request meets the oldest rule that matches it and is not used up.
struct Fault {
    FaultAction action = FaultAction::fail;
    int error = EIO;  ///< positive errno
    std::uint64_t transfer_bytes = 0;
    std::uint64_t delay_ns = 0;

    std::optional<BlockOperation> operation{};  ///< only these
    std::uint64_t from_bytes = 0;               ///< only those that touch [from_bytes, to_bytes)
    std::uint64_t to_bytes = UINT64_MAX;        ///< (a flush touches everything)
    std::uint64_t skip = 0;                     ///< lets so many that match pass first
    std::uint64_t times = UINT64_MAX;           ///< then is good for so many
};

/// A request as it was submitted.
struct SeenRequest {
    BlockOperation operation = BlockOperation::read;
    bool durable = false;
    std::uint64_t offset_bytes = 0;
    std::uint64_t length_bytes = 0;
    std::size_t segment_count = 0;
    std::size_t batch = 0;  ///< number of the submit() call that it came with, from 0

    friend bool operator==(const SeenRequest&, const SeenRequest&) = default;
};

/// The storage back-end of tests: a disk in memory whose requests can be failed, torn, held back, reordered and delayed
/// from outside, while a worker uses it.
///
/// FakeDisk is the test's handle; open() gives the BlockBackend to hand to whatever is tested. The contents outlive
/// back-ends, as a disk's do. A request takes effect when it finishes: a held write is not in contents() yet, and
/// requests released in another order take effect in that order.
///
/// Thread: any, at any time.
class FakeDisk : public std::enable_shared_from_this<FakeDisk> {
public:
    /// capacity_bytes must be set, all else has defaults that let everything through.
    static std::shared_ptr<FakeDisk> create(BlockGeometry geometry);

    /// A writable disk of so many bytes.
    static std::shared_ptr<FakeDisk> create(std::uint64_t capacity_bytes);

    std::unique_ptr<BlockBackend> open();

    // Faults.
    void add_fault(Fault fault);
    void clear_faults();  ///< those held stay held
    void fail_next_open_queue(int error);
    void fail_next_resize(int error);

    // Held requests, numbered from 0 in the order of submission; a release closes the gap.
    std::vector<SeenRequest> held() const;
    void release(std::size_t index, int error = 0);  ///< error: a positive errno to finish with instead
    void release_all();                              ///< in order of submission
    void release_all_reversed();

    // What has happened.
    std::vector<SeenRequest> seen() const;
    std::size_t batch_count() const;
    std::size_t open_queue_count() const;
    bool wait_until_held(std::size_t count, std::chrono::milliseconds limit = std::chrono::seconds(10));
    bool wait_until_seen(std::size_t count, std::chrono::milliseconds limit = std::chrono::seconds(10));

    // The contents.
    std::vector<std::byte> contents(std::uint64_t offset_bytes, std::uint64_t length_bytes) const;
    void set_contents(std::uint64_t offset_bytes, std::span<const std::byte> bytes);

    /// A part that allocated_run() says has no space; whatever is written to it.
    void add_hole(std::uint64_t offset_bytes, std::uint64_t length_bytes);

private:
    friend class FakeBackend;
    friend class FakeQueue;
    struct Held {
        class FakeQueue* queue = nullptr;
        BlockRequest* request = nullptr;
        SeenRequest seen;
        bool fast = false;
    };
    struct ActiveFault {
        Fault fault;
        std::uint64_t matched = 0;
    };

    explicit FakeDisk(BlockGeometry geometry);

    std::optional<Fault> meet_fault(const BlockRequest& request);
    void take_effect(BlockRequest& request, std::uint64_t bytes_max);
    void finish_held(std::list<Held>::iterator position, int error);

    mutable std::mutex mutex_;  // guards all below and the queues
    std::condition_variable changed_;
    BlockGeometry geometry_;
    std::vector<std::byte> contents_;
    std::list<ActiveFault> faults_;
    std::list<Held> held_;
    std::map<std::uint64_t, std::uint64_t> holes_;  // where each begins and ends
    std::vector<SeenRequest> seen_;
    std::size_t batch_count_ = 0;
    std::size_t open_queue_count_ = 0;
    int open_queue_error_ = 0;
    int resize_error_ = 0;
};

}  // namespace sidecore::storage
