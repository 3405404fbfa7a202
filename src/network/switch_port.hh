// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hh"
#include "network/coverage.hh"
#include "network/inbox.hh"
#include "network/mac_table.hh"
#include "network/network_backend.hh"
#include "network/packet_ring.hh"

namespace sidecore::network {

struct PortOptions {
    std::string name;  ///< not empty, one of its kind in its switch
    std::uint16_t vlan =
        0;  ///< 1 to 4094: belongs to this VLAN only, untagged frames do; 0: a trunk, frames of every VLAN
    bool isolated = false;                            ///< nothing goes to, or comes from, other isolated ports
    std::uint16_t pairs = 1;                          ///< 1 to 16
    std::size_t inbox_bytes = std::size_t{1} << 20U;  ///< of each pair: see PacketRing
};

/// Why a frame did not go where it was to go.
enum class PortDrop : std::uint8_t {
    bad_source,     ///< from the port: its source address is a group's or nobody's
    wrong_vlan,     ///< from the port: tagged for a VLAN that is not the port's
    isolated,       ///< from the port: to another isolated one
    own_side,       ///< from the port: to a station behind it
    offload_fault,  ///< from the port: its headers contradict its info, where these had to be looked at
    unusable,       ///< from the port: too short or too long for a frame, or its pieces are
    not_received,   ///< to the port: nobody has opened the receiver of the pair
    inbox_full,     ///< to the port: nobody took what is there in time; of an uplink: its link had no room
    not_accepted,   ///< to the port: waited in its inbox while the guest's wishes changed
};

inline constexpr std::size_t port_drops = 9;

std::string_view to_string(PortDrop drop) noexcept;

/// What went through a port. "In" is from the guest into the switch.
struct PortTraffic {
    std::uint64_t frames_in = 0;
    std::uint64_t bytes_in = 0;
    std::uint64_t frames_out = 0;
    std::uint64_t bytes_out = 0;
    std::uint64_t flooded = 0;      ///< of those in: to a station that nobody knew, and so to everybody
    std::uint64_t not_learned = 0;  ///< of those in: whose source the table had no room for
    std::uint64_t direct = 0;       ///< of those out: written to the guest by its sender, without a stop in the inbox
    std::array<std::uint64_t, port_drops> drops{};  ///< by PortDrop
};

/// Thread: any.
class PortCounters {
public:
    using Counter = std::atomic<std::uint64_t>;

    static void add(Counter& counter, std::uint64_t count = 1) noexcept {
        counter.fetch_add(count, std::memory_order_relaxed);
    }
    void drop(PortDrop why) noexcept { add(drops[static_cast<std::size_t>(why)]); }
    PortTraffic read() const noexcept;

    // What the port's own senders write.
    alignas(64) Counter frames_in{0};
    Counter bytes_in{0};
    Counter flooded{0};
    Counter not_learned{0};
    // What everybody's do.
    alignas(64) Counter frames_out{0};
    Counter bytes_out{0};
    Counter direct{0};
    alignas(64) std::array<Counter, port_drops> drops{};
};

/// The inboxes whose sinks a call of send() has used, and has to flush before it returns. All are of the thread that makes the call.
class Unflushed {
public:
    /// A frame of so many bytes has been delivered to the sink, which `counters` are told in the end: once for all.
    void add(Inbox& inbox, PortCounters& counters, std::uint32_t bytes) noexcept;
    void flush() noexcept;

private:
    Inbox* first_ = nullptr;
};

/// A port as the switch's senders see it: somewhere that frames go.
///
/// Thread: deliver() and pair_for() any, with no lock unless a kind of port says so. A port outlives the set of ports that it was in: who has
/// that set may still deliver to a port that was removed, where it has no effect.
class SwitchPort {
public:
    SwitchPort(PortNumber number, PortOptions options) : number_(number), options_(std::move(options)) {}
    virtual ~SwitchPort() = default;
    SwitchPort(const SwitchPort&) = delete;
    SwitchPort& operator=(const SwitchPort&) = delete;

    PortNumber number() const noexcept { return number_; }
    const PortOptions& options() const noexcept { return options_; }
    Coverage& coverage() noexcept { return coverage_; }
    PortCounters& counters() noexcept { return counters_; }
    const PortCounters& counters() const noexcept { return counters_; }

    bool carries(std::uint16_t vlan) const noexcept { return options_.vlan == 0 || options_.vlan == vlan; }

    /// Whether it matters which pair a frame is delivered to.
    virtual bool steers() const noexcept { return false; }

    /// Of a flow by its hash: the pair that it is to be delivered to.
    virtual std::uint16_t pair_for(std::uint32_t flow) const noexcept = 0;

    /// The port has sent a frame of that flow from that pair.
    virtual void sent_from(std::uint32_t flow, std::uint16_t pair) noexcept = 0;

    /// Hands over a frame that coverage() covers, or drops and counts it. Does not wait for whoever receives it.
    virtual void deliver(const Packet& packet, std::uint16_t pair, Unflushed& unflushed) noexcept = 0;

protected:
    void count_out(const Packet& packet) noexcept {
        PortCounters::add(counters_.frames_out);
        PortCounters::add(counters_.bytes_out, packet.bytes);
    }

private:
    const PortNumber number_;
    const PortOptions options_;
    Coverage coverage_;
    PortCounters counters_;
};

/// A port with a guest: an inbox for each of its pairs, and a memory of which pair a flow came from (VIRTIO 1.3, 5.1.6.5.6: automatic receive
/// steering).
class GuestPort final : public SwitchPort {
public:
    static constexpr std::uint16_t pairs_max = 16;

    static Result<std::shared_ptr<GuestPort>> create(PortNumber number, PortOptions options);

    Inbox& inbox(std::uint16_t pair) noexcept { return inboxes_[pair]; }
    void set_pairs(std::uint16_t pairs) noexcept { pairs_in_use_.store(pairs, std::memory_order_relaxed); }

    bool steers() const noexcept override { return pairs_in_use_.load(std::memory_order_relaxed) > 1; }
    std::uint16_t pair_for(std::uint32_t flow) const noexcept override;
    void sent_from(std::uint32_t flow, std::uint16_t pair) noexcept override;
    void deliver(const Packet& packet, std::uint16_t pair, Unflushed& unflushed) noexcept override;

private:
    static constexpr std::size_t flows = 256;

    GuestPort(PortNumber number, PortOptions options) : SwitchPort(number, std::move(options)) {}

    std::array<Inbox, pairs_max> inboxes_;  // those beyond options().pairs have no ring
    std::atomic<std::uint16_t> pairs_in_use_{1};
    // By the lowest bits of a flow's hash: its other bits, and the pair that it came from; 0: none has come.
    std::array<std::atomic<std::uint32_t>, flows> steering_{};
};

/// A port with another back-end: the way out, for instance a tap. Senders take turns at it, with a lock: the back-end has one sender, and
/// most of what it does is a system call anyway.
class UplinkPort final : public SwitchPort {
public:
    static Result<std::shared_ptr<UplinkPort>> create(PortNumber number, PortOptions options,
                                                      std::unique_ptr<NetworkBackend> backend);

    const NetworkBackend& backend() const noexcept { return *backend_; }
    Result<std::unique_ptr<PacketReceiver>> open_receiver() { return backend_->open_receiver(0); }

    std::uint16_t pair_for(std::uint32_t) const noexcept override { return 0; }
    void sent_from(std::uint32_t, std::uint16_t) noexcept override {}
    void deliver(const Packet& packet, std::uint16_t pair, Unflushed& unflushed) noexcept override;

private:
    UplinkPort(PortNumber number, PortOptions options, std::unique_ptr<NetworkBackend> backend,
               std::unique_ptr<PacketSender> sender)
        : SwitchPort(number, std::move(options)), backend_(std::move(backend)), sender_(std::move(sender)) {}

    const std::unique_ptr<NetworkBackend> backend_;
    std::mutex mutex_;
    const std::unique_ptr<PacketSender> sender_;  // guarded by mutex_
};

}  // namespace sidecore::network
