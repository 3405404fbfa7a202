// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/error.hh"
#include "base/fd.hh"
#include "memory/memory_map.hh"

namespace sidecore::vhost_user {

class BackendChannel;

/// Where a vring's three parts lie, in the front-end's address space (SET_VRING_ADDR).
struct VringAddresses {
    memory::UserAddress descriptor;
    memory::UserAddress available;
    memory::UserAddress used;
};

/// All that is known of a vring when it starts. The descriptors belong to the receiver. Each is an eventfd, a pipe or a
/// socket, blocking or not as the front-end has made it: the setting is shared with the front-end, which may change it.
struct VringSetup {
    std::uint32_t size = 0;  ///< a power of two, 1 to 32768
    VringAddresses addresses;
    std::uint16_t available_base = 0;  ///< next available index to take (SET_VRING_BASE)
    Fd kick;                           ///< none: poll (VHOST_USER "invalid fd" flag)
    Fd call;                           ///< none: the driver polls the used ring
    Fd error;                          ///< none: nobody wants to know
};

/// The meaning behind the messages: what a session asks of the device and its queues. An endpoint implements it.
///
/// Thread: the session's thread, one call at a time. Calls return when the workers that own the queues have applied the
/// change, so the session may answer the front-end right away.
/// Errors end the session: the message is put in the log, the connection is closed; write_config() has the exception.
/// When the session ends it stops all vrings that are still started; enabling, memory and features stay as they were.
class Handler {
public:
    Handler() = default;
    virtual ~Handler() = default;
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;

    /// Virtio features on offer, without VHOST_USER_F_PROTOCOL_FEATURES, which the session adds.
    virtual std::uint64_t offered_features() const = 0;

    /// Protocol features that devices of this type have, beyond those of the session's own (Session::offered_protocol_features).
    virtual std::uint64_t device_protocol_features() const { return 0; }

    /// Virtqueues that the device can have (GET_QUEUE_NUM): 1 to 256.
    virtual std::uint16_t max_queues() const = 0;

    /// SET_FEATURES: the driver's choice, a subset of the offer.
    virtual Result<void> set_features(std::uint64_t features) = 0;

    /// SET_MEM_TABLE, ADD_MEM_REG, REM_MEM_REG: from now on this is the guest's memory. Running queues finish their
    /// accepted I/O in the old map first. A started vring whose parts are not in the map rests until they are: QEMU
    /// removes a region and adds it again when it grows.
    virtual Result<void> set_memory(std::shared_ptr<const memory::MemoryMap> map) = 0;

    /// The vring is started (SET_VRING_KICK after all the rest). Not yet started or stopped before.
    virtual Result<void> start_vring(std::uint16_t index, VringSetup setup) = 0;

    /// GET_VRING_BASE: finishes accepted I/O, stops the started vring and returns the next available index.
    virtual Result<std::uint16_t> stop_vring(std::uint16_t index) = 0;

    /// SET_VRING_ENABLE (or SET_FEATURES without protocol features, which enables all). Also before the start.
    virtual Result<void> enable_vring(std::uint16_t index, bool enabled) = 0;

    /// A started vring gets another kick, call or error descriptor; none stands for the "invalid fd" flag.
    virtual Result<void> replace_kick(std::uint16_t index, Fd kick) = 0;
    virtual Result<void> replace_call(std::uint16_t index, Fd call) = 0;
    virtual Result<void> replace_error(std::uint16_t index, Fd error) = 0;

    /// GET_CONFIG: fills `out` with the configuration space from `offset`; what lies beyond its end reads as zeroes.
    virtual void read_config(std::uint32_t offset, std::span<std::byte> out) const = 0;

    /// SET_CONFIG: a write by the driver, or by a migration's destination (`migration`), which may write every field.
    /// Front-ends made of rust-vmm (Cloud Hypervisor) say `migration` for the driver's writes too.
    /// An error refuses the write and does not end the session: any guest can cause it.
    virtual Result<void> write_config(std::uint32_t offset, std::span<const std::byte> data, bool migration) = 0;

    /// SET_BACKEND_REQ_FD came: the way to announce configuration changes, usable from any thread from now on.
    virtual void set_backend_channel(std::shared_ptr<BackendChannel> channel) = 0;

    /// SET_STATUS / GET_STATUS: the virtio device status byte. The handler adds DEVICE_NEEDS_RESET when it is so.
    /// 0 is the driver's reset: the vrings are stopped before, and the features are set anew after.
    virtual Result<void> set_status(std::uint8_t status) = 0;
    virtual std::uint8_t status() const = 0;

    /// SEND_RARP (protocol feature RARP): the network is to learn that this MAC address is here now. An error refuses, and does not end
    /// the session.
    virtual Result<void> announce_mac(std::span<const std::uint8_t, 6> mac);

    /// NET_SET_MTU (protocol feature MTU). Errors likewise.
    virtual Result<void> set_mtu(std::uint64_t mtu);

    /// RESET_DEVICE: all vrings stopped and disabled, everything as after connecting, memory kept.
    virtual Result<void> reset() = 0;
};

}  // namespace sidecore::vhost_user
