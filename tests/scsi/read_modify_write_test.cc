// SPDX-License-Identifier: Apache-2.0
// ORWRITE, COMPARE AND WRITE, and what keeps other writes out of theirs.
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "scsi/block_cdbs.hh"
#include "scsi/limits.hh"

namespace sidecore::scsi::test {
namespace {

using storage::BlockOperation;

Bytes compare_and_write(std::uint64_t lba, std::uint64_t blocks, unsigned flags = 0) {
    return with_field(block_cdb(16, 0x89, lba, 0, flags), 13, 1, blocks);
}
Bytes or_write(std::uint64_t lba, std::uint64_t blocks, unsigned flags = 0) {
    return block_cdb(16, 0x8b, lba, blocks, flags);
}
Bytes both(const Bytes& first, const Bytes& second) {
    Bytes all = first;
    all.insert(all.end(), second.begin(), second.end());
    return all;
}

class ReadModifyWrites : public testing::Test {
protected:
    ReadModifyWrites() {
        initiator.add(fake.unit);
        second.add(fake.unit);
        fake.disk->set_contents(10 * 512, old);
    }

    const Bytes old = pattern(4 * 512, 1);
    const Bytes fresh = pattern(4 * 512, 2);
    FakeUnit fake{16U << 20U};
    Initiator initiator;
    Initiator second{"second"};
};

TEST_F(ReadModifyWrites, what_is_as_expected_is_written) {
    const auto sent = initiator.send({compare_and_write(10, 4, 0x08), both(old, fresh)});
    second.work();
    second.work();
    while (!initiator.finished(sent)) {
        second.work();
    }
    const Reply reply = initiator.take(sent);
    EXPECT_TRUE(reply.good()) << reply;
    EXPECT_EQ(reply.transferred_bytes, 8 * 512U);
    EXPECT_EQ(fake.disk->contents(10 * 512, fresh.size()), fresh);
    EXPECT_TRUE(fake.disk->seen().back().durable);
}

/// Runs a command on the first initiator while the second one's worker works, too.
class Attended : public ReadModifyWrites {
protected:
    Attended() {
        worker = std::thread([this] {
            while (!stop) {
                second.work();
                std::this_thread::yield();
            }
        });
    }
    ~Attended() override {
        stop = true;
        worker.join();
    }

    std::atomic<bool> stop{false};
    std::thread worker;
};

TEST_F(Attended, what_is_not_is_left_and_the_offset_told) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{777}, old.size() - 1}) {
        Bytes other = old;
        other[at] ^= std::byte{0x80};
        const Reply reply = initiator.run(compare_and_write(10, 4), both(other, fresh));
        EXPECT_TRUE(failed_with(reply, SenseKey::miscompare, AdditionalSense::miscompare_during_verify)) << reply;
        EXPECT_EQ(reply.sense->information, at);
    }
    EXPECT_EQ(fake.disk->contents(10 * 512, old.size()), old);
}

TEST_F(Attended, wrong_fields_are_refused) {
    const std::uint64_t longest = compare_and_write_blocks_max(512);
    EXPECT_TRUE(field_refused(initiator.run(compare_and_write(0, longest + 1), Bytes(2 * 512 * (longest + 1))), 13));
    EXPECT_TRUE(initiator.run(compare_and_write(100, longest), Bytes(2 * 512 * longest)).good());
    EXPECT_TRUE(initiator.run(compare_and_write(0, 0), Bytes(512)).good());
    EXPECT_EQ(initiator.run(compare_and_write(0, 2), Bytes(2047)).outcome, Outcome::overrun);
    EXPECT_TRUE(field_refused(initiator.run(compare_and_write(0, 1, 0x20), Bytes(1024)), 1, 5));
    const Reply beyond = initiator.run(compare_and_write(UINT64_MAX, 2), Bytes(2048));
    EXPECT_EQ(beyond.code(), AdditionalSense::lba_out_of_range);
    fake.unit->software_write_protected = true;
    EXPECT_EQ(initiator.run(compare_and_write(0, 1), Bytes(1024)).code(), AdditionalSense::write_protected);
}

TEST_F(Attended, errors_of_the_storage_end_it) {
    fail_once(*fake.disk, BlockOperation::read);
    EXPECT_EQ(initiator.run(compare_and_write(10, 4), both(old, fresh)).code(),
              AdditionalSense::unrecovered_read_error);
    fail_once(*fake.disk, BlockOperation::write);
    EXPECT_EQ(initiator.run(compare_and_write(10, 4), both(old, fresh)).code(), AdditionalSense::write_error);
    EXPECT_FALSE(fake.unit->exclusions().any());
}

TEST_F(Attended, bits_are_added) {
    const std::size_t blocks = 1100;  // three chunks
    const Bytes before = pattern(blocks * 512, 7);
    const Bytes bits = pattern(blocks * 512, 8);
    fake.disk->set_contents(512, before);
    const Reply reply = initiator.run(or_write(1, blocks, 0x08), bits);
    EXPECT_TRUE(reply.good()) << reply;
    EXPECT_EQ(reply.transferred_bytes, bits.size());
    Bytes expected = before;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        expected[i] |= bits[i];
    }
    EXPECT_EQ(fake.disk->contents(512, expected.size()), expected);
    EXPECT_TRUE(fake.disk->seen().back().durable);
}

TEST_F(Attended, bits_that_cannot_be_added_are_refused) {
    EXPECT_TRUE(initiator.run(or_write(0, 0)).good());
    EXPECT_EQ(initiator.run(or_write(0, 2), Bytes(1023)).outcome, Outcome::overrun);
    EXPECT_TRUE(field_refused(initiator.run(or_write(0, 1, 0x80), Bytes(512)), 1, 7));
    EXPECT_TRUE(field_refused(initiator.run(or_write(0, transfer_blocks_max(512) + 1), Bytes(512)), 10));
    EXPECT_EQ(initiator.run(or_write(fake.unit->capacity_blocks(), 1), Bytes(512)).code(),
              AdditionalSense::lba_out_of_range);
    fail_once(*fake.disk, BlockOperation::read);
    EXPECT_EQ(initiator.run(or_write(0, 1), Bytes(512)).code(), AdditionalSense::unrecovered_read_error);
    fail_once(*fake.disk, BlockOperation::write);
    EXPECT_EQ(initiator.run(or_write(0, 1), Bytes(512)).code(), AdditionalSense::write_error);
    EXPECT_FALSE(fake.unit->exclusions().any());
}

TEST_F(ReadModifyWrites, a_write_that_is_under_way_on_another_queue_is_waited_for) {
    hold_back(*fake.disk, BlockOperation::write);
    const auto write = second.send({write_10(12, 1), Bytes(512, std::byte{5})});
    const auto elsewhere = second.send({write_10(14, 1), Bytes(512, std::byte{5})});
    second.work();
    fake.disk->clear_faults();
    const auto compare = initiator.send({compare_and_write(10, 4), both(old, fresh)});
    for (int i = 0; i < 5; ++i) {
        initiator.work();
        second.work();
    }
    EXPECT_EQ(fake.disk->seen().size(), 2U) << "nothing is read before the write has ended";
    fake.disk->release(0);
    EXPECT_TRUE(second.take(write).good());
    EXPECT_EQ(initiator.take(compare).key(), SenseKey::miscompare) << "it sees the write";
    EXPECT_FALSE(second.finished(elsewhere)) << "and needs not wait for one beside it";
    fake.disk->release_all();
    EXPECT_TRUE(second.take(elsewhere).good());
}

TEST_F(ReadModifyWrites, a_write_that_comes_between_waits_and_one_beside_does_not) {
    hold_back(*fake.disk, BlockOperation::read);
    const auto compare = initiator.send({compare_and_write(10, 4), both(old, fresh)});
    for (int i = 0; i < 5; ++i) {
        initiator.work();
        second.work();
    }
    ASSERT_EQ(fake.disk->held().size(), 1U);
    const auto theirs = second.send({write_10(13, 1), Bytes(512, std::byte{5})});
    const auto mine = initiator.send({write_10(10, 1), Bytes(512, std::byte{5})});
    const auto rival = second.send({compare_and_write(11, 1), both(part(old, 512, 512), Bytes(512))});
    EXPECT_TRUE(second.run(write_10(14, 1), Bytes(512)).good());
    EXPECT_TRUE(second.run(write_10(9, 1), Bytes(512)).good());
    EXPECT_FALSE(second.finished(theirs));
    EXPECT_FALSE(initiator.finished(mine));
    fake.disk->clear_faults();
    fake.disk->release_all();
    EXPECT_TRUE(initiator.take(compare).good());
    EXPECT_TRUE(second.take(theirs).good());
    EXPECT_TRUE(initiator.take(mine).good());
    for (int i = 0; i < 5; ++i) {
        initiator.work();
        second.work();
    }
    EXPECT_EQ(second.take(rival).key(), SenseKey::miscompare);
    EXPECT_EQ(fake.disk->contents(11 * 512, 1024), part(fresh, 512, 1024));
    EXPECT_EQ(fake.disk->contents(13 * 512, 512), Bytes(512, std::byte{5}));
    EXPECT_FALSE(fake.unit->exclusions().any());
}

TEST_F(ReadModifyWrites, aborted_ones_leave_nothing_behind) {
    hold_back(*fake.disk, BlockOperation::read);
    const auto compare = initiator.send({compare_and_write(10, 4), both(old, fresh)});
    for (int i = 0; i < 5; ++i) {
        initiator.work();
        second.work();
    }
    Request kept_out{write_10(10, 1), Bytes(512)};
    kept_out.tag = 7;
    const auto write = second.send(kept_out);
    int answers = 0;
    second.domain().manage(TaskManagement::abort_task, 0, Lun(0), 7, [&](TaskManagementResponse) { ++answers; });
    EXPECT_EQ(second.take(write).outcome, Outcome::aborted);
    initiator.domain().manage(TaskManagement::abort_task_set, 0, Lun(0), 0, [&](TaskManagementResponse) { ++answers; });
    EXPECT_EQ(initiator.take(compare).outcome, Outcome::aborted);
    EXPECT_EQ(answers, 2);
    EXPECT_FALSE(fake.unit->exclusions().any());

    // One that still waits for the other queue.
    fake.disk->clear_faults();
    const auto waiting = initiator.send({compare_and_write(10, 4), both(old, fresh)});
    initiator.domain().manage(TaskManagement::abort_task_set, 0, Lun(0), 0, [&](TaskManagementResponse) { ++answers; });
    EXPECT_EQ(initiator.take(waiting).outcome, Outcome::aborted);
    EXPECT_FALSE(fake.unit->exclusions().any());
    second.work();
    EXPECT_TRUE(second.run(write_10(10, 1), Bytes(512)).good());
}

/// A counter that two initiators raise by COMPARE AND WRITE while each also writes beside it; none is lost.
TEST(CompareAndWrite, counts_right_from_two_threads) {
    FakeUnit fake;
    constexpr unsigned rounds = 200;
    std::atomic<unsigned> ready{0};
    std::atomic<unsigned> finished{0};
    const auto count = [&](const std::string& name) {
        Initiator initiator(name);
        initiator.add(fake.unit);
        ++ready;
        while (ready != 2) {
            std::this_thread::yield();
        }
        for (unsigned done = 0; done < rounds;) {
            const Bytes found = initiator.run(read_10(0, 1), 512).data_in;
            Bytes next = found;
            unsigned carry = 1;
            for (std::size_t i = 0; i < 4; ++i) {
                carry += std::to_integer<unsigned>(next[i]);
                next[i] = static_cast<std::byte>(carry & 0xffU);
                carry >>= 8U;
            }
            done += initiator.run(compare_and_write(0, 1), both(found, next)).good() ? 1 : 0;
            EXPECT_TRUE(initiator.run(write_10(1, 1), found).good());
        }
        ++finished;
        while (finished != 2) {
            initiator.work();
            std::this_thread::yield();
        }
    };
    std::thread first(count, "first");
    std::thread second(count, "second");
    first.join();
    second.join();
    const Bytes counter = fake.disk->contents(0, 4);
    EXPECT_EQ(std::to_integer<unsigned>(counter[0]) + 256 * std::to_integer<unsigned>(counter[1]), 2 * rounds);
}

}  // namespace
}  // namespace sidecore::scsi::test
