// SPDX-License-Identifier: Apache-2.0
// Two initiators that the fuzzer invents share a SCSI disk: mostly sound commands of the command table with fields, parameter lists and
// buffers as they come, aborts, resets, disks that come and go, storage that holds requests back. Each task must come back once, within its
// buffers, and with sense data exactly if its status has any; each task management function must be answered.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include <spdlog/spdlog.h>

#include "scsi/domain.hh"
#include "scsi/logical_unit.hh"
#include "scsi/task_queue.hh"
#include "storage/fake_backend.hh"

namespace {

using namespace sidecore;
using namespace sidecore::scsi;

[[noreturn]] void find(const char* what) {
    std::fprintf(stderr, "found: %s\n", what);
    std::abort();
}

/// What the fuzzer says, and then nothing but zeros.
class Input {
public:
    explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
    bool empty() const { return bytes_.empty(); }
    std::uint8_t next() {
        if (bytes_.empty()) {
            return 0;
        }
        const std::uint8_t value = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return value;
    }
    std::size_t below(std::size_t limit) { return next() % limit; }

private:
    std::span<const std::uint8_t> bytes_;
};

constexpr std::size_t depth = 16;
constexpr std::uint32_t block_bytes = 512;
constexpr std::array<std::size_t, 16> sizes{0, 0, 4, 8, 12, 24, 24, 28, 52, 96, 252, 512, 512, 1024, 4096, 65536};

struct Sent : Task {
    bool back = false;
    std::vector<std::byte> cdb_bytes{};
    std::vector<std::vector<std::byte>> memory{};
    std::vector<iovec> out{};
    std::vector<iovec> in{};
};

std::vector<iovec> pieces(Sent& sent, Input& input, std::size_t bytes, bool filled) {
    std::vector<iovec> all;
    const std::size_t first = bytes == 0 ? 0 : std::min(bytes, 1 + input.below(256));
    for (const std::size_t count : {first, bytes - first}) {
        if (count == 0) {
            continue;
        }
        std::vector<std::byte>& piece = sent.memory.emplace_back(count);
        for (std::size_t i = 0; filled && i < std::min<std::size_t>(count, 64) && !input.empty(); ++i) {
            piece[i] = static_cast<std::byte>(input.next());
        }
        all.push_back({piece.data(), piece.size()});
    }
    return all;
}

std::vector<std::byte> make_cdb(Input& input) {
    const auto commands = all_commands();
    const Command& command = *commands[input.below(commands.size())];
    std::vector<std::byte> cdb(command.cdb_bytes);
    const unsigned kind = input.next();  // a bit for each part that is not zero
    for (std::size_t i = 0; i < cdb.size(); ++i) {
        const bool evaluated = command.usage[i] != 0 && (i == 0 || (kind >> (i % 7U) & 1U) != 0);
        cdb[i] = static_cast<std::byte>(evaluated ? input.next() & command.usage[i] : 0);
    }
    cdb[0] = static_cast<std::byte>(command.opcode);
    if (command.service_action) {
        if (cdb.size() == Command::cdb_bytes_max) {
            cdb[7] = std::byte{0x18};
            cdb[8] = static_cast<std::byte>(*command.service_action >> 8U);
            cdb[9] = static_cast<std::byte>(*command.service_action & 0xffU);
        } else {
            cdb[1] = (cdb[1] & std::byte{0xe0}) | static_cast<std::byte>(*command.service_action);
        }
    }
    if ((kind & 0x80U) != 0) {
        cdb[input.below(cdb.size())] ^= static_cast<std::byte>(1U << input.below(8));
        cdb.resize(std::max<std::size_t>(1, cdb.size() - input.below(3)));
    }
    return cdb;
}

class FuzzedInitiator {
public:
    FuzzedInitiator(const char* name, std::shared_ptr<LogicalUnit> unit) : domain_(name), unit_(std::move(unit)) {
        auto queue = domain_.open_queue(depth);
        if (!queue) {
            find("no queue");
        }
        queue_ = *std::move(queue);
        toggle();
    }

    void send(Input& input) {
        if (queue_->under_way() == depth) {
            return;
        }
        auto sent = std::make_unique<Sent>();
        sent->cdb_bytes = make_cdb(input);
        sent->cdb = sent->cdb_bytes;
        const unsigned how = input.next();
        sent->tag = how & 3U;
        sent->lun = (how & 0x3cU) == 0x3c ? std::optional(Lun::report_luns()) : std::optional(Lun(0));
        sent->attribute = (how & 0xc0U) == 0xc0 ? static_cast<TaskAttribute>(input.below(4)) : TaskAttribute::simple;
        sent->data_out_bytes = sizes[input.below(sizes.size())];
        sent->data_in_bytes = sizes[input.below(sizes.size())];
        sent->out = pieces(*sent, input, sent->data_out_bytes, true);
        sent->in = pieces(*sent, input, sent->data_in_bytes, false);
        sent->data_out = sent->out;
        sent->data_in = sent->in;
        Task* batch[] = {sent.get()};
        sent_.push_back(std::move(sent));
        queue_->submit(batch);
    }

    void manage(Input& input) {
        ++asked_;
        domain_.manage(static_cast<TaskManagement>(input.below(8)), 0, Lun(0), input.below(4),
                       [this](TaskManagementResponse) { ++answered_; });
    }

    /// Takes the disk away or brings it back.
    void toggle() {
        present_ = !present_;
        if (!(present_ ? domain_.add(0, Lun(0), unit_) : domain_.remove(0, Lun(0)))) {
            find("a disk cannot be added or removed");
        }
    }

    void lose() {
        if (queue_->under_way() == 0) {
            domain_.initiator_lost();
        }
    }

    void work() {
        queue_->attend();
        std::array<Task*, depth> ended;
        while (const std::size_t count = queue_->reap(ended)) {
            for (Task* task : std::span(ended).first(count)) {
                look_at(*static_cast<Sent*>(task));
            }
        }
        queue_->settle();
        std::erase_if(sent_, [](const auto& each) { return each->back; });
    }

    bool idle() const { return sent_.empty() && queue_->under_way() == 0 && asked_ == answered_; }

private:
    static void look_at(Sent& sent) {
        if (sent.back) {
            find("a task came back twice");
        }
        sent.back = true;
        if (sent.transferred_bytes > std::max(sent.data_in_bytes, sent.data_out_bytes)) {
            find("more was transferred than there is room for");
        }
        if (sent.outcome == Outcome::completed && sent.sense.empty() == (sent.status == Status::check_condition)) {
            find("sense data without its status, or the other way round");
        }
    }

    Domain domain_;
    std::shared_ptr<LogicalUnit> unit_;
    std::unique_ptr<TaskQueue> queue_;
    std::vector<std::unique_ptr<Sent>> sent_;
    bool present_ = false;
    int asked_ = 0;
    int answered_ = 0;
};

void set_fault(storage::FakeDisk& disk, Input& input) {
    storage::Fault fault;
    fault.action = static_cast<storage::FaultAction>(input.below(4));
    fault.transfer_bytes = block_bytes;
    fault.times = input.below(4) + 1;
    disk.add_fault(fault);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
    spdlog::set_level(spdlog::level::off);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    Input input(std::span(bytes, size));
    const auto disk = storage::FakeDisk::create(256 * std::uint64_t{block_bytes});
    auto created = LogicalUnit::create(disk->open(), {});
    if (!created) {
        find("no logical unit");
    }
    const std::shared_ptr<LogicalUnit> unit = *created;
    created->reset();
    FuzzedInitiator first("first", unit);
    FuzzedInitiator second("second", unit);
    while (!input.empty()) {
        const unsigned what = input.next();
        FuzzedInitiator& initiator = (what & 1U) != 0 ? second : first;
        switch (what >> 1U & 0xfU) {
            case 0:
                initiator.manage(input);
                break;
            case 1:
                disk->release_all_reversed();
                break;
            case 2:
                set_fault(*disk, input);
                break;
            case 3:
                initiator.work();
                break;
            case 4:
                what >= 0xe0 ? initiator.toggle() : initiator.lose();
                break;
            case 5:
                static_cast<void>(unit->resize((input.below(3) + 1) * 128 * block_bytes));
                break;
            default:
                initiator.send(input);
                if ((what & 0x20U) != 0) {
                    initiator.work();
                }
        }
    }
    disk->clear_faults();
    // Some of it is done by other threads, which may have to wait for a CPU.
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    for (int i = 0; !first.idle() || !second.idle(); ++i) {
        if (std::chrono::steady_clock::now() > patience) {
            find("something does not come to its end");
        }
        if (i >= 100) {
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
        disk->release_all();
        first.work();
        second.work();
    }
    return 0;
}
