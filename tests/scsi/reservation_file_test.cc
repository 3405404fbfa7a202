// SPDX-License-Identifier: Apache-2.0
#include "scsi/reservation_file.hh"

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/state_file.hh"
#include "scsi/reserver.hh"

namespace sidecore::scsi::test {
namespace {

using Action = ReservationAction;
using Type = ReservationType;

class KeptReservations : public testing::Test {
protected:
    KeptReservations() : directory_("/var/tmp/sidecore-reservations-XXXXXX") {
        if (::mkdtemp(directory_.data()) == nullptr) {
            throw std::runtime_error("no temporary directory");
        }
        options.reservations_file = directory_ + "/disk";
    }
    ~KeptReservations() override { std::filesystem::remove_all(directory_); }

    std::string text() const {
        std::ifstream file(options.reservations_file);
        std::stringstream all;
        all << file.rdbuf();
        return all.str();
    }
    void write(const std::string& text) const { std::ofstream(options.reservations_file) << text; }
    bool exists() const { return std::filesystem::exists(options.reservations_file); }

    std::string error_of_create() const {
        const auto disk = storage::FakeDisk::create(1U << 20U);
        const auto unit = LogicalUnit::create(disk->open(), options);
        return unit ? "none" : unit.error().message;
    }

    LogicalUnit::Options options;
    std::string directory_;
};

TEST_F(KeptReservations, what_is_kept_is_there_after_a_restart) {
    {
        Cluster before(options);
        EXPECT_EQ(before.a.run(reserve_in(2)).data_in, bytes({0, 8, 0x1d, 0x80, 0xea, 0x01, 0, 0}));
        before.enrol(before.b, 2, aptpl);
        before.enrol(before.a, 0xffffffffffffffff, aptpl);
        before.reserve(before.a, 0xffffffffffffffff, Type::exclusive_access_registrants_only);
        EXPECT_EQ(before.a.run(reserve_in(2)).data_in, bytes({0, 8, 0x1d, 0x81, 0xea, 0x01, 0, 0}));
    }
    {
        Cluster after(options);
        EXPECT_EQ(keys(after.c), (Keys{0, {2, 0xffffffffffffffff}})) << "PRGENERATION begins anew";
        EXPECT_EQ(reservation(after.c), std::pair(Type::exclusive_access_registrants_only, ~std::uint64_t{0}));
        EXPECT_TRUE(conflicts(after.c.run(read_10(0, 1), 512)));
        EXPECT_TRUE(after.b.run(read_10(0, 1), 512).good());
        EXPECT_TRUE(
            after.a.run(ReserveOut{Action::release, ~std::uint64_t{0}, 0, Type::exclusive_access_registrants_only})
                .good());
        EXPECT_EQ(after.b.attention(), AdditionalSense::reservations_released);
        after.reserve(after.b, 2, Type::write_exclusive_all_registrants);
    }
    Cluster again(options);
    EXPECT_EQ(reservation(again.c), std::pair(Type::write_exclusive_all_registrants, std::uint64_t{0}));
    EXPECT_TRUE(again.a.run(ReserveOut{Action::clear, ~std::uint64_t{0}}).good());
    EXPECT_FALSE(exists());
}

TEST_F(KeptReservations, the_latest_word_about_keeping_counts) {
    {
        Cluster before(options);
        before.enrol(before.a, 1);
        EXPECT_FALSE(exists());
        before.enrol(before.b, 2, aptpl);
        EXPECT_TRUE(exists());
        before.enrol(before.b, 3);
        EXPECT_FALSE(exists());
    }
    Cluster after(options);
    EXPECT_EQ(keys(after.a), Keys{});
}

TEST_F(KeptReservations, moves_are_kept_and_take_their_own_word) {
    {
        Cluster before(options);
        before.enrol(before.a, 1);
        before.reserve(before.a, 1, Type::exclusive_access);
        EXPECT_TRUE(before.a.run(move_to(1, 2, transport_id_of("b"), 1, 3)).good());
    }
    Cluster after(options);
    EXPECT_EQ(keys(after.b).keys, std::vector<std::uint64_t>{2});
    EXPECT_TRUE(after.b.run(write_10(0, 1), Bytes(512)).good());
    EXPECT_TRUE(conflicts(after.a.run(read_10(0, 1), 512)));
}

TEST_F(KeptReservations, what_cannot_be_written_is_refused_and_changes_nothing) {
    Cluster cluster(options);
    cluster.enrol(cluster.a, 1, aptpl);
    // A directory in the place of the temporary file: root, too, cannot write there.
    ASSERT_TRUE(std::filesystem::create_directory(options.reservations_file + ".new"));
    for (const Request& request : {Request(ReserveOut{Action::reserve, 1, 0, Type::exclusive_access}),
                                   Request(ReserveOut{Action::register_key, 1, 2, {}, aptpl})}) {
        EXPECT_TRUE(
            failed_with(cluster.a.run(request), SenseKey::hardware_error, AdditionalSense::internal_target_failure));
    }
    EXPECT_EQ(keys(cluster.b), (Keys{1, {1}}));
    EXPECT_EQ(reservation(cluster.b).first, Type::none);
    std::filesystem::remove(options.reservations_file + ".new");
    cluster.reserve(cluster.a, 1, Type::exclusive_access);
}

TEST_F(KeptReservations, commands_wait_for_one_that_is_being_written) {
    Cluster cluster(options);
    std::vector<std::uint64_t> sent;
    for (std::uint64_t key = 1; key <= 20; ++key) {
        sent.push_back(cluster.a.send(ReserveOut{Action::register_ignoring, 0, key, {}, aptpl}));
    }
    for (const std::uint64_t number : sent) {
        EXPECT_TRUE(cluster.a.take(number).good());
    }
    EXPECT_EQ(keys(cluster.a).generation, 20U);
}

TEST_F(KeptReservations, one_that_is_aborted_while_it_is_written_still_ends_whole) {
    Cluster cluster(options);
    Request request = ReserveOut{Action::register_key, 0, 5, {}, aptpl};
    request.tag = 7;
    const auto number = cluster.a.send(request);
    cluster.a.domain().manage(TaskManagement::abort_task, 0, Lun(0), 7, [](TaskManagementResponse) {});
    EXPECT_EQ(cluster.a.take(number).outcome, Outcome::aborted);
    EXPECT_TRUE(cluster.a.run(ReserveOut{Action::register_ignoring, 0, 6, {}, aptpl}).good());
    EXPECT_EQ(keys(cluster.a), (Keys{2, {6}}));
}

TEST_F(KeptReservations, a_unit_may_go_while_its_reservations_are_written) {
    Cluster cluster(options);
    Request request = ReserveOut{Action::register_key, 0, 5, {}, aptpl};
    const auto number = cluster.a.send(request);
    cluster.a.domain().manage(TaskManagement::abort_task_set, 0, Lun(0), 0, [](TaskManagementResponse) {});
    cluster.a.take(number);
    for (Initiator* each : {&cluster.a, &cluster.b, &cluster.c}) {
        ASSERT_TRUE(each->domain().remove(0, Lun(0)));
    }
    cluster.a.work();
    cluster.fake.unit.reset();
    EXPECT_THAT(text(), testing::HasSubstr("\"key\": 5"));
}

TEST_F(KeptReservations, files_that_are_broken_or_of_something_else_are_errors) {
    {
        Cluster before(options);
        before.enrol(before.a, 1, aptpl);
        before.reserve(before.a, 1, Type::exclusive_access);
    }
    const std::string sound = text();
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string changed = sound;
        const auto at = changed.find(from);
        EXPECT_NE(at, std::string::npos) << from << " in " << sound;
        changed.replace(at, from.size(), to);
        write(changed);
        return error_of_create();
    };
    using testing::AllOf;
    using testing::HasSubstr;
    const auto names_file = AllOf(HasSubstr(options.reservations_file), HasSubstr("remove the file"));
    EXPECT_EQ(with("1", "1"), "none");
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {"{", ""},
             {"sidecore persistent", "other"},
             {"\"version\": 1", "\"version\": 2"},
             {"\"unit\": \"3", "\"unit\": \"4"},
             {"\"type\": 3", "\"type\": 2"},
             {"\"type\": 3", "\"type\": 259"},
             {"\"type\": 3", "\"type\": \"3\""},
             {"\"type\": 3", "\"type\": 0"},
             {"\"port\": 1", "\"port\": 0"},
             {"\"port\": 1", "\"port\": 65536"},
             {"\"port\": 1", "\"port\": -1"},
             {"\"key\": 1", "\"key\": 0"},
             {"\"key\": 1", "\"key\": 1.5"},
             {"\"key\": 1", "\"other\": 1"},
             {"\"holder\": true", "\"holder\": false"},
             {"\"holder\": true", "\"holder\": 1"},
             {"\"initiator\": \"06", "\"initiator\": \"0"},
             {"\"initiator\": \"06", "\"initiator\": \"zz"},
             {"\"registrations\": [", "\"registrations\": 5, \"x\": ["},
         }) {
        EXPECT_THAT(with(from, to), names_file) << from << " becomes " << to;
    }
    write("");
    EXPECT_THAT(error_of_create(), names_file);
    write("");
    std::filesystem::resize_file(options.reservations_file, state_file_bytes_max + 1);
    EXPECT_THAT(error_of_create(), AllOf(names_file, HasSubstr("is longer than")));
    std::filesystem::remove(options.reservations_file);
    std::filesystem::create_directory(options.reservations_file);
    EXPECT_THAT(error_of_create(), HasSubstr(options.reservations_file));
    options.reservations_file = directory_ + "/missing/disk";
    EXPECT_THAT(error_of_create(), HasSubstr("directory"));
}

TEST_F(KeptReservations, another_disk_s_file_is_refused) {
    {
        Cluster before(options);
        before.enrol(before.a, 1, aptpl);
    }
    options.serial = "another";
    EXPECT_THAT(error_of_create(), testing::HasSubstr("it is of the disk"));
}

}  // namespace
}  // namespace sidecore::scsi::test
