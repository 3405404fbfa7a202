// SPDX-License-Identifier: Apache-2.0
#include "storage/factory.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/temporary_file.hh"

namespace sidecore::storage::test {
namespace {

using testing::HasSubstr;

StorageSpec spec_of(StorageKind kind) {
    StorageSpec spec;
    spec.kind = kind;
    return spec;
}

/// Expects a refusal that names the setting.
void expect_refused(const StorageSpec& spec, const std::string& setting) {
    const auto backend = open_storage(spec);
    ASSERT_FALSE(backend) << setting;
    EXPECT_EQ(backend.error().kind, ErrorKind::invalid_argument);
    EXPECT_THAT(backend.error().message, HasSubstr('"' + setting + '"'));
}

TEST(FactoryTest, NamesAreThoseOfTheConfiguration) {
    for (const StorageKind kind : {StorageKind::null, StorageKind::memory, StorageKind::file}) {
        EXPECT_EQ(parse_storage_kind(to_string(kind)), kind);
    }
    for (const FileEngine engine : {FileEngine::automatic, FileEngine::io_uring, FileEngine::threads}) {
        EXPECT_EQ(parse_file_engine(to_string(engine)), engine);
    }
    EXPECT_EQ(to_string(FileEngine::automatic), "auto");
    EXPECT_THAT(parse_storage_kind("nul").error().message, HasSubstr("null, memory or file"));
    EXPECT_THAT(parse_file_engine("aio").error().message, HasSubstr("auto, io_uring or threads"));
}

TEST(FactoryTest, MakesEachKind) {
    const TemporaryDirectory directory;
    for (const StorageKind kind : {StorageKind::null, StorageKind::memory, StorageKind::file}) {
        StorageSpec spec = spec_of(kind);
        if (kind == StorageKind::file) {
            spec.path = make_file(directory / "disk", 1 << 20);
            spec.engine = FileEngine::threads;
            spec.threads = 3;
        } else {
            spec.size_bytes = 1 << 20;
        }
        spec.read_only = true;
        const auto backend = open_storage(spec);
        ASSERT_TRUE(backend) << backend.error().message;
        EXPECT_EQ((*backend)->kind(), to_string(kind));
        EXPECT_EQ((*backend)->geometry().capacity_bytes, 1U << 20U);
        EXPECT_TRUE((*backend)->geometry().read_only);
        EXPECT_THAT((*backend)->description(), HasSubstr("read-only"));
        if (kind == StorageKind::file) {
            EXPECT_THAT((*backend)->description(), HasSubstr("3 threads"));
        }
    }
}

TEST(FactoryTest, ASizeIsNeededWithoutAFile) {
    for (const StorageKind kind : {StorageKind::null, StorageKind::memory}) {
        StorageSpec spec = spec_of(kind);
        expect_refused(spec, "size");
        spec.size_bytes = 0;
        EXPECT_THAT(open_storage(spec).error().message, HasSubstr("cannot be 0"));
        spec.size_bytes = 1000;
        EXPECT_THAT(open_storage(spec).error().message, HasSubstr("multiple of 512"));
    }
}

TEST(FactoryTest, SettingsOfFilesAreRefusedWithoutOne) {
    for (const StorageKind kind : {StorageKind::null, StorageKind::memory}) {
        StorageSpec good = spec_of(kind);
        good.size_bytes = 1 << 20;
        ASSERT_TRUE(open_storage(good));
        StorageSpec spec = good;
        spec.path = "/somewhere";
        expect_refused(spec, "path");
        spec = good;
        spec.direct = false;
        expect_refused(spec, "direct");
        spec = good;
        spec.engine = FileEngine::automatic;
        expect_refused(spec, "engine");
        spec = good;
        spec.threads = 1;
        expect_refused(spec, "threads");
    }
}

TEST(FactoryTest, AFileHasAPathAndItsOwnSize) {
    const TemporaryDirectory directory;
    StorageSpec spec = spec_of(StorageKind::file);
    expect_refused(spec, "path");
    spec.path = make_file(directory / "disk", 1 << 20);
    spec.size_bytes = 1 << 20;
    expect_refused(spec, "size");
}

TEST(FactoryTest, ThreadsBelongToTheirEngine) {
    const TemporaryDirectory directory;
    StorageSpec spec = spec_of(StorageKind::file);
    spec.path = make_file(directory / "disk", 1 << 20);
    spec.engine = FileEngine::io_uring;
    spec.threads = 4;
    expect_refused(spec, "threads");
    spec.engine = FileEngine::automatic;
    EXPECT_TRUE(open_storage(spec));
    for (const std::uint32_t threads : {0U, 257U}) {
        spec.threads = threads;
        EXPECT_EQ(open_storage(spec).error().kind, ErrorKind::out_of_range);
    }
}

}  // namespace
}  // namespace sidecore::storage::test
