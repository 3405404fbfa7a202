// SPDX-License-Identifier: Apache-2.0
#include "storage/segmented_buffer.hh"

#include <algorithm>
#include <cstring>

namespace sidecore::storage::test {

namespace {

constexpr std::byte guard_byte{0xa5};
constexpr std::size_t page = 4096;
constexpr std::size_t single_bytes_max = 8192;

struct Piece {
    std::size_t bytes;
    std::size_t alignment;
    std::size_t skew;
};

Piece next_piece(Layout layout, std::size_t left, Random& random) {
    const auto pick = [&](std::size_t low, std::size_t high) {
        return std::uniform_int_distribution<std::size_t>(low, high)(random);
    };
    switch (layout) {
        case Layout::one_page_aligned:
            return {left, page, 0};
        case Layout::sectors:
            return {512, 512, 0};
        case Layout::one_odd:
            return {left, page, 1 + 2 * pick(0, 1000)};
        case Layout::odd_pieces:
            return {pick(1, 3000), 2, 1};
        case Layout::single_bytes:
            return {left > single_bytes_max ? left - single_bytes_max : 1, 1, 0};
        case Layout::mixed:
            return pick(0, 1) == 0 ? Piece{page, page, 0} : Piece{pick(1, 2000), 2, 1};
    }
    return {left, 1, 0};
}

}  // namespace

Bytes random_bytes(Random& random, std::size_t count) {
    Bytes bytes(count);
    for (std::size_t at = 0; at < count;) {
        const std::uint64_t word = random();
        const std::size_t part = std::min(sizeof word, count - at);
        std::memcpy(bytes.data() + at, &word, part);
        at += part;
    }
    return bytes;
}

SegmentedBuffer::SegmentedBuffer(Layout layout, std::size_t bytes, Random& random) {
    struct Place {
        std::size_t position;
        std::size_t bytes;
    };
    std::vector<Place> places;
    std::size_t end = page;
    for (std::size_t left = bytes; left != 0;) {
        Piece piece = next_piece(layout, left, random);
        piece.bytes = std::min(piece.bytes, left);
        const std::size_t position = (end + piece.alignment - 1) / piece.alignment * piece.alignment + piece.skew;
        places.push_back({position, piece.bytes});
        end = position + piece.bytes + 1;  // at least one byte of guard
        left -= piece.bytes;
    }
    arena_.assign(end + 2 * page, guard_byte);
    // The order in memory is not the order in the request.
    const std::size_t base = page - reinterpret_cast<std::uintptr_t>(arena_.data()) % page;
    for (const Place& place : places) {
        segments_.push_back({arena_.data() + base + place.position, place.bytes});
    }
    if (layout == Layout::sectors || layout == Layout::single_bytes) {
        std::shuffle(segments_.begin(), segments_.end(), random);
    }
}

void SegmentedBuffer::fill(std::span<const std::byte> bytes) {
    for (const iovec& segment : segments_) {
        std::memcpy(segment.iov_base, bytes.data(), segment.iov_len);
        bytes = bytes.subspan(segment.iov_len);
    }
}

Bytes SegmentedBuffer::gather() const {
    Bytes bytes;
    for (const iovec& segment : segments_) {
        const auto* start = static_cast<const std::byte*>(segment.iov_base);
        bytes.insert(bytes.end(), start, start + segment.iov_len);
    }
    return bytes;
}

bool SegmentedBuffer::guards_intact() const {
    // What there should be: guards, and the segments as they are.
    Bytes expected(arena_.size(), guard_byte);
    for (const iovec& segment : segments_) {
        const auto* start = static_cast<const std::byte*>(segment.iov_base);
        std::memcpy(expected.data() + (start - arena_.data()), start, segment.iov_len);
    }
    return arena_ == expected;
}

}  // namespace sidecore::storage::test
