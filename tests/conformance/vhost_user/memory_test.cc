// SPDX-License-Identifier: Apache-2.0
// vhost-user, "Memory region description", "Memory access" and the messages of the memory table.
#include <thread>

#include "vhost_user/session_script.hh"

namespace sidecore::vhost_user {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::open_descriptors;
using testing::SessionScript;

constexpr std::uint64_t page = 0x1000;

class MemoryRegions : public SessionScript {
protected:
    SingleMemoryRegion at(std::uint64_t guest, std::uint64_t user, std::uint64_t size = page) const {
        return {0, {guest, size, user_base + user, 0}};
    }
    void add(const SingleMemoryRegion& single) { send(Request::add_mem_reg, single, {memory.get()}, need_reply); }
    void remove(const SingleMemoryRegion& single) { send(Request::rem_mem_reg, single, {}, need_reply); }
};

// "[guest address, guest address + size) of one memory region never overlaps [guest address, guest address + size) of
// another memory region. … Violating any of these is a bug in the front-end"
TEST_F(MemoryRegions, NeverOverlapInGuestAddresses) {
    negotiate();
    add(at(0, 0, 2 * page));
    add(at(page, 0x100000));
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(0U, 1U));
}

// Likewise for user addresses.
TEST_F(MemoryRegions, NeverOverlapInUserAddresses) {
    negotiate();
    add(at(0, 0, 2 * page));
    add(at(0x100000, page));
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(0U, 1U));
}

// "The front-end must remove a region before it can add an overlapping one"
TEST_F(MemoryRegions, MayBeAddedWhereOneWasRemoved) {
    negotiate();
    add(at(0, 0, 2 * page));
    remove(at(0, 0, 2 * page));
    add(at(page, page));
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(0U, 0U, 0U));
}

// "mmap offset: a 64-bit offset where region starts in the mapped memory"
TEST_F(MemoryRegions, StartAtTheirOffsetInTheFile) {
    ASSERT_EQ(::pwrite(memory.get(), "here", 4, 3 * page), 4);
    send_bytes(Request::set_mem_table, table({{0x40000, page, user_base, 3 * page}}), {memory.get()});
    ASSERT_TRUE(run());
    ASSERT_TRUE(handler.map);
    const auto* text = handler.map->translate(memory::GuestAddress{0x40000}, 4);
    ASSERT_NE(text, nullptr);
    EXPECT_EQ(std::memcmp(text, "here", 4), 0);
}

class MemoryAccess : public SessionScript {};

// "User addresses map to the vhost memory region containing that user address"
TEST_F(MemoryAccess, RingsLieAtUserAddresses) {
    // Guest addresses that are not those of the rings, and the regions in no order.
    const std::uint64_t half = memory_size / 2;
    send_bytes(Request::set_mem_table, table({{0x9000'0000, half, user_base + half, half}, {0, half, user_base, 0}}),
               {memory.get(), memory.get()});
    send_setup(1);
    send_fd(Request::set_vring_kick, 1);
    ASSERT_TRUE(run());
    EXPECT_THAT(handler.events, Contains("start_vring 1 size 256 base 0 kick"));
}

TEST_F(MemoryAccess, RingsDoNotLieAtGuestAddresses) {
    send_memory();
    send(Request::set_vring_num, VringState{0, 256});
    send(Request::set_vring_addr, VringAddr{0, 0, 0, 0x8000, 0x4000, 0});
    send_fd(Request::set_vring_kick, 0);
    expect_violation("descriptor address 0x0: its 4096 bytes are not in one piece of the guest's memory");
}

// "These messages can only be used if the CONFIGURE_MEM_SLOTS protocol feature has been successfully negotiated"
TEST_F(MemoryAccess, SlotsOnlyWithTheirFeature) {
    negotiate(mask_of(ProtocolFeature::mq));
    send(Request::add_mem_reg, SingleMemoryRegion{0, region()}, {memory.get()});
    expect_violation("ADD_MEM_REG: protocol feature CONFIGURE_MEM_SLOTS is not negotiated");
}

class SetMemTable : public SessionScript {};

// "The size and ordering of the fds matches the number and ordering of memory regions"
TEST_F(SetMemTable, DescriptorsMatchTheRegions) {
    send_bytes(Request::set_mem_table, table({{0, page, user_base, 0}, {page, page, user_base + page, page}}),
               {memory.get()});
    expect_violation("SET_MEM_TABLE: 1 file descriptors, expected 2, one for each region");
}

TEST_F(SetMemTable, DescriptorsAreInOrder) {
    const Fd second = testing::memory_file(page);
    ASSERT_EQ(::pwrite(second.get(), "second", 6, 0), 6);
    send_bytes(Request::set_mem_table, table({{page, page, user_base + page, 0}, {0, page, user_base, 0}}),
               {memory.get(), second.get()});
    ASSERT_TRUE(run());
    ASSERT_TRUE(handler.map);
    EXPECT_EQ(std::memcmp(handler.map->translate(memory::GuestAddress{0}, 6), "second", 6), 0);
}

// "Sets the memory map regions on the back-end": the regions of the table before are gone.
TEST_F(SetMemTable, ReplacesTheTableBefore) {
    send_memory();
    send_bytes(Request::set_mem_table, table({{0x8000'0000, page, user_base, 0}}), {memory.get()});
    ASSERT_TRUE(run());
    ASSERT_TRUE(handler.map);
    EXPECT_EQ(handler.map->translate(memory::GuestAddress{0}, 1), nullptr);
    EXPECT_NE(handler.map->translate(memory::GuestAddress{0x8000'0000}, page), nullptr);
}

class AddMemReg : public SessionScript {};

// "Exactly one file descriptor from which the memory is mapped is passed in the ancillary data"
TEST_F(AddMemReg, HasExactlyOneDescriptor) {
    negotiate();
    send(Request::add_mem_reg, SingleMemoryRegion{0, region()}, {memory.get(), memory.get()});
    expect_violation("ADD_MEM_REG: 2 file descriptors, expected 1");
}

class RemMemReg : public MemoryRegions {};

// "The memory region to be removed is identified by its guest address, user address and size. The mmap offset is
// ignored"
TEST_F(RemMemReg, IsIdentifiedByAddressesAndSize) {
    negotiate();
    add(at(0, 0));
    remove(at(page, 0));
    remove(at(0, page));
    remove(at(0, 0, 2 * page));
    SingleMemoryRegion other_offset = at(0, 0);
    other_offset.region.mmap_offset = 0x123456;
    remove(other_offset);
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(0U, 1U, 1U, 1U, 0U));
}

// "For compatibility with existing incorrect implementations, the back-end MAY accept messages with one file descriptor.
// If a file descriptor is passed, the back-end MUST close it without using it otherwise"
TEST_F(RemMemReg, ClosesADescriptorThatComesAlong) {
    negotiate();
    add(at(0, 0));
    send(Request::rem_mem_reg, at(0, 0), {memory.get()}, need_reply);
    const std::size_t before = open_descriptors();
    ASSERT_TRUE(run());
    EXPECT_THAT(reply_values(), ElementsAre(0U, 0U));
    handler.map.reset();
    EXPECT_EQ(open_descriptors(), before - 1);  // the session's socket
}

class GetMaxMemSlots : public SessionScript {};

// "The back-end should return the message with a u64 payload containing the maximum number of memory slots"
TEST_F(GetMaxMemSlots, SaysHowManyFit) {
    negotiate();
    std::thread runner([this] { EXPECT_TRUE(session->run()); });
    const auto answer = [this] {
        const auto reply = front_end().receive();
        return reply ? read_payload<std::uint64_t>(reply->payload) : ~std::uint64_t{0};
    };
    send(Request::get_max_mem_slots);
    const std::uint64_t slots = answer();
    EXPECT_EQ(slots, 509U);
    for (std::uint64_t i = 0; i < slots; ++i) {
        send(Request::add_mem_reg, SingleMemoryRegion{0, {2 * i * page, page, user_base + 2 * i * page, 0}},
             {memory.get()}, need_reply);
        ASSERT_EQ(answer(), 0U) << i;
    }
    send(Request::add_mem_reg, SingleMemoryRegion{0, {2 * slots * page, page, user_base + 2 * slots * page, 0}},
         {memory.get()}, need_reply);
    EXPECT_EQ(answer(), 1U);
    session->stop();
    runner.join();
    EXPECT_EQ(handler.map->region_count(), slots);
}

}  // namespace
}  // namespace sidecore::vhost_user
