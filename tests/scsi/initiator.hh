// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <list>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "scsi/domain.hh"
#include "scsi/logical_unit.hh"
#include "scsi/sense.hh"
#include "scsi/task.hh"
#include "scsi/task_queue.hh"
#include "storage/fake_backend.hh"

namespace sidecore::scsi::test {

using Bytes = std::vector<std::byte>;

Bytes bytes(std::initializer_list<unsigned> values);
Bytes pattern(std::size_t count, std::uint64_t seed);
Bytes part(const Bytes& all, std::size_t from, std::size_t count);
/// The big-endian number there.
std::uint64_t number(const Bytes& all, std::size_t from, std::size_t count);

/// One command as an initiator sends it. data_out is cut into pieces of odd sizes on its way, and so is the room for data_in.
struct Request {
    Bytes cdb;
    Bytes data_out{};
    std::size_t data_in_bytes = 0;
    std::uint8_t target = 0;
    std::optional<Lun> lun = Lun(0);
    TaskAttribute attribute = TaskAttribute::simple;
    std::uint64_t tag = 0;
};

/// What came back.
struct Reply {
    Outcome outcome = Outcome::completed;
    Status status = Status::good;
    std::optional<Sense> sense{};  ///< read from the sense data, whatever its format
    Bytes sense_bytes{};
    Bytes data_in{};  ///< as much as was transferred
    std::uint64_t transferred_bytes = 0;

    bool good() const noexcept { return outcome == Outcome::completed && status == Status::good; }
    SenseKey key() const noexcept { return sense ? sense->key : SenseKey::no_sense; }
    AdditionalSense code() const noexcept { return sense ? sense->code : AdditionalSense::none; }
};

/// For messages of failed expectations: "CHECK CONDITION 5/2400".
std::ostream& operator<<(std::ostream& out, const Reply& reply);

/// Whether a reply is CHECK CONDITION with this.
bool failed_with(const Reply& reply, SenseKey key, AdditionalSense code);

/// ILLEGAL REQUEST, INVALID FIELD IN CDB at this byte, and at this bit if one is given.
bool field_refused(const Reply& reply, std::uint16_t byte, std::optional<std::uint8_t> bit = {});

/// Likewise INVALID FIELD IN PARAMETER LIST.
bool parameter_refused(const Reply& reply, std::uint16_t byte, std::optional<std::uint8_t> bit = {});

/// An initiator with a domain and a task queue of its own, all on one thread: no virtio, no worker.
class Initiator {
public:
    explicit Initiator(const std::string& name = "initiator", std::uint32_t depth = 64);
    ~Initiator();

    Domain& domain() noexcept { return *domain_; }
    TaskQueue& queue() noexcept { return *queue_; }

    /// Adds the unit and takes the unit attention that comes with it.
    void add(const std::shared_ptr<LogicalUnit>& unit, std::uint8_t target = 0, Lun lun = Lun(0));

    /// Sends a command and waits for its end: 10 s at most, then it throws.
    Reply run(const Request& request);
    Reply run(Bytes cdb, std::size_t data_in_bytes = 0) { return run(Request{std::move(cdb), {}, data_in_bytes}); }
    Reply run(Bytes cdb, Bytes data_out) { return run(Request{std::move(cdb), std::move(data_out)}); }

    /// Sends and does not wait. A number for finished() and take().
    std::uint64_t send(const Request& request);

    /// What a worker would do now: attends, reaps, settles.
    void work();
    bool finished(std::uint64_t number);
    Reply take(std::uint64_t number);  ///< waits likewise

    /// The unit attention that is reported to a TEST UNIT READY; none: it went well.
    std::optional<AdditionalSense> attention(std::uint8_t target = 0, Lun lun = Lun(0));

private:
    struct Sent;

    std::unique_ptr<Domain> domain_;
    std::unique_ptr<TaskQueue> queue_;
    std::list<std::unique_ptr<Sent>> sent_;
    std::uint64_t next_number_ = 0;
};

/// A fake disk as a logical unit.
struct FakeUnit {
    explicit FakeUnit(std::uint64_t capacity_bytes = 8U << 20U, LogicalUnit::Options options = {});
    explicit FakeUnit(storage::BlockGeometry geometry, LogicalUnit::Options options = {});

    std::shared_ptr<storage::FakeDisk> disk;
    std::shared_ptr<LogicalUnit> unit;
};

// CDBs.
Bytes test_unit_ready();
Bytes read_10(std::uint32_t lba, std::uint16_t blocks, std::uint8_t flags = 0);
Bytes write_10(std::uint32_t lba, std::uint16_t blocks, std::uint8_t flags = 0);

}  // namespace sidecore::scsi::test
