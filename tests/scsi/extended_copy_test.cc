// SPDX-License-Identifier: Apache-2.0
// EXTENDED COPY and RECEIVE COPY RESULTS.
#include <gtest/gtest.h>

#include "base/big_endian.hh"
#include "scsi/block_cdbs.hh"

namespace sidecore::scsi::test {
namespace {

using storage::BlockOperation;

LogicalUnit::Options called(const std::string& name) {
    LogicalUnit::Options options;
    options.name = name;
    return options;
}

Bytes target_descriptor(const LogicalUnit& unit) {
    Bytes out(32);
    out[0] = std::byte{0xe4};
    out[4] = std::byte{1};
    out[5] = std::byte{3};
    out[7] = std::byte{8};
    store_big_endian(std::span(out).subspan(8, 8), unit.identity());
    store_big_endian(std::span(out).subspan(29, 3), unit.block_bytes());
    return out;
}

Bytes segment_descriptor(unsigned from, unsigned to, unsigned blocks, std::uint64_t from_lba, std::uint64_t to_lba,
                         unsigned flags = 0) {
    Bytes out(28);
    out[0] = std::byte{0x02};
    out[1] = static_cast<std::byte>(flags);
    out[3] = std::byte{0x18};
    store_big_endian(std::span(out).subspan(4, 2), from);
    store_big_endian(std::span(out).subspan(6, 2), to);
    store_big_endian(std::span(out).subspan(10, 2), blocks);
    store_big_endian(std::span(out).subspan(12, 8), from_lba);
    store_big_endian(std::span(out).subspan(20, 8), to_lba);
    return out;
}

Bytes copy_list(const std::vector<Bytes>& targets, const std::vector<Bytes>& segments, unsigned list = 5,
                unsigned flags = 0) {
    Bytes out(16);
    out[0] = static_cast<std::byte>(list);
    out[1] = static_cast<std::byte>(flags);
    std::size_t lengths[2] = {0, 0};
    for (const auto* descriptors : {&targets, &segments}) {
        for (const Bytes& descriptor : *descriptors) {
            out.insert(out.end(), descriptor.begin(), descriptor.end());
            lengths[descriptors == &segments ? 1 : 0] += descriptor.size();
        }
    }
    store_big_endian(std::span(out).subspan(2, 2), lengths[0]);
    store_big_endian(std::span(out).subspan(8, 4), lengths[1]);
    return out;
}

class ExtendedCopy : public testing::Test {
protected:
    ExtendedCopy() {
        initiator.add(source.unit);
        initiator.add(destination.unit, 0, Lun(1));
        source.disk->set_contents(0, data);
    }

    Request copying(const Bytes& list) const { return {block_cdb(16, 0x83, 0, list.size()), list}; }
    Reply copy(const Bytes& list) { return initiator.run(copying(list)); }
    Reply copy_segments(const std::vector<Bytes>& segments) { return copy(copy_list(both, segments)); }
    Reply receive(unsigned action, unsigned list, std::size_t allocation = 200) {
        return initiator.run(with_field(block_cdb(16, 0x84, 0, allocation, action), 2, 1, list), allocation);
    }
    Reply status(unsigned list = 5) { return receive(0, list); }

    const Bytes data = pattern(1200 * 512, 3);
    FakeUnit source{4U << 20U, called("source")};
    FakeUnit destination{4U << 20U, called("destination")};
    const std::vector<Bytes> both{target_descriptor(*source.unit), target_descriptor(*destination.unit)};
    Initiator initiator;
};

TEST_F(ExtendedCopy, blocks_go_from_one_unit_to_another) {
    const Bytes list = copy_list(both, {segment_descriptor(0, 1, 1100, 10, 20), segment_descriptor(0, 1, 0, 0, 0),
                                        segment_descriptor(1, 0, 2, 20, 2000)});
    const Reply reply = copy(list);
    EXPECT_TRUE(reply.good()) << reply;
    EXPECT_EQ(reply.transferred_bytes, list.size());
    EXPECT_EQ(destination.disk->contents(20 * 512, 1100 * 512), part(data, 10 * 512, 1100 * 512));
    EXPECT_EQ(source.disk->contents(2000 * 512, 1024), part(data, 10 * 512, 1024));
    EXPECT_EQ(destination.disk->seen().front().length_bytes, 256U << 10U);

    const Bytes told = status().data_in;
    EXPECT_EQ(told, bytes({0, 0, 0, 8, 1, 0, 3, 0, 0, 8, 0x9c, 0})) << "3 segments, 1102 blocks";
    EXPECT_TRUE(field_refused(receive(4, 5), 2)) << "none has failed";
}

TEST_F(ExtendedCopy, within_one_unit_as_well) {
    EXPECT_TRUE(copy_segments({segment_descriptor(0, 0, 3, 0, 4000)}).good());
    EXPECT_EQ(source.disk->contents(4000 * 512, 3 * 512), part(data, 0, 3 * 512));
}

TEST_F(ExtendedCopy, no_list_is_no_error) {
    EXPECT_TRUE(copy(Bytes()).good());
    EXPECT_TRUE(copy(copy_list({}, {})).good());
}

TEST_F(ExtendedCopy, what_it_can_do_is_told) {
    const Bytes told = receive(3, 0).data_in;
    ASSERT_EQ(told.size(), 46U);
    EXPECT_EQ(told[3], std::byte{42});
    EXPECT_EQ(told[9], std::byte{16});
    EXPECT_EQ(told[37], std::byte{9}) << "2^9 bytes";
    EXPECT_EQ(part(told, 43, 3), bytes({2, 0x02, 0xe4}));
    EXPECT_EQ(receive(3, 0, 10).data_in.size(), 10U);
}

TEST_F(ExtendedCopy, a_status_of_nothing_is_refused) {
    EXPECT_TRUE(field_refused(status(9), 2));
    EXPECT_TRUE(field_refused(receive(4, 9), 2));
    EXPECT_TRUE(copy(copy_list(both, {}, 0, 0x18)).good());
    EXPECT_TRUE(field_refused(status(0), 2)) << "it has no list identifier";
}

TEST_F(ExtendedCopy, lists_that_are_wrong_copy_nothing) {
    const auto illegal = [&](const Bytes& list, AdditionalSense code) {
        const Reply reply = copy(list);
        EXPECT_TRUE(failed_with(reply, SenseKey::illegal_request, code)) << reply;
    };
    const Bytes segment = segment_descriptor(0, 1, 1, 0, 0);
    const Bytes good = copy_list(both, {segment});
    illegal(part(good, 0, 15), AdditionalSense::parameter_list_length_error);
    illegal(part(good, 0, good.size() - 1), AdditionalSense::parameter_list_length_error);
    illegal(Bytes(16 + 16 * 32 + 64 * 28 + 1), AdditionalSense::parameter_list_length_error);
    illegal(copy_list(std::vector(17, both[0]), {}), AdditionalSense::too_many_target_descriptors);
    illegal(copy_list({}, std::vector(65, segment)), AdditionalSense::too_many_segment_descriptors);
    illegal(with_field(good, 12, 4, 1), AdditionalSense::inline_data_length_exceeded);
    illegal(with_field(good, 16, 1, 0xe2), AdditionalSense::unsupported_target_descriptor_type);
    illegal(with_field(good, 16 + 64, 1, 0x0b), AdditionalSense::unsupported_segment_descriptor_type);
    illegal(copy_list(both, {segment_descriptor(0, 1, 2, 8191, 0)}), AdditionalSense::lba_out_of_range);
    illegal(copy_list(both, {segment_descriptor(0, 1, 2, 0, UINT64_MAX)}), AdditionalSense::lba_out_of_range);
    EXPECT_TRUE(parameter_refused(copy(with_field(good, 1, 1, 0x08)), 1, 4));
    EXPECT_TRUE(parameter_refused(copy(with_field(good, 1, 1, 0x18)), 0));
    EXPECT_TRUE(parameter_refused(copy(with_field(good, 1, 1, 0x80)), 1, 7));
    EXPECT_TRUE(parameter_refused(copy(with_field(good, 2, 2, 65)), 2));
    EXPECT_TRUE(parameter_refused(copy(with_field(good, 17, 1, 0x20)), 17, 7)) << "NUL";
    EXPECT_TRUE(parameter_refused(copy(with_field(good, 16 + 29, 3, 4096)), 16 + 29));
    EXPECT_TRUE(parameter_refused(copy(with_field(good, 16 + 64 + 2, 2, 0x10)), 16 + 64 + 2));
    EXPECT_TRUE(parameter_refused(copy(with_field(good, 16 + 64 + 4, 2, 2)), 16 + 64 + 4));
    EXPECT_TRUE(parameter_refused(copy(with_field(good, 16 + 64 + 6, 2, 2)), 16 + 64 + 6));
    EXPECT_EQ(initiator.run({block_cdb(16, 0x83, 0, good.size()), part(good, 0, 40)}).outcome, Outcome::overrun);
    EXPECT_TRUE(source.disk->seen().empty());
    EXPECT_TRUE(destination.disk->seen().empty());
    EXPECT_TRUE(field_refused(status(), 2)) << "none has begun";
}

TEST_F(ExtendedCopy, a_unit_that_is_no_disk_here_is_not_reached) {
    const Bytes good = copy_list(both, {segment_descriptor(0, 1, 1, 0, 0)});
    const auto aborted = [&](const Bytes& list, AdditionalSense code) {
        const Reply reply = copy(list);
        EXPECT_TRUE(failed_with(reply, SenseKey::copy_aborted, code)) << reply;
    };
    aborted(with_field(good, 17, 1, 1), AdditionalSense::incorrect_copy_target_device_type);
    aborted(with_field(good, 24, 8, 77), AdditionalSense::copy_target_device_not_reachable);
    aborted(with_field(good, 21, 1, 2), AdditionalSense::copy_target_device_not_reachable);
    destination.unit->stopped = true;
    aborted(good, AdditionalSense::copy_target_device_not_reachable);
    destination.unit->stopped = false;
    destination.unit->software_write_protected = true;
    aborted(good, AdditionalSense::write_protected);
    destination.unit->software_write_protected = false;
    initiator.domain().find(0, Lun(1))->barred = Nexus::barred_from_writing;
    aborted(good, AdditionalSense::third_party_device_failure);
    EXPECT_TRUE(destination.disk->seen().empty());
    initiator.domain().find(0, Lun(1))->barred = Nexus::barred_from_reading;
    EXPECT_TRUE(copy(good).good());
    initiator.domain().find(0, Lun(0))->barred = Nexus::barred_by_reserve;
    EXPECT_EQ(initiator.run(copying(good)).status, Status::reservation_conflict);
}

TEST_F(ExtendedCopy, blocks_of_other_sizes_have_to_fit) {
    storage::BlockGeometry geometry;
    geometry.capacity_bytes = 1U << 20U;
    geometry.logical_block_bytes = 4096;
    geometry.physical_block_bytes = 4096;
    FakeUnit large(geometry, called("large"));
    initiator.add(large.unit, 3, Lun(0));
    const std::vector<Bytes> targets{both[0], target_descriptor(*large.unit)};
    EXPECT_TRUE(copy(copy_list(targets, {segment_descriptor(0, 1, 8, 0, 1)})).good());
    EXPECT_EQ(large.disk->contents(4096, 4096), part(data, 0, 4096));
    EXPECT_EQ(copy(copy_list(targets, {segment_descriptor(0, 1, 7, 0, 1)})).code(),
              AdditionalSense::copy_segment_granularity_violation);
    EXPECT_TRUE(copy(copy_list(targets, {segment_descriptor(0, 1, 2, 8, 3, 2)})).good())
        << "counted in the larger ones";
    EXPECT_EQ(large.disk->contents(3 * 4096, 8192), part(data, 8 * 512, 8192));
}

TEST_F(ExtendedCopy, a_failure_is_told_with_its_segment_and_once_more_on_request) {
    const std::vector<Bytes> segments{segment_descriptor(0, 1, 1, 0, 0), segment_descriptor(0, 1, 1, 5, 5)};
    storage::Fault fault;
    fault.operation = BlockOperation::write;
    fault.skip = 1;
    fault.times = 1;
    destination.disk->add_fault(fault);
    const Reply reply = copy_segments(segments);
    EXPECT_TRUE(failed_with(reply, SenseKey::copy_aborted, AdditionalSense::third_party_device_failure)) << reply;
    EXPECT_EQ(reply.sense->command_information, 1U);
    EXPECT_EQ(status().data_in, bytes({0, 0, 0, 8, 2, 0, 1, 0, 0, 0, 2, 0}));
    const Bytes details = receive(4, 5).data_in;
    ASSERT_EQ(details.size(), 60 + reply.sense_bytes.size());
    EXPECT_EQ(details[56], std::byte{2});
    EXPECT_EQ(part(details, 60, reply.sense_bytes.size()), reply.sense_bytes);
    EXPECT_TRUE(field_refused(receive(4, 5), 2)) << "told once";
    fail_once(*source.disk, BlockOperation::read);
    EXPECT_EQ(copy_segments(segments).code(), AdditionalSense::third_party_device_failure);
}

TEST_F(ExtendedCopy, one_under_way_is_told_and_its_list_identifier_in_use) {
    hold_back(*destination.disk);
    const Bytes list = copy_list(both, {segment_descriptor(0, 1, 1, 0, 0)});
    const auto sent = initiator.send(copying(list));
    initiator.work();
    EXPECT_EQ(status().data_in[4], std::byte{0});
    EXPECT_EQ(copy(list).code(), AdditionalSense::operation_in_progress);
    Initiator second("second");
    second.add(source.unit);
    EXPECT_TRUE(field_refused(second.run(with_field(block_cdb(16, 0x84, 0, 12, 0), 2, 1, 5), 12), 2))
        << "each nexus has its own";
    bool answered = false;
    initiator.domain().manage(TaskManagement::abort_task_set, 0, Lun(0), 0,
                              [&](TaskManagementResponse) { answered = true; });
    EXPECT_EQ(initiator.take(sent).outcome, Outcome::aborted);
    EXPECT_TRUE(answered);
    EXPECT_EQ(status().data_in[4], std::byte{2}) << "it has not come to a good end";
}

TEST_F(ExtendedCopy, the_other_unit_may_go_in_the_middle) {
    hold_back(*source.disk);
    const auto sent = initiator.send(copying(copy_list(both, {segment_descriptor(0, 1, 1, 0, 0)})));
    initiator.work();
    ASSERT_TRUE(initiator.domain().remove(0, Lun(1)));
    source.disk->release_all();
    EXPECT_EQ(initiator.take(sent).code(), AdditionalSense::copy_target_device_not_reachable);
}

TEST_F(ExtendedCopy, a_write_in_the_other_unit_is_finished_after_its_removal) {
    hold_back(*destination.disk);
    const auto sent = initiator.send(copying(copy_list(both, {segment_descriptor(0, 1, 1, 0, 0)})));
    initiator.work();
    ASSERT_TRUE(initiator.domain().remove(0, Lun(1)));
    initiator.work();
    initiator.run(read_10(0, 1), 512);
    destination.disk->release_all();
    EXPECT_TRUE(initiator.take(sent).good());
    initiator.run(read_10(0, 1), 512);
    EXPECT_EQ(destination.disk->open_queue_count(), 0U);
}

TEST_F(ExtendedCopy, a_copy_respects_what_another_command_has_to_itself) {
    hold_back(*destination.disk, BlockOperation::read);
    Request exclusive{with_field(block_cdb(16, 0x89, 0, 0), 13, 1, 1), Bytes(1024)};
    exclusive.lun = Lun(1);
    const auto compare = initiator.send(exclusive);
    initiator.work();
    initiator.work();
    const auto sent = initiator.send(copying(copy_list(both, {segment_descriptor(0, 1, 1, 0, 0)})));
    EXPECT_FALSE(initiator.finished(sent));
    destination.disk->clear_faults();
    destination.disk->release_all();
    EXPECT_TRUE(initiator.take(compare).good());
    EXPECT_TRUE(initiator.take(sent).good());
    EXPECT_EQ(destination.disk->contents(0, 512), part(data, 0, 512));
}

}  // namespace
}  // namespace sidecore::scsi::test
