// SPDX-License-Identifier: Apache-2.0
// "The device MUST NOT make assumptions about the particular arrangement of descriptors" (VIRTIO 1.3, 2.7.4.1): requests of a SCSI device.
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "device/driven_scsi.hh"

namespace sidecore::device {
namespace {

using frontend::RequestLayout;
using frontend::ScsiFunction;
using frontend::ScsiResponse;

constexpr std::uint32_t data_bytes = 4096;
constexpr std::uint32_t header_bytes = 19 + 32;
constexpr std::uint32_t answer_bytes = 12 + 96;

/// A way to cut the two strings of a request.
struct Cut {
    std::string name;
    std::vector<std::uint32_t> readable;  // lengths of the first pieces; what the string has no bytes for is left out
    std::vector<std::uint32_t> writable;
};

void PrintTo(const Cut& cut, std::ostream* out) {
    *out << cut.name;
}

std::vector<std::uint32_t> ones(std::size_t count) {
    return std::vector<std::uint32_t>(count, 1);
}

std::vector<Cut> cuts() {
    return {
        {"usual", {}, {}},
        {"all_in_one", {header_bytes + data_bytes}, {answer_bytes + data_bytes}},
        {"headers_by_bytes", ones(header_bytes), ones(answer_bytes)},
        {"all_by_bytes", ones(header_bytes + 700), ones(answer_bytes + 700)},
        {"headers_with_some_data", {header_bytes + 100, 411}, {answer_bytes + 1, 1023}},
        {"field_by_field", {8, 8, 1, 1, 1, 32}, {4, 4, 2, 1, 1, 96}},
        {"odd_pieces", {7, 11, 13, 501, 1023}, {3, 17, 89, 511, 997}},
    };
}

/// What fits a string of `bytes` of these lengths.
std::vector<std::uint32_t> clipped(const std::vector<std::uint32_t>& lengths, std::size_t bytes) {
    std::vector<std::uint32_t> kept;
    for (const std::uint32_t length : lengths) {
        const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(length, bytes));
        if (part != 0) {
            kept.push_back(part);
        }
        bytes -= part;
    }
    return kept;
}

class ScsiLayout : public testing::TestWithParam<std::tuple<Cut, bool>> {
protected:
    RequestLayout layout(std::size_t out, std::size_t in) const {
        const auto& [cut, indirect] = GetParam();
        return {.readable = clipped(cut.readable, header_bytes + out),
                .writable = clipped(cut.writable, answer_bytes + in),
                .indirect = indirect,
                .alignment = 8,
                .shift = 3};
    }

    DrivenScsi scsi{{.device = {.seg_max = 1024}, .ring_size = 2048}};
};

INSTANTIATE_TEST_SUITE_P(Cuts, ScsiLayout, testing::Combine(testing::ValuesIn(cuts()), testing::Bool()),
                         [](const auto& one) {
                             return std::get<0>(one.param).name + (std::get<1>(one.param) ? "_indirect" : "_direct");
                         });

TEST_P(ScsiLayout, a_write_is_the_same) {
    const auto data = pattern(data_bytes, 1);
    const auto finished =
        scsi.run({.cdb = frontend::scsi_write_10(3, 8), .out = data, .layout = layout(data_bytes, 0)});
    EXPECT_TRUE(finished.good());
    EXPECT_EQ(finished.residual, 0U);
    EXPECT_EQ(finished.used_length, sizeof(frontend::ScsiAnswer));
    EXPECT_EQ(scsi.disk().contents(3 * 512, data_bytes), data);
}

TEST_P(ScsiLayout, a_read_is_the_same) {
    const auto data = pattern(data_bytes, 2);
    scsi.disk().set_contents(9 * 512, data);
    std::vector<std::byte> room(data_bytes);
    const auto finished = scsi.run({.cdb = frontend::scsi_read_10(9, 8), .in = room, .layout = layout(0, data_bytes)});
    EXPECT_TRUE(finished.good());
    EXPECT_EQ(finished.residual, 0U);
    EXPECT_EQ(finished.used_length, answer_bytes + data_bytes);
    EXPECT_EQ(finished.sense, std::vector<std::byte>(96)) << "the used length says that it was written";
    EXPECT_EQ(room, data);
}

TEST_P(ScsiLayout, sense_data_is_the_same) {
    const auto finished = scsi.run({.cdb = frontend::scsi_read_10(0xffffff, 8), .layout = layout(0, 0)});
    EXPECT_TRUE(failed_with(finished, scsi::SenseKey::illegal_request, scsi::AdditionalSense::lba_out_of_range));
    EXPECT_EQ(finished.used_length, sizeof(frontend::ScsiAnswer) + finished.sense_bytes);
}

TEST_P(ScsiLayout, task_management_is_the_same) {
    RequestLayout cut = layout(0, 0);
    cut.readable = clipped(std::get<0>(GetParam()).readable, 24);
    cut.writable = {};
    must(scsi.control().submit(ScsiFunction::logical_unit_reset, frontend::scsi_lun(0, 0), 0, cut));
    scsi.control().queue().publish();
    scsi.work();
    const auto answers = scsi.answers();
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers.front().response, ScsiResponse::ok);
    EXPECT_EQ(answers.front().used_length, 1U);
}

TEST_P(ScsiLayout, an_event_is_the_same) {
    RequestLayout cut = layout(0, 0);
    cut.readable = {};
    cut.writable = clipped(std::get<0>(GetParam()).writable, 16);
    must(scsi.event_buffers().add(cut));
    scsi.event_buffers().queue().publish();
    must(scsi.unit().resize(mebibyte));
    scsi.work();
    const auto events = scsi.events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events.front().lun, (frontend::ScsiLun{1, 0, 0, 0, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace sidecore::device
