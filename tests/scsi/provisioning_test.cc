// SPDX-License-Identifier: Apache-2.0
// WRITE SAME, UNMAP and GET LBA STATUS.
#include <gtest/gtest.h>

#include "base/big_endian.hh"
#include "scsi/block_cdbs.hh"
#include "scsi/limits.hh"
#include "storage/memory_backend.hh"

namespace sidecore::scsi::test {
namespace {

using storage::BlockOperation;

storage::BlockGeometry thick() {
    storage::BlockGeometry geometry;
    geometry.capacity_bytes = 1U << 20U;
    geometry.can_write_zeroes = true;
    return geometry;
}

struct WriteSameKind {
    std::size_t bytes;
    unsigned opcode;
    std::uint16_t flags_at;
    std::uint16_t length_at;
};
constexpr WriteSameKind write_same_kinds[] = {{10, 0x41, 1, 7}, {16, 0x93, 1, 10}, {32, 0x7f, 10, 28}};
constexpr unsigned unmap_bit = 0x08;
constexpr unsigned no_data = 0x01;

class WriteSames : public testing::TestWithParam<WriteSameKind> {
protected:
    WriteSames() { initiator.add(fake.unit); }
    Bytes same(std::uint64_t lba, std::uint64_t blocks, unsigned flags = 0) const {
        return block_cdb(GetParam().bytes, GetParam().opcode, lba, blocks, flags);
    }
    bool longer() const { return GetParam().bytes != 10; }

    FakeUnit fake;
    Initiator initiator;
};

TEST_P(WriteSames, a_block_is_written_all_over) {
    const Bytes block = pattern(512, 5);
    const Reply reply = initiator.run(same(7, 1100), block);
    EXPECT_TRUE(reply.good()) << reply;
    EXPECT_EQ(reply.transferred_bytes, 512U);
    for (const std::size_t at : {7U, 8U, 518U, 519U, 1106U}) {
        EXPECT_EQ(fake.disk->contents(at * 512, 512), block) << at;
    }
    EXPECT_EQ(fake.disk->contents(6 * 512, 512), Bytes(512));
    EXPECT_EQ(fake.disk->contents(1107 * 512, 512), Bytes(512));
    EXPECT_EQ(fake.disk->seen().size(), 3U);
    fake.unit->write_cache = false;
    initiator.run(same(7, 1), block);
    EXPECT_TRUE(fake.disk->seen().back().durable);
}

TEST_P(WriteSames, zeroes_are_the_storages_own_business) {
    fake.disk->set_contents(512, Bytes(1024, std::byte{1}));
    EXPECT_TRUE(initiator.run(same(1, 2), Bytes(512)).good());
    EXPECT_EQ(fake.disk->seen().back().operation, BlockOperation::write_zeroes);
    EXPECT_EQ(fake.disk->contents(512, 1024), Bytes(1024));
    EXPECT_TRUE(initiator.run(same(1, 2, unmap_bit), Bytes(512)).good());
    EXPECT_EQ(fake.disk->seen().back().operation, BlockOperation::write_zeroes_unmap);
    if (longer()) {
        EXPECT_TRUE(initiator.run(same(1, 2, no_data)).good());
        EXPECT_EQ(fake.disk->seen().back().operation, BlockOperation::write_zeroes);
        EXPECT_TRUE(initiator.run(same(1, 2, no_data | unmap_bit)).good());
        EXPECT_EQ(fake.disk->seen().back().operation, BlockOperation::write_zeroes_unmap);
    }
    fail_once(*fake.disk, BlockOperation::write_zeroes, ENOSPC);
    EXPECT_EQ(initiator.run(same(1, 2), Bytes(512)).code(), AdditionalSense::space_allocation_failed);
}

TEST_P(WriteSames, what_is_not_zero_is_written_even_if_it_may_be_unmapped) {
    EXPECT_TRUE(initiator.run(same(1, 2, unmap_bit), Bytes(512, std::byte{3})).good());
    EXPECT_EQ(fake.disk->contents(512, 1024), Bytes(1024, std::byte{3}));
    fail_once(*fake.disk, BlockOperation::write);
    EXPECT_EQ(initiator.run(same(1, 2), Bytes(512, std::byte{3})).code(), AdditionalSense::write_error);
}

TEST_P(WriteSames, wrong_fields_are_refused) {
    const auto refused = [&](const Bytes& cdb) { return initiator.run(cdb, Bytes(512)); };
    EXPECT_TRUE(field_refused(refused(same(0, 0)), GetParam().length_at)) << "WSNZ";
    EXPECT_TRUE(field_refused(refused(same(0, 1, 0x10)), GetParam().flags_at, 4)) << "ANCHOR";
    EXPECT_TRUE(field_refused(refused(same(0, 1, 0x20)), GetParam().flags_at, 5)) << "WRPROTECT";
    EXPECT_TRUE(field_refused(refused(same(0, 1, 0x04)), GetParam().flags_at, 2)) << "PBDATA";
    EXPECT_EQ(refused(same(fake.unit->capacity_blocks(), 1)).code(), AdditionalSense::lba_out_of_range);
    EXPECT_EQ(initiator.run(same(0, 1), Bytes(511)).outcome, Outcome::overrun);
    if (longer()) {
        auto large = LogicalUnit::create(*storage::MemoryBackend::create({1U << 30U}), {});
        initiator.add(*large, 0, Lun(1));
        const auto to_large = [&](std::uint64_t blocks) {
            Request request{same(0, blocks), Bytes(512)};
            request.lun = Lun(1);
            return initiator.run(request);
        };
        EXPECT_TRUE(to_large(write_same_blocks_max(512)).good());
        EXPECT_TRUE(field_refused(to_large(write_same_blocks_max(512) + 1), GetParam().length_at));
    }
    if (GetParam().bytes == 32) {
        EXPECT_TRUE(field_refused(refused(with_field(same(0, 1), 7, 1, 0x10)), 7));
    }
    fake.unit->software_write_protected = true;
    EXPECT_EQ(refused(same(0, 1)).code(), AdditionalSense::write_protected);
    EXPECT_TRUE(fake.disk->seen().empty());
}

TEST_P(WriteSames, a_medium_that_unmaps_nothing_refuses_to_but_writes_zeroes) {
    FakeUnit other(thick());
    initiator.add(other.unit, 0, Lun(1));
    Request request{same(1, 2, unmap_bit), Bytes(512)};
    request.lun = Lun(1);
    EXPECT_TRUE(field_refused(initiator.run(request), GetParam().flags_at, 3));
    request.cdb = same(1, 2);
    EXPECT_TRUE(initiator.run(request).good());
}

INSTANTIATE_TEST_SUITE_P(All, WriteSames, testing::ValuesIn(write_same_kinds),
                         [](const auto& kind) { return "of_" + std::to_string(kind.param.bytes); });

Bytes unmap_list(const std::vector<std::pair<std::uint64_t, std::uint32_t>>& descriptors) {
    Bytes list(8 + 16 * descriptors.size());
    store_big_endian(std::span(list).first(2), list.size() - 2);
    store_big_endian(std::span(list).subspan(2, 2), list.size() - 8);
    for (std::size_t i = 0; i < descriptors.size(); ++i) {
        store_big_endian(std::span(list).subspan(8 + 16 * i, 8), descriptors[i].first);
        store_big_endian(std::span(list).subspan(16 + 16 * i, 4), descriptors[i].second);
    }
    return list;
}

class Provisioning : public testing::Test {
protected:
    Provisioning() { initiator.add(fake.unit); }
    Reply unmap(const Bytes& list, std::size_t length, unsigned flags = 0) {
        return initiator.run(with_field(block_cdb(10, 0x42, 0, length, flags), 6, 1, 0), list);
    }
    Reply unmap(const Bytes& list) { return unmap(list, list.size()); }
    Reply status(std::uint64_t lba, std::size_t allocation = 2000) {
        return initiator.run(block_cdb(16, 0x9e, lba, allocation, 0x12), allocation);
    }

    FakeUnit fake;
    Initiator initiator;
};

TEST_F(Provisioning, what_is_unmapped_reads_as_zeroes) {
    fake.disk->set_contents(0, Bytes(20 * 512, std::byte{1}));
    const Bytes list = unmap_list({{2, 3}, {8, 0}, {10, 1}});
    const Reply reply = unmap(list);
    EXPECT_TRUE(reply.good()) << reply;
    EXPECT_EQ(reply.transferred_bytes, list.size());
    ASSERT_EQ(fake.disk->seen().size(), 2U);
    EXPECT_EQ(fake.disk->seen()[0].operation, BlockOperation::write_zeroes_unmap);
    EXPECT_EQ(fake.disk->contents(2 * 512, 3 * 512), Bytes(3 * 512));
    EXPECT_EQ(fake.disk->contents(10 * 512, 512), Bytes(512));
    EXPECT_EQ(fake.disk->contents(11 * 512, 512), Bytes(512, std::byte{1}));
    fail_once(*fake.disk, BlockOperation::write_zeroes_unmap);
    EXPECT_EQ(unmap(list).code(), AdditionalSense::write_error);
}

TEST_F(Provisioning, empty_lists_unmap_nothing) {
    EXPECT_TRUE(unmap({}, 0).good());
    EXPECT_TRUE(unmap(unmap_list({})).good());
    EXPECT_TRUE(unmap(unmap_list({{5, 0}})).good());
    Bytes incomplete = unmap_list({{1, 1}});
    store_big_endian(std::span(incomplete).subspan(2, 2), 15);
    EXPECT_TRUE(unmap(incomplete).good());
    EXPECT_TRUE(fake.disk->seen().empty());
}

TEST_F(Provisioning, wrong_lists_unmap_nothing) {
    EXPECT_EQ(unmap(Bytes(7)).code(), AdditionalSense::parameter_list_length_error);
    EXPECT_EQ(unmap(Bytes(8), 24).outcome, Outcome::overrun);
    Bytes list = unmap_list({{1, 1}});
    EXPECT_EQ(unmap(list, 20).code(), AdditionalSense::parameter_list_length_error) << "cut off";
    store_big_endian(std::span(list).first(2), 10);
    EXPECT_TRUE(parameter_refused(unmap(list), 2)) << "the lengths do not fit each other";
    EXPECT_EQ(unmap(unmap_list({{1, 1}, {fake.unit->capacity_blocks(), 1}})).code(), AdditionalSense::lba_out_of_range);
    EXPECT_EQ(unmap(unmap_list({{UINT64_MAX, 2}})).code(), AdditionalSense::lba_out_of_range);
    EXPECT_TRUE(field_refused(unmap(unmap_list({{1, 1}}), 24, 1), 1, 0)) << "ANCHOR";
    EXPECT_TRUE(fake.disk->seen().empty());
}

TEST_F(Provisioning, lists_have_limits) {
    EXPECT_TRUE(unmap(unmap_list(std::vector(unmap_descriptors_max, std::pair(std::uint64_t{1}, 1U)))).good());
    EXPECT_EQ(fake.disk->seen().size(), unmap_descriptors_max);
    EXPECT_TRUE(parameter_refused(
        unmap(unmap_list(std::vector(unmap_descriptors_max + 1, std::pair(std::uint64_t{1}, 1U)))), 2));
    const auto whole = static_cast<std::uint32_t>(fake.unit->capacity_blocks());
    const std::size_t count = unmap_blocks_max(512) / whole;
    EXPECT_TRUE(unmap(unmap_list(std::vector(count, std::pair(std::uint64_t{0}, whole)))).good());
    EXPECT_TRUE(parameter_refused(unmap(unmap_list(std::vector(count + 1, std::pair(std::uint64_t{0}, whole)))),
                                  static_cast<std::uint16_t>(8 + 16 * count + 8)));
}

TEST_F(Provisioning, a_thick_medium_has_no_unmap) {
    FakeUnit other(thick());
    initiator.add(other.unit, 0, Lun(1));
    Request request{block_cdb(10, 0x42, 0, 24), unmap_list({{0, 1}})};
    request.lun = Lun(1);
    EXPECT_TRUE(failed_with(initiator.run(request), SenseKey::illegal_request,
                            AdditionalSense::invalid_command_operation_code));
    Request asking{block_cdb(16, 0x9e, 0, 24, 0x12), {}, 24};
    asking.lun = Lun(1);
    EXPECT_EQ(initiator.run(asking).data_in[20], std::byte{0}) << "all is mapped";
}

TEST_F(Provisioning, a_medium_whose_discards_may_leave_anything_discards) {
    storage::BlockGeometry geometry = thick();
    geometry.can_discard = true;
    FakeUnit other(geometry);
    initiator.add(other.unit, 0, Lun(1));
    Request request{block_cdb(10, 0x42, 0, 24), unmap_list({{0, 1}})};
    request.lun = Lun(1);
    EXPECT_TRUE(initiator.run(request).good());
    EXPECT_EQ(other.disk->seen().back().operation, BlockOperation::discard);
}

TEST_F(Provisioning, holes_are_unmapped_blocks) {
    fake.disk->add_hole(10 * 512, 20 * 512 + 100);
    fake.disk->add_hole(40 * 512 + 1, 512);  // of two blocks a part
    const Reply reply = status(5);
    EXPECT_TRUE(reply.good()) << reply;
    const auto number = [&](std::size_t at, std::size_t bytes) {
        return load_big_endian(std::span(reply.data_in).subspan(at, bytes));
    };
    ASSERT_EQ(reply.data_in.size(), 8 + 3 * 16U);
    EXPECT_EQ(number(0, 4), reply.data_in.size() - 4);
    EXPECT_EQ(number(8, 8), 5U);
    EXPECT_EQ(number(16, 4), 5U);
    EXPECT_EQ(number(20, 1), 0U);
    EXPECT_EQ(number(24, 8), 10U);
    EXPECT_EQ(number(32, 4), 20U);
    EXPECT_EQ(number(36, 1), 1U);
    EXPECT_EQ(number(40, 8), 30U);
    EXPECT_EQ(number(48, 4), fake.unit->capacity_blocks() - 30);
    EXPECT_EQ(number(52, 1), 0U);
}

TEST_F(Provisioning, the_status_of_many_runs_is_cut_off) {
    for (std::uint64_t i = 0; i < 200; ++i) {
        fake.disk->add_hole(2 * i * 512, 512);
    }
    EXPECT_EQ(status(0, 8 + 16 * 500).data_in.size(), 8 + 16 * 64U);
    EXPECT_EQ(status(0, 8 + 16 * 3 + 5).data_in.size(), 8 + 16 * 3U);
    EXPECT_EQ(status(0, 10).data_in.size(), 10U);
    EXPECT_TRUE(status(0, 0).good());
    EXPECT_EQ(status(fake.unit->capacity_blocks()).code(), AdditionalSense::lba_out_of_range);
}

}  // namespace
}  // namespace sidecore::scsi::test
