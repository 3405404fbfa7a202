// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/error.hh"

namespace sidecore::network {

/// A port of a switch, from 0.
using PortNumber = std::uint16_t;

inline constexpr PortNumber ports_max = 1024;
inline constexpr PortNumber no_port = 0xffff;

/// Who is behind a port: a MAC address in a VLAN (0 to 4095; 0: in none).
class Station {
public:
    Station(std::uint16_t vlan, std::span<const std::byte, 6> mac) noexcept : number_(vlan & 0xfffU) {
        for (const std::byte byte : mac) {
            number_ = number_ << 8U | std::to_integer<std::uint64_t>(byte);
        }
    }
    explicit Station(std::uint64_t number) noexcept : number_(number) {}

    std::uint64_t number() const noexcept { return number_; }
    std::uint16_t vlan() const noexcept { return static_cast<std::uint16_t>(number_ >> 48U); }
    std::array<std::uint8_t, 6> mac() const noexcept;

    friend bool operator==(const Station&, const Station&) = default;

private:
    std::uint64_t number_;  // the VLAN above the address
};

struct MacTableOptions {
    std::uint32_t entries = 4096;  ///< 64 to 2^20, rounded up to a power of two
    std::uint32_t age_s = 300;     ///< an entry that was not seen for so long is none; 1 or more
    std::uint32_t share = 4;       ///< a port has at most this part of the entries: 1/share; 1 to 64
};

/// Where stations are: what a switch has learned from their packets.
///
/// Thread: find(), learn() and list() from any, forget() from control threads. find() and a learn() of what is known take no lock. What
/// changes the table takes one, and a learn() that finds it taken does without: the station's next packet comes soon.
///
/// Invariants:
///  1. A station has at most one entry.
///  2. A port has at most its share of the entries, so that a guest that makes up source addresses cannot take the table; and where
///     a new one finds its places taken, it takes that of the port that has most. Which places those are depends on a secret, so that
///     nobody can aim.
///  3. A state (port and version) that is the same before and after the address was read belongs to that address.
class MacTable {
public:
    struct Row {
        Station station;
        PortNumber port;
        std::uint32_t age_s;  ///< since it was last seen
    };

    enum class Learned : std::uint8_t {
        known,    ///< it was there
        added,    ///<
        moved,    ///< from another port
        refused,  ///< the port has its share, or others need the places more
        busy,     ///< another thread is changing the table
    };

    static Result<std::unique_ptr<MacTable>> create(const MacTableOptions& options);

    MacTable(const MacTable&) = delete;
    MacTable& operator=(const MacTable&) = delete;
    ~MacTable() = default;

    /// The station's port, or no_port. `now_s` comes from one clock that never goes back, here and below.
    PortNumber find(Station station, std::uint32_t now_s) const noexcept;

    /// `station` has been seen at `port`, which is below ports_max.
    Learned learn(Station station, PortNumber port, std::uint32_t now_s) noexcept;

    /// `port` is no more: nor are its entries. No learn() for it may run.
    void forget(PortNumber port);

    /// For a person: in no order, and while others change it not of one moment.
    std::vector<Row> list(std::uint32_t now_s) const;

    std::uint32_t entries() const noexcept { return static_cast<std::uint32_t>(bucket_mask_ + 1) * ways; }

    /// What a port may have.
    std::uint32_t entries_per_port() const noexcept { return per_port_; }

private:
    static constexpr std::uint32_t ways = 8;

    struct Entry {
        std::atomic<std::uint64_t> station{0};
        std::atomic<std::uint32_t> state{std::uint32_t{no_port}
                                         << 16U};  // port above a version, which every change counts up
        std::atomic<std::uint32_t> seen_s{0};
    };
    struct alignas(64) Bucket {
        std::array<Entry, ways> entries;
    };

    MacTable(std::size_t buckets, const MacTableOptions& options);

    static PortNumber port_of(std::uint32_t state) noexcept { return static_cast<PortNumber>(state >> 16U); }
    static PortNumber port_of(const Entry& entry) noexcept {
        return port_of(entry.state.load(std::memory_order_relaxed));
    }
    bool aged(const Entry& entry, std::uint32_t now_s) const noexcept {
        // Another thread may have seen it a moment after `now_s`.
        return static_cast<std::int32_t>(now_s - entry.seen_s.load(std::memory_order_relaxed)) >
               static_cast<std::int32_t>(age_s_);
    }
    Bucket& bucket_of(Station station) const noexcept;

    // With mutex_:
    void set(Entry& entry, Station station, PortNumber port, std::uint32_t now_s) noexcept;
    void clear(Entry& entry) noexcept;
    void sweep(std::uint32_t now_s) noexcept;
    Learned move(Entry& entry, Station station, PortNumber port, std::uint32_t now_s) noexcept;
    Entry* choose(Bucket& bucket, PortNumber port, std::uint32_t now_s) noexcept;

    const std::size_t bucket_mask_;
    const std::uint32_t age_s_;
    const std::uint32_t per_port_;
    const std::uint64_t secret_;
    const std::unique_ptr<Bucket[]> buckets_;

    std::mutex mutex_;                 // taken by whoever changes anything but seen_s
    std::vector<std::uint32_t> held_;  // entries of each port
    std::size_t swept_ = 0;            // the bucket that is swept next
};

}  // namespace sidecore::network
