// SPDX-License-Identifier: Apache-2.0
#include "network/mac_table.hh"

#include <algorithm>
#include <bit>
#include <random>

#include "base/format.hh"

namespace sidecore::network {

namespace {

constexpr std::uint32_t entries_min = 64;
constexpr std::uint32_t entries_max = 1U << 20U;
constexpr std::uint32_t age_max_s = 1U << 24U;
constexpr std::uint32_t share_max = 64;

/// Buckets that each change of the table looks through for entries that have aged.
constexpr unsigned buckets_per_sweep = 4;

std::uint64_t make_secret() {
    std::random_device device;
    return std::uint64_t{device()} << 32U | device();
}

}  // namespace

std::array<std::uint8_t, 6> Station::mac() const noexcept {
    std::array<std::uint8_t, 6> mac{};
    for (unsigned i = 0; i < mac.size(); ++i) {
        mac[i] = static_cast<std::uint8_t>(number_ >> (40U - 8U * i));
    }
    return mac;
}

Result<std::unique_ptr<MacTable>> MacTable::create(const MacTableOptions& options) {
    if (options.entries < entries_min || options.entries > entries_max) {
        return failure(ErrorKind::out_of_range, fmt::format("a table of MAC addresses has {} to {} entries, not {}",
                                                            entries_min, entries_max, options.entries));
    }
    if (options.age_s == 0 || options.age_s > age_max_s) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("a MAC address ages in 1 to {} seconds, not {}", age_max_s, options.age_s));
    }
    if (options.share == 0 || options.share > share_max) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("a port has the 1st to {}th part of a table of MAC addresses, not the {}th",
                                   share_max, options.share));
    }
    return std::unique_ptr<MacTable>(new MacTable(std::bit_ceil(options.entries) / ways, options));
}

MacTable::MacTable(std::size_t buckets, const MacTableOptions& options)
    : bucket_mask_(buckets - 1),
      age_s_(options.age_s),
      per_port_(std::max<std::uint32_t>(1, static_cast<std::uint32_t>(buckets * ways / options.share))),
      secret_(make_secret()),
      buckets_(std::make_unique<Bucket[]>(buckets)),
      held_(ports_max, 0) {}

MacTable::Bucket& MacTable::bucket_of(Station station) const noexcept {
    std::uint64_t hash = station.number() ^ secret_;
    for (int round = 0; round < 2; ++round) {
        hash = (hash ^ hash >> 32U) * 0x9e3779b97f4a7c15U + secret_;
    }
    return buckets_[static_cast<std::size_t>(hash >> 32U) & bucket_mask_];
}

PortNumber MacTable::find(Station station, std::uint32_t now_s) const noexcept {
    for (const Entry& entry : bucket_of(station).entries) {
        const std::uint32_t state = entry.state.load(std::memory_order_acquire);
        // The acquire keeps the second look at the state behind this one; it pairs with the release in set(): who reads a new address
        // there finds the state that was stored before it, or a later one.
        if (port_of(state) == no_port || entry.station.load(std::memory_order_acquire) != station.number()) {
            continue;
        }
        if (entry.state.load(std::memory_order_relaxed) == state) {
            return aged(entry, now_s) ? no_port : port_of(state);
        }
    }
    return no_port;
}

MacTable::Learned MacTable::learn(Station station, PortNumber port, std::uint32_t now_s) noexcept {
    Bucket& bucket = bucket_of(station);
    for (Entry& entry : bucket.entries) {
        if (entry.station.load(std::memory_order_relaxed) == station.number() && port_of(entry) == port) {
            // Once a second at most, so that its cache line can be everybody's.
            if (entry.seen_s.load(std::memory_order_relaxed) != now_s) {
                entry.seen_s.store(now_s, std::memory_order_relaxed);
            }
            return Learned::known;
        }
    }
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) {
        return Learned::busy;
    }
    sweep(now_s);
    for (Entry& entry : bucket.entries) {
        if (port_of(entry) != no_port && entry.station.load(std::memory_order_relaxed) == station.number()) {
            return move(entry, station, port, now_s);
        }
    }
    Entry* const entry = choose(bucket, port, now_s);
    if (entry == nullptr) {
        return Learned::refused;
    }
    clear(*entry);
    set(*entry, station, port, now_s);
    return Learned::added;
}

/// To a port that has its share it does not move; but it is not where it was, either.
MacTable::Learned MacTable::move(Entry& entry, Station station, PortNumber port, std::uint32_t now_s) noexcept {
    const bool same = port_of(entry) == port;
    clear(entry);
    if (held_[port] >= per_port_) {
        return Learned::refused;
    }
    set(entry, station, port, now_s);
    return same ? Learned::known : Learned::moved;
}

/// The entry that a new station of `port` may have: a free or aged one, else one of the port that has most; null if that is this one and it
/// has none here. A port that has its share only replaces its own.
MacTable::Entry* MacTable::choose(Bucket& bucket, PortNumber port, std::uint32_t now_s) noexcept {
    const bool full = held_[port] >= per_port_;
    Entry* own = nullptr;
    Entry* others = nullptr;
    const auto older = [](const Entry& left, const Entry& right) {
        return left.seen_s.load(std::memory_order_relaxed) < right.seen_s.load(std::memory_order_relaxed);
    };
    for (Entry& entry : bucket.entries) {
        const PortNumber holder = port_of(entry);
        if (holder == port) {
            own = own == nullptr || older(entry, *own) ? &entry : own;
        } else if (!full && (holder == no_port || aged(entry, now_s))) {
            return &entry;
        } else if (!full && held_[holder] > held_[port] + 1) {
            const std::uint32_t most = others == nullptr ? 0 : held_[port_of(*others)];
            if (held_[holder] > most || (held_[holder] == most && older(entry, *others))) {
                others = &entry;
            }
        }
    }
    return others != nullptr ? others : own;
}

void MacTable::set(Entry& entry, Station station, PortNumber port, std::uint32_t now_s) noexcept {
    ++held_[port];
    const std::uint32_t version = entry.state.load(std::memory_order_relaxed) & 0xffffU;
    entry.seen_s.store(now_s, std::memory_order_relaxed);
    // After the state that clear() has stored and before the new one; see find().
    entry.station.store(station.number(), std::memory_order_release);
    entry.state.store(std::uint32_t{port} << 16U | ((version + 1) & 0xffffU), std::memory_order_release);
}

void MacTable::clear(Entry& entry) noexcept {
    const std::uint32_t state = entry.state.load(std::memory_order_relaxed);
    if (port_of(state) == no_port) {
        return;
    }
    --held_[port_of(state)];
    entry.state.store(std::uint32_t{no_port} << 16U | ((state + 1) & 0xffffU), std::memory_order_release);
}

void MacTable::sweep(std::uint32_t now_s) noexcept {
    for (unsigned i = 0; i < buckets_per_sweep; ++i) {
        for (Entry& entry : buckets_[swept_].entries) {
            if (port_of(entry) != no_port && aged(entry, now_s)) {
                clear(entry);
            }
        }
        swept_ = (swept_ + 1) & bucket_mask_;
    }
}

void MacTable::forget(PortNumber port) {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i <= bucket_mask_; ++i) {
        for (Entry& entry : buckets_[i].entries) {
            if (port_of(entry) == port) {
                clear(entry);
            }
        }
    }
}

std::vector<MacTable::Row> MacTable::list(std::uint32_t now_s) const {
    std::vector<Row> rows;
    for (std::size_t i = 0; i <= bucket_mask_; ++i) {
        for (const Entry& entry : buckets_[i].entries) {
            const std::uint32_t state = entry.state.load(std::memory_order_acquire);
            const Station station(entry.station.load(std::memory_order_acquire));
            const bool whole = entry.state.load(std::memory_order_relaxed) == state;
            if (port_of(state) != no_port && whole && !aged(entry, now_s)) {
                const std::uint32_t seen_s = entry.seen_s.load(std::memory_order_relaxed);
                rows.push_back({station, port_of(state), now_s > seen_s ? now_s - seen_s : 0});
            }
        }
    }
    return rows;
}

}  // namespace sidecore::network
