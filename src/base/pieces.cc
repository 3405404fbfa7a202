// SPDX-License-Identifier: Apache-2.0
#include "base/pieces.hh"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace sidecore {

namespace {

template <typename Unit>
bool fits(const std::byte* place, std::size_t bytes) noexcept {
    return bytes >= sizeof(Unit) && reinterpret_cast<std::uintptr_t>(place) % sizeof(Unit) == 0;
}

/// Calls access(a Unit's 0, place) for the pieces of `bytes` bytes at `place`, each as large as one atomic access there may be: drivers put a
/// network header, 12 bytes, right in front of a frame that begins with a cache line.
template <typename Access>
void each_unit(std::byte* place, std::size_t bytes, Access access) noexcept {
    const auto step = [&](auto unit) {
        access(unit, place);
        place += sizeof unit;
        bytes -= sizeof unit;
    };
    while (bytes != 0) {
        if (fits<std::uint64_t>(place, bytes)) {
            step(std::uint64_t{0});
        } else if (fits<std::uint32_t>(place, bytes)) {
            step(std::uint32_t{0});
        } else {
            step(std::uint8_t{0});
        }
    }
}

void load(std::byte* from, std::byte* to, std::size_t bytes) noexcept {
    each_unit(from, bytes, [&to](auto unit, std::byte* place) {
        unit = std::atomic_ref(*reinterpret_cast<decltype(unit)*>(place)).load(std::memory_order_relaxed);
        std::memcpy(to, &unit, sizeof unit);
        to += sizeof unit;
    });
}

void store(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
    each_unit(to, bytes, [&from](auto unit, std::byte* place) {
        std::memcpy(&unit, from, sizeof unit);
        std::atomic_ref(*reinterpret_cast<decltype(unit)*>(place)).store(unit, std::memory_order_relaxed);
        from += sizeof unit;
    });
}

/// Calls visit(host, bytes) on up to `bytes` bytes of the front of `segments` and takes them off.
template <typename Visit>
std::size_t consume(std::span<iovec>& segments, std::size_t bytes, Visit visit) noexcept {
    std::size_t done = 0;
    while (done < bytes && !segments.empty()) {
        iovec& first = segments.front();
        const std::size_t here = std::min(bytes - done, first.iov_len);
        auto* const host = static_cast<std::byte*>(first.iov_base);
        visit(host, here, done);
        done += here;
        if (here == first.iov_len) {
            segments = segments.subspan(1);
        } else {
            first.iov_base = host + here;
            first.iov_len -= here;
        }
    }
    return done;
}

}  // namespace

std::size_t take_front(std::span<iovec>& segments, std::span<std::byte> out) noexcept {
    return consume(segments, out.size(),
                   [&](std::byte* host, std::size_t bytes, std::size_t done) { load(host, out.data() + done, bytes); });
}

std::size_t put_front(std::span<iovec>& segments, std::span<const std::byte> data) noexcept {
    return consume(segments, data.size(), [&](std::byte* host, std::size_t bytes, std::size_t done) {
        store(host, data.data() + done, bytes);
    });
}

std::size_t skip_front(std::span<iovec>& segments, std::size_t bytes) noexcept {
    return consume(segments, bytes, [](std::byte*, std::size_t, std::size_t) {});
}

std::size_t split_front(std::span<iovec>& segments, std::size_t bytes, std::span<iovec> out) noexcept {
    std::size_t pieces = 0;
    while (bytes != 0 && !segments.empty() && pieces != out.size()) {
        iovec& first = segments.front();
        const std::size_t here = std::min(bytes, first.iov_len);
        out[pieces++] = {first.iov_base, here};
        skip_front(segments, here);
        bytes -= here;
    }
    return pieces;
}

std::byte* take_last_byte(std::span<iovec>& segments) noexcept {
    iovec& last = segments.back();
    --last.iov_len;
    std::byte* const place = static_cast<std::byte*>(last.iov_base) + last.iov_len;
    if (last.iov_len == 0) {
        segments = segments.first(segments.size() - 1);
    }
    return place;
}

std::size_t limit_to(std::span<iovec>& segments, std::size_t bytes) noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < segments.size(); ++i) {
        if (segments[i].iov_len >= bytes - kept) {
            segments[i].iov_len = bytes - kept;
            segments = segments.first(segments[i].iov_len == 0 ? i : i + 1);
            return bytes;
        }
        kept += segments[i].iov_len;
    }
    return kept;
}

void store_byte(std::byte* place, std::byte value) noexcept {
    std::atomic_ref<std::byte>(*place).store(value, std::memory_order_relaxed);
}

}  // namespace sidecore
