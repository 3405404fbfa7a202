// SPDX-License-Identifier: Apache-2.0
#include "storage/random_mix.hh"

#include <algorithm>
#include <memory>
#include <set>

#include <gtest/gtest.h>

#include "storage/segmented_buffer.hh"

namespace sidecore::storage::test {

namespace {

/// What a disk should hold. Discarded blocks are unknown.
class Model {
public:
    Model(std::uint64_t bytes, std::uint64_t block) : block_(block), contents_(bytes), known_(bytes / block, true) {}

    void write(std::uint64_t offset, const Bytes& bytes) {
        std::copy(bytes.begin(), bytes.end(), contents_.begin() + static_cast<std::ptrdiff_t>(offset));
        set_known(offset, bytes.size(), true);
    }
    void zero(std::uint64_t offset, std::uint64_t length) { write(offset, Bytes(length)); }
    void forget(std::uint64_t offset, std::uint64_t length) { set_known(offset, length, false); }

    void expect_read(std::uint64_t offset, const Bytes& found) const {
        for (std::uint64_t at = 0; at < found.size(); at += block_) {
            if (!known_[(offset + at) / block_]) {
                continue;
            }
            const auto* expected = contents_.data() + offset + at;
            ASSERT_TRUE(std::equal(expected, expected + block_, found.data() + at)) << "block at " << offset + at;
        }
    }

private:
    void set_known(std::uint64_t offset, std::uint64_t length, bool known) {
        std::fill_n(known_.begin() + static_cast<std::ptrdiff_t>(offset / block_), length / block_, known);
    }

    std::uint64_t block_;
    Bytes contents_;
    std::vector<bool> known_;
};

/// A random request, its memory, and what it does to a model.
struct Work {
    BlockRequest request;
    std::unique_ptr<SegmentedBuffer> buffer;
    Bytes written;

    static std::unique_ptr<Work> make(Random& random, std::uint64_t offset, std::uint64_t length) {
        auto work = std::make_unique<Work>();
        static constexpr BlockOperation operations[] = {
            BlockOperation::read,    BlockOperation::read,         BlockOperation::write,
            BlockOperation::write,   BlockOperation::write,        BlockOperation::flush,
            BlockOperation::discard, BlockOperation::write_zeroes, BlockOperation::write_zeroes_unmap,
        };
        BlockRequest& request = work->request;
        request.operation = operations[random() % std::size(operations)];
        request.durable = random() % 32 == 0;
        request.offset_bytes = offset;
        request.length_bytes = length;
        if (request.operation == BlockOperation::read || request.operation == BlockOperation::write) {
            work->buffer = std::make_unique<SegmentedBuffer>(layouts[random() % std::size(layouts)], length, random);
            request.segments = work->buffer->segments();
        }
        if (request.operation == BlockOperation::write) {
            work->written = random_bytes(random, length);
            work->buffer->fill(work->written);
        }
        return work;
    }

    void check_and_apply(Model& model, bool keeps_data) const {
        ASSERT_EQ(request.result, 0) << "operation " << static_cast<int>(request.operation);
        switch (request.operation) {
            case BlockOperation::read:
                ASSERT_TRUE(buffer->guards_intact());
                if (keeps_data) {
                    model.expect_read(request.offset_bytes, buffer->gather());
                }
                break;
            case BlockOperation::write:
                ASSERT_TRUE(buffer->guards_intact());
                ASSERT_EQ(buffer->gather(), written);
                model.write(request.offset_bytes, written);
                break;
            case BlockOperation::flush:
                break;
            case BlockOperation::discard:
                model.forget(request.offset_bytes, request.length_bytes);
                break;
            case BlockOperation::write_zeroes:
            case BlockOperation::write_zeroes_unmap:
                model.zero(request.offset_bytes, request.length_bytes);
                break;
        }
    }
};

}  // namespace

void run_random_mix(QueueUser& user, std::uint64_t begin, std::uint64_t end, std::uint64_t block, int rounds,
                    std::uint64_t seed, bool keeps_data) {
    Random random(seed);
    Model model(end, block);
    for (int round = 0; round < rounds; ++round) {
        std::vector<std::unique_ptr<Work>> works;
        std::vector<BlockRequest*> batch;
        std::uint64_t at = begin;
        while (works.size() < 24) {
            at += block * (random() % 24);
            const std::uint64_t longest = random() % 8 == 0 ? 400 : 16;
            const std::uint64_t length = block * (1 + random() % longest);
            if (at + length > end) {
                break;
            }
            works.push_back(Work::make(random, at, length));
            batch.push_back(&works.back()->request);
            at += length;
        }
        std::shuffle(batch.begin(), batch.end(), random);
        std::span<BlockRequest*> rest(batch);
        while (!rest.empty()) {
            const std::size_t count = 1 + random() % rest.size();
            user.submit(rest.first(count));
            rest = rest.subspan(count);
        }
        const std::vector<BlockRequest*> done = user.wait(batch.size(), 1 + random() % 16);
        ASSERT_EQ(std::set<BlockRequest*>(done.begin(), done.end()),
                  std::set<BlockRequest*>(batch.begin(), batch.end()));
        for (const auto& work : works) {
            work->check_and_apply(model, keeps_data);
            if (testing::Test::HasFatalFailure()) {
                FAIL() << "in round " << round << " of seed " << seed;
            }
        }
    }
    if (keeps_data) {
        Bytes all(end - begin);
        ASSERT_EQ(user.read(begin, all), 0);
        model.expect_read(begin, all);
    }
}

}  // namespace sidecore::storage::test
