// SPDX-License-Identifier: Apache-2.0
// When a write has to be stable before it completes (VIRTIO 1.3, 5.2.6.2 "A write becomes stable"): every combination of
// what the driver negotiates, what it writes to `writeback`, and what the storage keeps in a volatile cache.
#include <array>
#include <ostream>

#include <gtest/gtest.h>

#include "device/driven_disk.hh"

namespace sidecore::device {
namespace {

using frontend::BlkStatus;
using frontend::BlkType;
using storage::BlockOperation;
using storage::FakeDisk;

constexpr std::uint32_t writeback_offset = offsetof(blk::Config, writeback);

struct Case {
    bool flush;
    bool config_wce;
    bool volatile_cache;
    bool starts_durable;
    std::uint8_t starts_writeback;  // as the field reads
    bool durable_after_0;           // after the driver wrote 0
    bool durable_after_1;
};

void PrintTo(const Case& one, std::ostream* out) {
    *out << (one.flush ? "flush" : "no_flush") << (one.config_wce ? "_config_wce" : "")
         << (one.volatile_cache ? "_volatile" : "_stable");
}

class CacheMode : public testing::TestWithParam<Case> {
protected:
    static std::shared_ptr<FakeDisk> make_storage() {
        storage::BlockGeometry geometry;
        geometry.capacity_bytes = 1U << 20U;
        geometry.can_discard = geometry.can_write_zeroes = geometry.write_zeroes_may_unmap = true;
        geometry.volatile_write_cache = GetParam().volatile_cache;
        return FakeDisk::create(geometry);
    }
    static DrivenDisk::Options options() {
        std::uint64_t refused = 0;
        refused |= GetParam().flush ? 0U : std::uint64_t{blk::feature_flush};
        refused |= GetParam().config_wce ? 0U : std::uint64_t{blk::feature_config_wce};
        return {.refused_features = refused};
    }

    std::uint8_t writeback() { return std::to_integer<std::uint8_t>(disk.config().at(writeback_offset)); }

    void set_writeback(std::uint8_t value) {
        const std::array data{static_cast<std::byte>(value)};
        must(disk.disk().write_config(writeback_offset, data, false));
    }

    /// Whether what changes the disk asks the storage to be durable; and nothing else ever does.
    bool writes_are_durable() {
        const std::size_t before = storage->seen().size();
        const std::vector<std::byte> data(512);
        std::vector<std::byte> room(512);
        const std::array zeroes{frontend::BlkRange{std::uint64_t{0}, std::uint32_t{1}, std::uint32_t{0}},
                                frontend::BlkRange{std::uint64_t{8}, std::uint32_t{1}, std::uint32_t{1}}};
        const std::array discard{frontend::BlkRange{std::uint64_t{0}, std::uint32_t{1}, std::uint32_t{0}}};
        EXPECT_EQ(disk.write(0, data).status, BlkStatus::ok);
        EXPECT_EQ(disk.ranges(BlkType::write_zeroes, zeroes).status, BlkStatus::ok);
        EXPECT_EQ(disk.read(0, room).status, BlkStatus::ok);
        EXPECT_EQ(disk.ranges(BlkType::discard, discard).status, BlkStatus::ok);
        EXPECT_EQ(disk.flush().status, BlkStatus::ok);
        const auto seen = storage->seen();
        EXPECT_EQ(seen.size(), before + 6);
        const bool durable = seen.at(before).durable;
        for (std::size_t i = before; i < seen.size(); ++i) {
            const bool changes = seen[i].operation == BlockOperation::write ||
                                 seen[i].operation == BlockOperation::write_zeroes ||
                                 seen[i].operation == BlockOperation::write_zeroes_unmap;
            EXPECT_EQ(seen[i].durable, changes && durable) << i - before;
        }
        return durable;
    }

    std::shared_ptr<FakeDisk> storage = make_storage();
    DrivenDisk disk{storage->open(), options()};
};

INSTANTIATE_TEST_SUITE_P(
    Negotiated, CacheMode,
    testing::Values(Case{true, true, true, false, 1, true, false}, Case{true, false, true, false, 1, false, false},
                    // 5.2.5.2: `writeback` starts as 0, and stays: without FLUSH there is no way
                    // back to stable.
                    Case{false, true, true, true, 0, true, true}, Case{false, false, true, true, 1, true, true},
                    Case{true, true, false, false, 1, false, false}, Case{true, false, false, false, 1, false, false},
                    Case{false, true, false, false, 0, false, false},
                    Case{false, false, false, false, 1, false, false}),
    testing::PrintToStringParamName());

TEST_P(CacheMode, DecidesWhatIsDurable) {
    EXPECT_EQ(writeback(), GetParam().starts_writeback);
    EXPECT_EQ(writes_are_durable(), GetParam().starts_durable);
    set_writeback(0);
    EXPECT_EQ(writes_are_durable(), GetParam().durable_after_0);
    set_writeback(1);
    EXPECT_EQ(writes_are_durable(), GetParam().durable_after_1);
}

TEST_P(CacheMode, AResetForgetsIt) {
    set_writeback(0);
    disk.disk().reset();
    disk.disk().accept_features(disk.disk().features() & ~options().refused_features);
    EXPECT_EQ(writeback(), GetParam().starts_writeback);
    EXPECT_EQ(writes_are_durable(), GetParam().starts_durable);
}

TEST(CacheModeField, TakesWhatWasWrittenAndNothingButZeroAndOne) {
    DrivenDisk disk(FakeDisk::create(1U << 20U)->open());
    const auto field = [&disk] { return disk.config().at(writeback_offset); };
    const std::array zero{std::byte{0}};
    const std::array two{std::byte{2}};
    must(disk.disk().write_config(writeback_offset, zero, false));
    EXPECT_EQ(field(), std::byte{0});
    for (const bool migration : {false, true}) {
        const auto refused = disk.disk().write_config(writeback_offset, two, migration);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().message, "the writeback field takes 0 or 1, not 2");
        EXPECT_EQ(field(), std::byte{0});
    }
}

TEST(CacheModeField, ChangesBetweenTwoRequestsOfARunningQueue) {
    const auto storage = FakeDisk::create(1U << 20U);
    DrivenDisk disk(storage->open());
    const std::vector<std::byte> data(512);
    for (const int value : {1, 0, 0, 1, 0}) {
        const std::array byte{static_cast<std::byte>(value)};
        must(disk.disk().write_config(writeback_offset, byte, false));
        EXPECT_EQ(disk.write(0, data).status, BlkStatus::ok);
        EXPECT_EQ(storage->seen().back().durable, value == 0);
    }
}

}  // namespace
}  // namespace sidecore::device
