// SPDX-License-Identifier: Apache-2.0
// Lookups of random maps against a model that knows nothing of extents, sorting or searching: it asks every
// region about every address.
#include <algorithm>
#include <optional>

// clang-format off: RapidCheck's header needs GoogleTest's before it
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
// clang-format on

#include "memory/memory_files.hh"

namespace sidecore::memory {
namespace {

/// One region as generated. Gaps may be 0: then it follows the one before in that space.
struct Shape {
    std::uint64_t guest_gap;
    std::uint64_t user_gap;
    std::uint64_t size;
    std::uint64_t offset;
};

void showValue(const Shape& shape, std::ostream& out) {
    out << "{guest gap " << shape.guest_gap << ", user gap " << shape.user_gap << ", size " << shape.size << ", offset "
        << shape.offset << "}";
}

/// Mostly whole pages and no gaps, so that regions often join; sometimes anything.
rc::Gen<std::uint64_t> length(std::uint64_t most_pages, bool may_be_zero) {
    const int least = may_be_zero ? 0 : 1;
    return rc::gen::weightedOneOf<std::uint64_t>(
        {{5, rc::gen::map(rc::gen::inRange<std::uint64_t>(static_cast<unsigned>(least), most_pages + 1),
                          [](std::uint64_t pages) { return pages * page; })},
         {1, rc::gen::inRange<std::uint64_t>(static_cast<unsigned>(least), most_pages * page)}});
}

rc::Gen<Shape> shapes() {
    return rc::gen::build<Shape>(
        rc::gen::set(&Shape::guest_gap, rc::gen::weightedOneOf<std::uint64_t>(
                                            {{3, rc::gen::just<std::uint64_t>(0)}, {1, length(3, true)}})),
        rc::gen::set(&Shape::user_gap, rc::gen::weightedOneOf<std::uint64_t>(
                                           {{3, rc::gen::just<std::uint64_t>(0)}, {1, length(3, true)}})),
        rc::gen::set(&Shape::size, length(4, false)),
        rc::gen::set(&Shape::offset, rc::gen::weightedOneOf<std::uint64_t>(
                                         {{3, rc::gen::just<std::uint64_t>(0)}, {1, length(2, true)}})));
}

constexpr std::uint64_t file_bytes = 8 * page;

/// Every byte of the files differs from its neighbours and from the same place of other files.
std::uint8_t pattern(std::size_t file, std::uint64_t offset) {
    return static_cast<std::uint8_t>((offset * 31) ^ (offset >> 8U) ^ (file * 97));
}

/// The guest's memory, asked the slow way.
struct Model {
    std::vector<RegionDescription> regions;
    bool one_table = true;

    struct Place {
        std::size_t region;
        std::uint64_t offset;  // in the file
    };

    static bool inside(std::uint64_t address, std::uint64_t start, std::uint64_t size) {
        return address >= start && address - start < size;
    }
    std::optional<Place> guest(std::uint64_t address) const {
        for (std::size_t i = 0; i < regions.size(); ++i) {
            const auto& r = regions[i];
            if (inside(address, r.guest_address.value, r.size)) {
                return Place{i, address - r.guest_address.value + r.mmap_offset};
            }
        }
        return std::nullopt;
    }
    std::optional<Place> user(std::uint64_t address) const {
        for (std::size_t i = 0; i < regions.size(); ++i) {
            const auto& r = regions[i];
            if (inside(address, r.user_address.value, r.size)) {
                return Place{i, address - r.user_address.value + r.mmap_offset};
            }
        }
        return std::nullopt;
    }
    /// Whether region b must lie right behind region a.
    bool joined(std::size_t a, std::size_t b) const {
        const auto whole_pages = [](const RegionDescription& r) {
            return r.mmap_offset % page == 0 && r.size % page == 0;
        };
        return one_table && regions[a].guest_address + regions[a].size == regions[b].guest_address &&
               regions[a].user_address + regions[a].size == regions[b].user_address && whole_pages(regions[a]) &&
               whole_pages(regions[b]);
    }
};

struct World {
    Model model;
    std::shared_ptr<const MemoryMap> map;
};

std::vector<Fd>& files() {
    static std::vector<Fd> all = [] {
        std::vector<Fd> made;
        for (std::size_t i = 0; i < 12; ++i) {
            made.push_back(make_file(file_bytes));
            std::vector<std::uint8_t> bytes(file_bytes);
            for (std::uint64_t offset = 0; offset < file_bytes; ++offset) {
                bytes[offset] = pattern(i, offset);
            }
            EXPECT_EQ(::pwrite(made.back().get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
        }
        return made;
    }();
    return all;
}

World make_world(const std::vector<Shape>& shapes_wanted, std::uint64_t guest_base, std::uint64_t user_base) {
    World world;
    std::vector<RegionFile> regions;
    std::uint64_t guest = guest_base;
    std::uint64_t user = user_base;
    for (const Shape& shape : shapes_wanted) {
        if (regions.size() == files().size()) {
            break;
        }
        guest += shape.guest_gap;
        user += shape.user_gap;
        regions.push_back(region_of(files()[regions.size()], guest, user, shape.size, shape.offset));
        world.model.regions.push_back(regions.back().description);
        guest += shape.size;
        user += shape.size;
    }
    auto made = MemoryMap::create(std::move(regions));
    RC_ASSERT(made.has_value());
    world.map = *made;
    return world;
}

/// Where interesting things happen: around the ends of regions, sometimes anywhere.
std::uint64_t pick_address(const Model& model, bool in_guest) {
    const auto& region = model.regions[*rc::gen::inRange<std::size_t>(0, model.regions.size())];
    const std::uint64_t start = in_guest ? region.guest_address.value : region.user_address.value;
    const auto near = [](std::uint64_t place) {
        return rc::gen::map(rc::gen::inRange(-3, 4),
                            [place](int by) { return place + static_cast<std::uint64_t>(by); });
    };
    return *rc::gen::weightedOneOf<std::uint64_t>({{4, near(start)},
                                                   {4, near(start + region.size)},
                                                   {4, near(start + region.size / 2)},
                                                   {1, rc::gen::arbitrary<std::uint64_t>()}});
}

std::uint64_t pick_length() {
    return *rc::gen::weightedOneOf<std::uint64_t>({{4, rc::gen::inRange<std::uint64_t>(1, 17)},
                                                   {6, rc::gen::inRange<std::uint64_t>(1, 8 * page)},
                                                   {1, rc::gen::nonZero<std::uint64_t>()}});
}

constexpr std::uint64_t most_bytes = std::uint64_t{12} * 8 * page;

/// The model's answer: is all of it mapped, and at which offsets does a range have to be cut?
template <typename Ask>
std::optional<std::vector<std::uint64_t>> cuts(const Model& model, std::uint64_t start, std::uint64_t bytes, Ask ask) {
    if (bytes > most_bytes) {
        return std::nullopt;  // more than there is
    }
    std::vector<std::uint64_t> all;
    std::optional<Model::Place> before;
    for (std::uint64_t i = 0; i < bytes; ++i) {
        const auto place = ask(start + i);
        if (!place) {
            return std::nullopt;
        }
        if (before && place->region != before->region && !model.joined(before->region, place->region)) {
            all.push_back(i);
        }
        before = place;
    }
    return all;
}

void check_bytes(const Model& model, std::uint64_t start, const std::byte* host, std::uint64_t bytes) {
    for (std::uint64_t i = 0; i < bytes; ++i) {
        const auto place = model.guest(start + i);
        RC_ASSERT(place.has_value());
        RC_ASSERT(peek(host + i) == pattern(place->region, place->offset));
    }
}

void check_one_range(const World& world) {
    const std::uint64_t start = pick_address(world.model, true);
    const std::uint64_t bytes = pick_length();
    const auto expected = cuts(world.model, start, bytes, [&](std::uint64_t a) { return world.model.guest(a); });
    const std::byte* const host = world.map->translate(GuestAddress{start}, bytes);
    RC_ASSERT((host != nullptr) == (expected.has_value() && expected->empty()));
    RC_ASSERT(world.map->covers(GuestAddress{start}, bytes) == expected.has_value());
    if (host != nullptr) {
        check_bytes(world.model, start, host, bytes);
    }
}

void check_pieces(const World& world) {
    const std::uint64_t start = pick_address(world.model, true);
    const std::uint64_t bytes = pick_length();
    const auto expected = cuts(world.model, start, bytes, [&](std::uint64_t a) { return world.model.guest(a); });
    const std::size_t needed = expected ? expected->size() + 1 : 1;
    std::vector<iovec> pieces(*rc::gen::inRange<std::size_t>(needed > 2 ? needed - 2 : 0, needed + 3));
    const std::size_t count = world.map->translate(GuestAddress{start}, bytes, pieces);
    RC_ASSERT(count == (expected && pieces.size() >= needed ? needed : 0));
    std::uint64_t done = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t end = i + 1 < count ? (*expected)[i] : bytes;
        RC_ASSERT(pieces[i].iov_len == end - done);
        check_bytes(world.model, start + done, static_cast<std::byte*>(pieces[i].iov_base), end - done);
        done = end;
    }
}

void check_user(const World& world) {
    const std::uint64_t start = pick_address(world.model, false);
    const std::uint64_t bytes = pick_length();
    const auto expected = cuts(world.model, start, bytes, [&](std::uint64_t a) { return world.model.user(a); });
    const std::byte* const host = world.map->translate(UserAddress{start}, bytes);
    RC_ASSERT((host != nullptr) == (expected.has_value() && expected->empty()));
    for (std::uint64_t i = 0; host != nullptr && i < bytes; ++i) {
        const auto place = world.model.user(start + i);
        RC_ASSERT(peek(host + i) == pattern(place->region, place->offset));
    }
}

World any_world() {
    const auto wanted = *rc::gen::nonEmpty(rc::gen::resize(12, rc::gen::container<std::vector<Shape>>(shapes())));
    // Low, in the middle, or so high that little room is left below 2^64.
    const auto base = rc::gen::element<std::uint64_t>(0, 0x1'0000'0000, ~std::uint64_t{0} - most_bytes * 2);
    return make_world(wanted, *base, *base);
}

void check_some(const World& world) {
    for (int i = 0; i < 6; ++i) {
        check_one_range(world);
        check_pieces(world);
        check_user(world);
    }
}

RC_GTEST_PROP(Lookup, agrees_with_the_model, ()) {
    check_some(any_world());
}

RC_GTEST_PROP(Lookup, agrees_with_the_model_after_regions_were_taken_out_and_put_back, ()) {
    World world = any_world();
    world.model.one_table = true;
    const std::size_t gone = *rc::gen::inRange<std::size_t>(0, world.model.regions.size());
    const RegionDescription region = world.model.regions[gone];
    World less = world;
    less.map = world.map->without_region(region).value();
    // The model without it: nothing is ever found there.
    less.model.regions[gone].size = 0;
    check_some(less);

    auto back = less.map->with_region({region, Fd(::dup(files()[gone].get()))});
    RC_ASSERT(back.has_value());
    for (int i = 0; i < 6; ++i) {
        // It came alone, so it joins nothing; one-byte ranges do not care.
        const std::uint64_t address = pick_address(world.model, true);
        const auto place = world.model.guest(address);
        const std::byte* const host = (*back)->translate(GuestAddress{address}, 1);
        RC_ASSERT((host != nullptr) == place.has_value());
        if (host != nullptr) {
            RC_ASSERT(peek(host) == pattern(place->region, place->offset));
        }
    }
}

RC_GTEST_PROP(Lookup, finds_each_of_509_regions, ()) {
    static const World world = [] {
        World made;
        std::vector<RegionFile> regions;
        for (std::uint64_t i = 0; i < MemoryMap::max_regions; ++i) {
            // Gaps that differ, so that an error in the search by one shows.
            const std::uint64_t guest = i * 3 * page + (i * i % 7) * 16;
            const std::uint64_t user = 0x7000'0000'0000 + (MemoryMap::max_regions - i) * 5 * page;
            regions.push_back(region_of(files()[i % files().size()], guest, user, page, (i % 4) * page));
            made.model.regions.push_back(regions.back().description);
        }
        made.map = MemoryMap::create(std::move(regions)).value();
        return made;
    }();
    RC_ASSERT(world.map->extent_count() == MemoryMap::max_regions);
    for (const bool in_guest : {true, false}) {
        const std::uint64_t address = pick_address(world.model, in_guest);
        const std::uint64_t bytes = *rc::gen::inRange<std::uint64_t>(1, 9);
        const auto ask = [&](std::uint64_t a) { return in_guest ? world.model.guest(a) : world.model.user(a); };
        const bool mapped = cuts(world.model, address, bytes, ask).has_value();
        const std::byte* const host = in_guest ? world.map->translate(GuestAddress{address}, bytes)
                                               : world.map->translate(UserAddress{address}, bytes);
        RC_ASSERT((host != nullptr) == mapped);
        if (host != nullptr) {
            const auto place = ask(address);
            RC_ASSERT(peek(host) == pattern(place->region % files().size(), place->offset));
        }
    }
}

}  // namespace
}  // namespace sidecore::memory
