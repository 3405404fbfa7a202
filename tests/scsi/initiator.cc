// SPDX-License-Identifier: Apache-2.0
#include "scsi/initiator.hh"

#include <algorithm>
#include <array>
#include <chrono>
#include <poll.h>
#include <stdexcept>
#include <utility>

#include "base/big_endian.hh"
#include "base/format.hh"

namespace sidecore::scsi::test {

Bytes bytes(std::initializer_list<unsigned> values) {
    Bytes out;
    for (const unsigned value : values) {
        out.push_back(static_cast<std::byte>(value));
    }
    return out;
}

Bytes pattern(std::size_t count, std::uint64_t seed) {
    Bytes out(count);
    std::uint64_t state = seed * 2 + 1;
    for (std::byte& byte : out) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        byte = static_cast<std::byte>(state >> 56U);
    }
    return out;
}

Bytes part(const Bytes& all, std::size_t from, std::size_t count) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(from);
    return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

std::uint64_t number(const Bytes& all, std::size_t from, std::size_t count) {
    return load_big_endian(std::span(all).subspan(from, count));
}

std::ostream& operator<<(std::ostream& out, const Reply& reply) {
    return out << fmt::format("outcome {}, status {:02x}, sense {:x}/{:04x}, {} bytes", static_cast<int>(reply.outcome),
                              static_cast<unsigned>(reply.status), static_cast<unsigned>(reply.key()),
                              static_cast<unsigned>(reply.code()), reply.transferred_bytes);
}

bool failed_with(const Reply& reply, SenseKey key, AdditionalSense code) {
    return reply.outcome == Outcome::completed && reply.status == Status::check_condition && reply.key() == key &&
           reply.code() == code;
}

namespace {

bool points_at(const Reply& reply, bool in_cdb, std::uint16_t byte, std::optional<std::uint8_t> bit) {
    return reply.sense && reply.sense->field && reply.sense->field->in_cdb == in_cdb &&
           reply.sense->field->byte == byte && (!bit || reply.sense->field->bit == bit);
}

/// Memory of its own for some bytes, cut into pieces; each is a separate allocation, so that going beyond it is seen.
class Pieces {
public:
    explicit Pieces(std::size_t count) {
        static constexpr std::array<std::size_t, 6> lengths{512, 1, 511, 4096, 7, 3000};
        for (std::size_t i = 0; count != 0; ++i) {
            const std::size_t length = std::min(count, lengths[i % lengths.size()]);
            memory_.emplace_back(length);
            count -= length;
        }
        for (Bytes& piece : memory_) {
            iovecs_.push_back({piece.data(), piece.size()});
        }
    }

    void fill(const Bytes& data) {
        std::size_t from = 0;
        for (Bytes& piece : memory_) {
            std::ranges::copy(part(data, from, piece.size()), piece.begin());
            from += piece.size();
        }
    }

    Bytes contents() const {
        Bytes all;
        for (const Bytes& piece : memory_) {
            all.insert(all.end(), piece.begin(), piece.end());
        }
        return all;
    }

    std::span<iovec> iovecs() { return iovecs_; }

private:
    std::vector<Bytes> memory_;
    std::vector<iovec> iovecs_;
};

constexpr std::chrono::seconds patience(10);

}  // namespace

bool field_refused(const Reply& reply, std::uint16_t byte, std::optional<std::uint8_t> bit) {
    return failed_with(reply, SenseKey::illegal_request, AdditionalSense::invalid_field_in_cdb) &&
           points_at(reply, true, byte, bit);
}

bool parameter_refused(const Reply& reply, std::uint16_t byte, std::optional<std::uint8_t> bit) {
    return failed_with(reply, SenseKey::illegal_request, AdditionalSense::invalid_field_in_parameter_list) &&
           points_at(reply, false, byte, bit);
}

struct Initiator::Sent : Task {
    explicit Sent(const Request& request)
        : cdb_copy(request.cdb), out(request.data_out.size()), in(request.data_in_bytes) {
        out.fill(request.data_out);
        tag = request.tag;
        target = request.target;
        lun = request.lun;
        attribute = request.attribute;
        cdb = cdb_copy;
        data_out = out.iovecs();
        data_in = in.iovecs();
        data_out_bytes = request.data_out.size();
        data_in_bytes = request.data_in_bytes;
    }

    std::uint64_t number = 0;
    bool done = false;
    Bytes cdb_copy;
    Pieces out;
    Pieces in;
};

Initiator::Initiator(const std::string& name, std::uint32_t depth) : domain_(std::make_unique<Domain>(name)) {
    auto queue = domain_->open_queue(depth);
    if (!queue) {
        throw std::runtime_error(queue.error().message);
    }
    queue_ = *std::move(queue);
}

Initiator::~Initiator() = default;

void Initiator::add(const std::shared_ptr<LogicalUnit>& unit, std::uint8_t target, Lun lun) {
    if (const auto added = domain_->add(target, lun, unit); !added) {
        throw std::runtime_error(added.error().message);
    }
    for (const auto& nexus : domain_->nexuses(target)) {
        while (nexus->take_attention()) {
        }
    }
}

std::uint64_t Initiator::send(const Request& request) {
    auto sent = std::make_unique<Sent>(request);
    sent->number = next_number_++;
    Task* batch[] = {sent.get()};
    sent_.push_back(std::move(sent));
    queue_->submit(batch);
    return sent_.back()->number;
}

void Initiator::work() {
    queue_->attend();
    std::array<Task*, 16> ended;
    while (const std::size_t count = queue_->reap(ended)) {
        for (Task* task : std::span(ended).first(count)) {
            static_cast<Sent*>(task)->done = true;
        }
    }
    queue_->settle();
}

bool Initiator::finished(std::uint64_t number) {
    work();
    const auto position = std::ranges::find(sent_, number, &Sent::number);
    return position != sent_.end() && (*position)->done;
}

Reply Initiator::take(std::uint64_t number) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!finished(number)) {
        if (std::chrono::steady_clock::now() > end) {
            throw std::runtime_error("a command does not come to its end");
        }
        pollfd watched{queue_->completion_fd(), POLLIN, 0};
        ::poll(&watched, 1, 100);
    }
    const auto position = std::ranges::find(sent_, number, &Sent::number);
    const Sent& sent = **position;
    Reply reply;
    reply.outcome = sent.outcome;
    reply.status = sent.status;
    reply.sense_bytes.assign(sent.sense.bytes().begin(), sent.sense.bytes().end());
    if (!sent.sense.empty()) {
        reply.sense = read_sense(sent.sense.bytes());
    }
    reply.transferred_bytes = sent.transferred_bytes;
    if (sent.data_in_bytes != 0) {
        reply.data_in = part(sent.in.contents(), 0, sent.transferred_bytes);
    }
    sent_.erase(position);
    return reply;
}

Reply Initiator::run(const Request& request) {
    return take(send(request));
}

std::optional<AdditionalSense> Initiator::attention(std::uint8_t target, Lun lun) {
    Request request{test_unit_ready()};
    request.target = target;
    request.lun = lun;
    const Reply reply = run(request);
    return reply.key() == SenseKey::unit_attention ? std::optional(reply.code()) : std::nullopt;
}

namespace {

std::shared_ptr<LogicalUnit> unit_on(storage::FakeDisk& disk, LogicalUnit::Options options) {
    auto unit = LogicalUnit::create(disk.open(), std::move(options));
    if (!unit) {
        throw std::runtime_error(unit.error().message);
    }
    return *std::move(unit);
}

Bytes transfer_10(std::uint8_t opcode, std::uint32_t lba, std::uint16_t blocks, std::uint8_t flags) {
    Bytes cdb(10);
    cdb[0] = static_cast<std::byte>(opcode);
    cdb[1] = static_cast<std::byte>(flags);
    store_big_endian(std::span(cdb).subspan(2, 4), lba);
    store_big_endian(std::span(cdb).subspan(7, 2), blocks);
    return cdb;
}

}  // namespace

FakeUnit::FakeUnit(std::uint64_t capacity_bytes, LogicalUnit::Options options)
    : disk(storage::FakeDisk::create(capacity_bytes)), unit(unit_on(*disk, std::move(options))) {}

FakeUnit::FakeUnit(storage::BlockGeometry geometry, LogicalUnit::Options options)
    : disk(storage::FakeDisk::create(geometry)), unit(unit_on(*disk, std::move(options))) {}

Bytes test_unit_ready() {
    return Bytes(6);
}
Bytes read_10(std::uint32_t lba, std::uint16_t blocks, std::uint8_t flags) {
    return transfer_10(0x28, lba, blocks, flags);
}
Bytes write_10(std::uint32_t lba, std::uint16_t blocks, std::uint8_t flags) {
    return transfer_10(0x2a, lba, blocks, flags);
}

}  // namespace sidecore::scsi::test
