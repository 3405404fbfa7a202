// SPDX-License-Identifier: Apache-2.0
#include "base/state_file.hh"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "daemon/scratch_folder.hh"

namespace sidecore {
namespace {

TEST(StateFiles, what_is_written_is_read) {
    const test::ScratchFolder folder;
    const std::string path = folder / "state";
    ASSERT_TRUE(write_state_file(path, "one"));
    EXPECT_EQ(read_state_file(path).value(), "one");
    const std::string longer(100'000, 'x');
    ASSERT_TRUE(write_state_file(path, longer));
    EXPECT_EQ(read_state_file(path).value(), longer);
    ASSERT_TRUE(write_state_file(path, ""));
    EXPECT_EQ(read_state_file(path).value(), "");
    EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST(StateFiles, one_that_is_not_there_is_not_found) {
    const test::ScratchFolder folder;
    const auto read = read_state_file(folder / "state");
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().kind, ErrorKind::not_found);
}

TEST(StateFiles, one_that_cannot_be_written_stays_as_it_was) {
    const test::ScratchFolder folder;
    const std::string path = folder / "state";
    ASSERT_TRUE(write_state_file(path, "one"));
    std::filesystem::create_directory(path + ".new");
    EXPECT_FALSE(write_state_file(path, "two"));
    EXPECT_EQ(read_state_file(path).value(), "one");
    const auto nowhere = write_state_file(folder / "no/such/state", "one");
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error().os_error, ENOENT);
}

TEST(StateFiles, one_that_is_removed_is_gone_and_may_be_gone_already) {
    const test::ScratchFolder folder;
    const std::string path = folder / "state";
    EXPECT_TRUE(remove_state_file(path));
    ASSERT_TRUE(write_state_file(path, "one"));
    EXPECT_TRUE(remove_state_file(path));
    EXPECT_FALSE(std::filesystem::exists(path));
    std::filesystem::create_directory(path);
    EXPECT_FALSE(remove_state_file(path)) << "a folder is no file";
}

TEST(StateFiles, a_folder_or_a_giant_is_refused) {
    const test::ScratchFolder folder;
    EXPECT_FALSE(read_state_file(folder.path()));
    const std::string path = folder / "giant";
    std::ofstream(path).close();
    std::filesystem::resize_file(path, state_file_bytes_max + 1);
    const auto read = read_state_file(path);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().kind, ErrorKind::invalid_argument);
}

}  // namespace
}  // namespace sidecore
