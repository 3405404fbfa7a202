// SPDX-License-Identifier: Apache-2.0
#include "daemon/served_units.hh"

#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/scratch_folder.hh"
#include "scsi/initiator.hh"

namespace sidecore::daemon {
namespace {

using control::UnitAddress;
using control::UnitSpec;
using scsi::AdditionalSense;
using scsi::test::Initiator;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

control::ScsiDiskSpec memory_disk() {
    control::ScsiDiskSpec disk;
    disk.storage.kind = control::StorageKind::memory;
    disk.storage.size_bytes = 1U << 20U;
    return disk;
}

UnitSpec memory_unit(std::optional<std::uint16_t> lun = {}, std::uint8_t target = 0) {
    return {target, lun, "", memory_disk()};
}

scsi::test::Request ready(UnitAddress address) {
    scsi::test::Request request{scsi::test::test_unit_ready()};
    request.target = address.target;
    request.lun = scsi::Lun(address.lun);
    return request;
}

class ServedUnitsTest : public ::testing::Test {
protected:
    static constexpr std::chrono::milliseconds short_limit{50};

    void add(const UnitSpec& spec) {
        const auto added = units_.add(spec, {});
        ASSERT_TRUE(added) << added.error().message;
    }

    std::string error_of(const UnitSpec& spec) {
        const auto added = units_.add(spec, {});
        return added ? "no error" : added.error().message;
    }

    /// As the worker of the guest's queue does meanwhile.
    /// The limit is a short one, and the guest may have to wait for a CPU.
    Result<void> remove_while_working(UnitAddress address) {
        auto removed = std::async(std::launch::async, [&] {
            Result<void> done = units_.remove(address);
            for (int i = 0; i < 100 && !done && done.error().kind == ErrorKind::timed_out; ++i) {
                done = units_.remove(address);
            }
            return done;
        });
        while (removed.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
            guest_.work();
        }
        return removed.get();
    }

    test::ScratchFolder folder_;
    Initiator guest_{"vm1"};
    ServedUnits units_{"vm1", guest_.domain(), short_limit};
};

TEST_F(ServedUnitsTest, AreThereForTheGuest) {
    const auto added = units_.add(memory_unit(3, 2), {});
    ASSERT_TRUE(added) << added.error().message;
    EXPECT_EQ(added->address, (UnitAddress{2, 3}));
    EXPECT_EQ(added->shared_disk, "");
    EXPECT_EQ(added->disk.serial, "vm1-2-3");
    EXPECT_THAT(added->disk.identity, AllOf(StartsWith("naa.3"), SizeIs(20)));
    EXPECT_EQ(added->disk.capacity_bytes, 1U << 20U);
    EXPECT_EQ(added->disk.storage_kind, "memory");
    EXPECT_FALSE(added->disk.read_only);
    EXPECT_EQ(units_.info({2, 3}).value(), *added);
    EXPECT_THAT(units_.infos(), ElementsAre(*added));
    EXPECT_EQ(guest_.attention(2, scsi::Lun(3)), AdditionalSense::power_on_occurred);
    EXPECT_TRUE(guest_.run(ready({2, 3})).good());
}

TEST_F(ServedUnitsTest, GetTheLowestLunThatIsFree) {
    add(memory_unit(0));
    add(memory_unit(2));
    EXPECT_EQ(units_.add(memory_unit(), {}).value().address, (UnitAddress{0, 1}));
    EXPECT_EQ(units_.add(memory_unit(), {}).value().address, (UnitAddress{0, 3}));
    EXPECT_EQ(units_.add(memory_unit({}, 9), {}).value().address, (UnitAddress{9, 0}));
    EXPECT_EQ(error_of(memory_unit(2)), "the device \"vm1\" has a unit 0:2 already");
}

TEST_F(ServedUnitsTest, ThatCannotBeServedAreNotThere) {
    UnitSpec spec = memory_unit(1);
    spec.disk.storage = {
        control::StorageKind::file, folder_ / "none.img", 0, false, control::FileEngine::automatic, {}};
    EXPECT_THAT(error_of(spec), AllOf(StartsWith("vm1 unit 0:1: "), HasSubstr("none.img")));
    spec.shared_disk = "quorum";
    EXPECT_EQ(error_of(spec), "vm1 unit 0:1: there is no disk \"quorum\"");
    EXPECT_THAT(units_.infos(), IsEmpty());
    EXPECT_EQ(units_.info({0, 1}).error().message, "the device \"vm1\" has no unit 0:1");
    EXPECT_EQ(units_.remove({0, 1}).error().kind, ErrorKind::not_found);
    EXPECT_EQ(units_.resize({0, 1}, 512).error().kind, ErrorKind::not_found);
    EXPECT_EQ(guest_.domain().find(0, scsi::Lun(1)), nullptr);
}

TEST_F(ServedUnitsTest, TwoDisksWithOneSerialAreRefused) {
    UnitSpec spec = memory_unit(0);
    spec.disk.serial = "S";
    add(spec);
    spec.lun = 1;
    EXPECT_EQ(error_of(spec),
              "vm1 unit 0:1: the unit 0:0 is another disk with the same serial \"S\"; give one of them another serial");
}

TEST_F(ServedUnitsTest, AreResizedAndTheGuestHears) {
    add(memory_unit(0));
    EXPECT_EQ(guest_.attention(), AdditionalSense::power_on_occurred);
    const auto resized = units_.resize({0, 0}, 2U << 20U);
    ASSERT_TRUE(resized) << resized.error().message;
    EXPECT_EQ(resized->disk.capacity_bytes, 2U << 20U);
    EXPECT_EQ(guest_.attention(), AdditionalSense::capacity_data_has_changed);
    EXPECT_THAT(units_.resize({0, 0}, 1000).error().message, StartsWith("vm1 unit 0:0: "));
}

TEST_F(ServedUnitsTest, AreGoneWithTheirStorageWhenRemoved) {
    const std::string image = folder_ / "d.img";
    std::ofstream(image) << std::string(4096, 'x');
    UnitSpec spec = memory_unit(0);
    spec.disk.storage = {control::StorageKind::file, image, 0, false, control::FileEngine::threads, {}};
    add(spec);
    EXPECT_EQ(guest_.attention(), AdditionalSense::power_on_occurred);
    ASSERT_TRUE(guest_.run(scsi::test::read_10(0, 1), 512).good());
    const auto removed = remove_while_working({0, 0});
    ASSERT_TRUE(removed) << removed.error().message;
    EXPECT_THAT(units_.infos(), IsEmpty());
    add(spec);  // nobody has it open, and locked
}

TEST_F(ServedUnitsTest, AStorageThatIsStillInUseIsTold) {
    add(memory_unit(0));
    EXPECT_EQ(guest_.attention(), AdditionalSense::power_on_occurred);
    // The guest's queue knows the unit, and nobody works on it who would let go.
    const auto removed = units_.remove({0, 0});
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().kind, ErrorKind::timed_out);
    EXPECT_THAT(removed.error().message,
                AllOf(StartsWith("vm1: the guest has lost the unit 0:0, but "), HasSubstr("is still in use"),
                      HasSubstr("50 ms"), HasSubstr("remove it again to go on waiting")));
    EXPECT_THAT(units_.infos(), IsEmpty());
    EXPECT_EQ(units_.remove({0, 0}).error().kind, ErrorKind::timed_out);
    const auto at_last = remove_while_working({0, 0});
    EXPECT_TRUE(at_last) << at_last.error().message;
    EXPECT_EQ(units_.remove({0, 0}).error().kind, ErrorKind::not_found);
}

TEST_F(ServedUnitsTest, OfASharedDiskAreOneDisk) {
    const auto shared = make_unit(memory_disk(), "quorum").value();
    const DiskFinder find = [&](std::string_view name) -> Result<std::shared_ptr<scsi::LogicalUnit>> {
        return name == "quorum" ? Result<std::shared_ptr<scsi::LogicalUnit>>(shared)
                                : failure(ErrorKind::not_found, "there is none");
    };
    Initiator other("vm2");
    ServedUnits others("vm2", other.domain(), short_limit);
    const UnitSpec spec{0, {}, "quorum", {}};
    EXPECT_EQ(units_.add(spec, find).value().disk.serial, "quorum");
    EXPECT_EQ(units_.add(spec, find).value().address, (UnitAddress{0, 1})) << "two ways of one guest to it";
    ASSERT_TRUE(others.add({4, 5, "quorum", {}}, find));
    EXPECT_EQ(others.add({4, 6, "x", {}}, find).error().message, "vm2 unit 4:6: there is none");
    EXPECT_THAT(units_.of_disk("quorum"), ElementsAre(UnitAddress{0, 0}, UnitAddress{0, 1}));
    EXPECT_THAT(others.of_disk("quorum"), ElementsAre(UnitAddress{4, 5}));
    EXPECT_THAT(others.of_disk(""), IsEmpty());
    EXPECT_EQ(shared->nexuses().size(), 3U);

    ASSERT_TRUE(units_.resize({0, 0}, 2U << 20U));
    EXPECT_EQ(others.info({4, 5}).value().disk.capacity_bytes, 2U << 20U);
    ASSERT_TRUE(units_.remove({0, 0})) << "the disk stays, and is not waited for";
    EXPECT_EQ(shared->nexuses().size(), 2U);
}

TEST(MakeUnit, SaysWhatTheSpecificationSays) {
    control::ScsiDiskSpec spec = memory_disk();
    spec.vendor = "ACME";
    spec.product = "thing";
    spec.revision = "9";
    spec.rotational = true;
    spec.read_only = true;
    const auto unit = make_unit(spec, "x");
    ASSERT_TRUE(unit) << unit.error().message;
    EXPECT_EQ((*unit)->options().vendor, "ACME");
    EXPECT_EQ((*unit)->options().product, "thing");
    EXPECT_EQ((*unit)->options().revision, "9");
    EXPECT_TRUE((*unit)->options().rotational);
    EXPECT_TRUE((*unit)->read_only());
    EXPECT_EQ((*unit)->serial(), "x");
    const auto plain = make_unit(memory_disk(), "y").value();
    EXPECT_EQ(plain->options().vendor, "SIDECORE");
    EXPECT_FALSE(plain->read_only());
}

TEST(MakeUnit, LongNamesMakeSerialsThatDiffer) {
    const std::string name(60, 'a');
    const std::string one = make_unit(memory_disk(), name + "-0-1").value()->serial();
    const std::string other = make_unit(memory_disk(), name + "-0-2").value()->serial();
    EXPECT_NE(one, other);
    EXPECT_EQ(one.size(), 32U);
    EXPECT_EQ(make_unit(memory_disk(), name + "-0-1").value()->serial(), one);
    EXPECT_EQ(make_unit(memory_disk(), std::string(32, 'b')).value()->serial(), std::string(32, 'b'));
}

TEST(MakeUnit, TwoDisksDoNotKeepReservationsInOneFile) {
    const test::ScratchFolder folder;
    control::ScsiDiskSpec spec = memory_disk();
    spec.reservations_file = folder / "r.json";
    auto first = make_unit(spec, "a");
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ((*first)->options().reservations_file, spec.reservations_file);
    control::ScsiDiskSpec same = spec;
    same.reservations_file = folder / "./r.json";
    EXPECT_EQ(make_unit(same, "b").error().message,
              "reservations_file: " + same.reservations_file + " is another disk's; each needs a file of its own");
    first->reset();
    EXPECT_TRUE(make_unit(same, "b"));
}

}  // namespace
}  // namespace sidecore::daemon
