// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "capture/capture_point.hh"
#include "device/device.hh"
#include "device/net_control_queue.hh"
#include "device/net_counters.hh"
#include "device/net_layout.hh"
#include "device/rate_limiter.hh"
#include "network/network_backend.hh"

namespace sidecore::device {

using MacAddress = std::array<std::uint8_t, 6>;

/// Which packets the driver has asked for (VIRTIO 1.3, 5.1.6.5.1 to 5.1.6.5.3). It gets at least these; filtering is its own business, as with
/// the kernel's vhost-net.
struct NetFilter {
    bool promiscuous = true;
    bool all_multicast = false;
    bool all_unicast = false;
    bool no_multicast = false;
    bool no_unicast = false;
    bool no_broadcast = false;
    std::uint32_t unicast_addresses = 0;
    std::uint32_t multicast_addresses = 0;
    std::uint32_t vlans = 0;
};

/// Of all queues of a device together.
struct NetLimits {
    RateLimits transmit{};  ///< from the guest
    RateLimits receive{};   ///< to the guest

    friend bool operator==(const NetLimits&, const NetLimits&) = default;
};

/// A virtio network device (VIRTIO 1.3, 5.1) over a network back-end.
///
/// Thread: as Device; carry_out() on a worker's. What both change is guarded by a mutex that is held for a few system calls at most.
class NetDevice final : public Device, private NetCommands {
public:
    struct Options {
        std::string name = "net";                      ///< for the log
        std::uint16_t pairs = 1;                       ///< queue pairs: 1 to 16, and no more than the back-end has
        std::optional<MacAddress> mac = std::nullopt;  ///< none: the driver (or the front-end) chooses
        std::uint16_t mtu = 0;                         ///< told to the driver: 68 to 65521; 0: nothing is
        std::uint32_t speed_mbit = 0;                  ///< told to the driver; 0: nothing is
        bool control = true;                           ///< offer a control queue
        bool mergeable = true;                         ///< offer VIRTIO_NET_F_MRG_RXBUF
        bool offloads = true;                          ///< offer what the back-end can do
        bool event_index = true;                       ///< offer VIRTIO_F_EVENT_IDX
        bool indirect = true;                          ///< offer VIRTIO_F_INDIRECT_DESC
        NetLimits limits = {};                         ///< at first
        RateLimiter::Clock clock = &monotonic_ns;      ///< that limits go by
    };

    static constexpr std::uint16_t max_pairs_possible = 16;
    static constexpr std::uint16_t min_mtu = 68;
    static constexpr std::uint16_t max_mtu = 65521;

    /// Ends its captures.
    ~NetDevice() override { captures_->end(); }
    NetDevice(const NetDevice&) = delete;
    NetDevice& operator=(const NetDevice&) = delete;

    static Result<std::unique_ptr<NetDevice>> create(std::unique_ptr<network::NetworkBackend> backend, Options options);

    std::string_view type() const noexcept override { return "net"; }
    std::string description() const override;
    std::uint64_t features() const noexcept override { return features_; }
    std::uint16_t max_queues() const noexcept override;
    bool in_order() const noexcept override { return true; }
    void accept_features(std::uint64_t features) override;
    void read_config(std::uint32_t offset, std::span<std::byte> out) const override;
    Result<void> write_config(std::uint32_t offset, std::span<const std::byte> data, bool migration) override;
    void reset() override;
    Result<std::unique_ptr<DeviceQueue>> create_queue(std::uint16_t index, virtqueue::SplitQueue ring,
                                                      Notifiers notifiers) override;
    void queue_enabled(std::uint16_t index, bool enabled) override;
    Result<void> announce_mac(std::span<const std::uint8_t, 6> mac) override;
    Result<void> set_mtu(std::uint16_t mtu) override;

    /// Makes the guest known to its network again, after something behind the device has changed. Whether the driver has been asked to see to it
    /// (5.1.6.5.4; the caller announces the change of the configuration); in any case the network is told of the MAC address, if that is
    /// known. Error: unsupported, neither is possible.
    Result<bool> announce();

    /// Whether the driver sees a link. The caller announces the change.
    void set_link(bool up) noexcept { link_up_ = up; }
    bool link_up() const noexcept { return link_up_; }

    /// Whether that queue, of all that there may be, takes what the guest sends.
    bool is_transmit(std::uint16_t index) const noexcept { return index % 2 == 1 && index / 2 < options_.pairs; }

    std::uint16_t max_pairs() const noexcept { return options_.pairs; }
    std::uint16_t pairs_in_use() const;
    std::optional<MacAddress> mac() const;
    std::uint16_t mtu() const noexcept { return mtu_; }
    NetFilter filter() const;
    const network::NetworkBackend& backend() const noexcept { return *backend_; }

    /// Holds for running queues at once.
    void set_limits(const NetLimits& limits);
    NetLimits limits() const { return {transmit_limiter_.limits(), receive_limiter_.limits()}; }

    /// Of all queues of one way, since the device was made.
    NetCounts transmitted() const noexcept;
    NetCounts received() const noexcept;

    /// Where the packets of all its queues can be captured, of whatever front-end.
    capture::CapturePoint& captures() noexcept { return *captures_; }

private:
    NetDevice(std::unique_ptr<network::NetworkBackend> backend, Options options);

    std::uint16_t control_index() const noexcept;
    bool carry_out(net::ControlClass kind, std::uint8_t command, std::span<const std::byte> data) noexcept override;
    bool set_rx_mode(net::RxCommand command, std::span<const std::byte> data) noexcept;
    bool set_mac_filter(std::span<const std::byte> data) noexcept;
    bool set_mac(std::span<const std::byte> data) noexcept;
    bool set_vlan(net::VlanCommand command, std::span<const std::byte> data) noexcept;
    bool set_offloads(std::span<const std::byte> data) noexcept;
    bool command_pairs(std::span<const std::byte> data) noexcept;
    Result<void> use_pairs(std::uint16_t pairs);
    net::Config config() const;
    void forget_driver();

    const std::unique_ptr<network::NetworkBackend> backend_;
    const Options options_;
    std::uint64_t features_;
    std::atomic<std::uint64_t> accepted_{0};
    std::atomic<bool> link_up_{true};
    std::atomic<std::uint16_t> mtu_;

    mutable std::mutex mutex_;  // for what follows, and the back-end's control calls
    std::optional<MacAddress> mac_;
    NetFilter filter_;
    std::vector<bool> vlans_;
    std::uint32_t enabled_receivers_ = 0;  // by pair
    std::uint16_t pairs_in_use_ = 1;
    bool has_control_queue_ = false;  // the driver can answer
    bool announcing_ = false;         // the driver has been asked to announce itself

    struct PairCounters {
        NetCounters received;
        NetCounters transmitted;
    };
    std::unique_ptr<PairCounters[]> counters_;  // by pair
    RateLimiter transmit_limiter_;
    RateLimiter receive_limiter_;
    const std::shared_ptr<capture::CapturePoint> captures_ = capture::CapturePoint::create();
};

}  // namespace sidecore::device
