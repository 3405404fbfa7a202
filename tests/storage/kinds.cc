// SPDX-License-Identifier: Apache-2.0
#include "storage/kinds.hh"

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>

#include <gtest/gtest.h>

#include "storage/fake_backend.hh"
#include "storage/file_backend.hh"
#include "storage/io_uring_queue.hh"
#include "storage/memory_backend.hh"
#include "storage/null_backend.hh"
#include "storage/temporary_file.hh"

namespace sidecore::storage::test {

namespace {

template <typename T>
T must(Result<T> result) {
    if (!result) {
        ADD_FAILURE() << result.error().message;
        std::abort();
    }
    return std::move(*result);
}

Kind file_kind(const std::string& name, const std::string& parent, bool direct, FileEngine engine) {
    return {name, true, true, [=](std::uint64_t capacity_bytes, bool read_only) {
                auto directory = std::make_shared<TemporaryDirectory>(parent);
                FileOptions options;
                options.path = make_file(*directory / "disk", capacity_bytes);
                options.direct = direct;
                options.read_only = read_only;
                options.engine = engine;
                options.threads = 4;
                return Disk{directory, must(FileBackend::create(options))};
            }};
}

Kind loop_kind(const std::string& name, std::uint32_t block_bytes, bool direct, FileEngine engine) {
    struct Ground {
        TemporaryDirectory directory;
        std::optional<LoopDevice> device;
    };
    return {name, true, false, [=](std::uint64_t capacity_bytes, bool read_only) {
                auto ground = std::make_shared<Ground>();
                ground->device =
                    must(LoopDevice::attach(make_file(ground->directory / "disk", capacity_bytes), block_bytes));
                FileOptions options;
                options.path = ground->device->path();
                options.direct = direct;
                options.read_only = read_only;
                options.engine = engine;
                options.threads = 4;
                return Disk{ground, must(FileBackend::create(options))};
            }};
}

bool has_loop_devices() {
    const TemporaryDirectory directory;
    return LoopDevice::attach(make_file(directory / "disk", 1 << 20), 512).has_value();
}

}  // namespace

std::vector<Kind> all_kinds() {
    std::vector<Kind> kinds;
    kinds.push_back({"null", false, true, [](std::uint64_t capacity_bytes, bool read_only) {
                         return Disk{nullptr, must(NullBackend::create({capacity_bytes, read_only}))};
                     }});
    kinds.push_back({"memory", true, true, [](std::uint64_t capacity_bytes, bool read_only) {
                         return Disk{nullptr, must(MemoryBackend::create({capacity_bytes, read_only}))};
                     }});
    kinds.push_back({"fake", true, true, [](std::uint64_t capacity_bytes, bool read_only) {
                         BlockGeometry geometry;
                         geometry.capacity_bytes = capacity_bytes;
                         geometry.read_only = read_only;
                         return Disk{nullptr, FakeDisk::create(geometry)->open()};
                     }});

    std::vector<std::pair<std::string, FileEngine>> engines{{"threads", FileEngine::threads}};
    if (probe_io_uring()) {
        engines.emplace_back("io_uring", FileEngine::io_uring);
    }
    const bool direct = has_direct_io(TemporaryDirectory().path());
    const bool loop = has_loop_devices();
    for (const auto& [name, engine] : engines) {
        kinds.push_back(file_kind("file_buffered_" + name, "", false, engine));
        if (direct) {
            kinds.push_back(file_kind("file_direct_" + name, "", true, engine));
        }
        if (std::filesystem::is_directory("/dev/shm")) {
            // tmpfs has no FALLOC_FL_ZERO_RANGE.
            kinds.push_back(file_kind("tmpfs_" + name, "/dev/shm", false, engine));
        }
        if (loop) {
            kinds.push_back(loop_kind("loop512_buffered_" + name, 512, false, engine));
            kinds.push_back(loop_kind("loop4096_direct_" + name, 4096, true, engine));
        }
    }
    return kinds;
}

std::ostream& operator<<(std::ostream& out, const Kind& kind) {
    return out << kind.name;
}

}  // namespace sidecore::storage::test
