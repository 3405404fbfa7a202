// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/fd.hh"

// The wire format of vhost-user: structs, numbers and names, for both sides of a connection. All integers are
// in the machine's byte order (vhost-user "Message Specification"). Nothing here has a state; any thread may
// use it.

namespace sidecore::vhost_user {

/// What a front-end asks ("Front-end message types").
enum class Request : std::uint32_t {
    get_features = 1,
    set_features = 2,
    set_owner = 3,
    reset_owner = 4,
    set_mem_table = 5,
    set_log_base = 6,
    set_log_fd = 7,
    set_vring_num = 8,
    set_vring_addr = 9,
    set_vring_base = 10,
    get_vring_base = 11,
    set_vring_kick = 12,
    set_vring_call = 13,
    set_vring_err = 14,
    get_protocol_features = 15,
    set_protocol_features = 16,
    get_queue_num = 17,
    set_vring_enable = 18,
    send_rarp = 19,
    net_set_mtu = 20,
    set_backend_req_fd = 21,
    iotlb_msg = 22,
    set_vring_endian = 23,
    get_config = 24,
    set_config = 25,
    create_crypto_session = 26,
    close_crypto_session = 27,
    postcopy_advise = 28,
    postcopy_listen = 29,
    postcopy_end = 30,
    get_inflight_fd = 31,
    set_inflight_fd = 32,
    gpu_set_socket = 33,
    reset_device = 34,
    vring_kick = 35,
    get_max_mem_slots = 36,
    add_mem_reg = 37,
    rem_mem_reg = 38,
    set_status = 39,
    get_status = 40,
    get_shared_object = 41,
    set_device_state_fd = 42,
    check_device_state = 43,
    get_shmem_config = 44,
    get_vring_base_skip_drain = 45,
};

/// What a back-end asks over the channel of SET_BACKEND_REQ_FD ("Back-end message types").
enum class BackendRequest : std::uint32_t {
    iotlb_msg = 1,
    config_change_msg = 2,
    vring_host_notifier_msg = 3,
    vring_call = 4,
    vring_err = 5,
    shared_object_add = 6,
    shared_object_remove = 7,
    shared_object_lookup = 8,
    shmem_map = 9,
    shmem_unmap = 10,
};

/// Bit numbers of GET/SET_PROTOCOL_FEATURES.
enum class ProtocolFeature : std::uint8_t {
    mq = 0,
    log_shmfd = 1,
    rarp = 2,
    reply_ack = 3,
    mtu = 4,
    backend_req = 5,
    cross_endian = 6,
    crypto_session = 7,
    pagefault = 8,
    config = 9,
    backend_send_fd = 10,
    host_notifier = 11,
    inflight_shmfd = 12,
    reset_device = 13,
    inband_notifications = 14,
    configure_mem_slots = 15,
    status = 16,
    xen_mmap = 17,
    shared_object = 18,
    device_state = 19,
    get_vring_base_inflight = 20,
    gpa_addresses = 21,
    shmem = 22,
    get_vring_base_skip_drain = 23,
};

constexpr std::uint64_t mask_of(ProtocolFeature feature) noexcept {
    return std::uint64_t{1} << static_cast<unsigned>(feature);
}

constexpr std::uint64_t mask_of(std::initializer_list<ProtocolFeature> features) noexcept {
    std::uint64_t mask = 0;
    for (const ProtocolFeature feature : features) {
        mask |= mask_of(feature);
    }
    return mask;
}

/// VHOST_USER_F_PROTOCOL_FEATURES: the virtio feature bit that vhost-user uses for itself.
inline constexpr unsigned protocol_features_bit = 30;
inline constexpr std::uint64_t protocol_features_mask = std::uint64_t{1} << protocol_features_bit;

/// VHOST_F_LOG_ALL, the virtio feature bit with which a front-end turns dirty logging on and off.
inline constexpr std::uint64_t log_all_mask = std::uint64_t{1} << 26U;

/// The name in the specification without its VHOST_USER_ prefix: "SET_MEM_TABLE"; empty for an unknown id.
std::string_view name_of(Request request) noexcept;
/// Likewise without VHOST_USER_BACKEND_: "CONFIG_CHANGE_MSG".
std::string_view name_of(BackendRequest request) noexcept;
/// Likewise without VHOST_USER_PROTOCOL_F_: "REPLY_ACK".
std::string_view name_of(ProtocolFeature feature) noexcept;

/// For messages to people: "SET_MEM_TABLE", or "request 77" if there is no such request.
std::string describe_request(std::uint32_t id);
/// For messages to people: "MQ, REPLY_ACK, bit 40" for a mask of protocol features.
std::string describe_protocol_features(std::uint64_t mask);

inline constexpr std::uint32_t request_count = 45;          ///< ids 1 to 45
inline constexpr std::uint32_t backend_request_count = 10;  ///< ids 1 to 10
inline constexpr unsigned protocol_feature_count = 24;      ///< bits 0 to 23

/// MessageHeader::flags.
namespace header_flags {
inline constexpr std::uint32_t version_mask = 0x3;
inline constexpr std::uint32_t version = 0x1;
inline constexpr std::uint32_t reply = 0x4;
inline constexpr std::uint32_t need_reply = 0x8;  ///< REPLY_ACK
}  // namespace header_flags

namespace limits {
/// The largest payload that a receiver takes, in bytes. The largest known one is 2056 (GET_SHMEM_CONFIG's
/// reply).
inline constexpr std::size_t payload_size = 4096;
/// The regions of a SET_MEM_TABLE ("regions field contains 8 regions").
inline constexpr std::size_t table_regions = 8;
/// Descriptors that a receiver takes with one message. A sender stays at table_regions; rust-vmm's front-ends
/// (Cloud Hypervisor) send a table of up to 32 regions.
inline constexpr std::size_t fds = 32;
/// The largest configuration space (VHOST_USER_MAX_CONFIG_SIZE).
inline constexpr std::size_t config_size = 256;
inline constexpr std::uint32_t vring_size = 32768;
/// A vring index in SET_VRING_KICK and its sisters has 8 bits.
inline constexpr std::uint32_t vrings = 256;
}  // namespace limits

struct MessageHeader {
    std::uint32_t request = 0;
    std::uint32_t flags = header_flags::version;
    std::uint32_t size = 0;  ///< of the payload, in bytes

    bool need_reply() const noexcept { return (flags & header_flags::need_reply) != 0; }
    bool is_reply() const noexcept { return (flags & header_flags::reply) != 0; }

    friend bool operator==(const MessageHeader&, const MessageHeader&) = default;
};
static_assert(sizeof(MessageHeader) == 12);

/// One whole message. The descriptors belong to it and are close-on-exec.
struct Message {
    MessageHeader header;
    std::vector<std::byte> payload;
    std::vector<Fd> fds;
};

/// A header for a request of the front-end; flags: header_flags::need_reply or 0 (the version is added).
constexpr MessageHeader make_header(Request request, std::size_t payload_size, std::uint32_t flags = 0) noexcept {
    return {static_cast<std::uint32_t>(request), flags | header_flags::version,
            static_cast<std::uint32_t>(payload_size)};
}

constexpr MessageHeader make_header(BackendRequest request, std::size_t payload_size,
                                    std::uint32_t flags = 0) noexcept {
    return {static_cast<std::uint32_t>(request), flags | header_flags::version,
            static_cast<std::uint32_t>(payload_size)};
}

/// SET_VRING_NUM, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_ENABLE, …: "A vring state description".
struct VringState {
    std::uint32_t index = 0;
    std::uint32_t num = 0;
};
static_assert(sizeof(VringState) == 8);

/// VringAddr::flags: VHOST_VRING_F_LOG.
inline constexpr std::uint32_t vring_flag_log = 0x1;

/// SET_VRING_ADDR: "A vring address description".
struct VringAddr {
    std::uint32_t index = 0;
    std::uint32_t flags = 0;
    std::uint64_t descriptor = 0;
    std::uint64_t used = 0;
    std::uint64_t available = 0;
    std::uint64_t log = 0;
};
static_assert(sizeof(VringAddr) == 40 && offsetof(VringAddr, used) == 16 && offsetof(VringAddr, available) == 24);

/// The u64 of SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR.
namespace vring_fd {
inline constexpr std::uint64_t index_mask = 0xff;
inline constexpr std::uint64_t no_fd = 0x100;
}  // namespace vring_fd

/// "Memory region description"; with XEN_MMAP, which Sidecore does not do, it would be longer.
struct MemoryRegion {
    std::uint64_t guest_address = 0;
    std::uint64_t size = 0;
    std::uint64_t user_address = 0;
    std::uint64_t mmap_offset = 0;

    friend bool operator==(const MemoryRegion&, const MemoryRegion&) = default;
};
static_assert(sizeof(MemoryRegion) == 32);

/// ADD_MEM_REG, REM_MEM_REG: "Single memory region description".
struct SingleMemoryRegion {
    std::uint64_t padding = 0;
    MemoryRegion region;
};
static_assert(sizeof(SingleMemoryRegion) == 40 && offsetof(SingleMemoryRegion, region) == 8);

/// SET_MEM_TABLE starts with this; `region_count` MemoryRegions follow.
struct MemoryTableHeader {
    std::uint32_t region_count = 0;
    std::uint32_t padding = 0;
};
static_assert(sizeof(MemoryTableHeader) == 8);

/// ConfigHeader::flags.
namespace config_flags {
inline constexpr std::uint32_t writable = 0;
inline constexpr std::uint32_t migration = 1;
}  // namespace config_flags

/// GET_CONFIG, SET_CONFIG start with this; `size` bytes of configuration space follow.
struct ConfigHeader {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
    std::uint32_t flags = 0;
};
static_assert(sizeof(ConfigHeader) == 12);

/// SET_LOG_BASE: "Log description".
struct LogDescription {
    std::uint64_t size = 0;
    std::uint64_t offset = 0;
};
static_assert(sizeof(LogDescription) == 16);

/// IOTLB_MSG: struct vhost_iotlb_msg.
struct IotlbMessage {
    std::uint64_t iova = 0;
    std::uint64_t size = 0;
    std::uint64_t user_address = 0;
    std::uint8_t permissions = 0;
    std::uint8_t type = 0;
    std::array<std::uint8_t, 6> padding{};
};
static_assert(sizeof(IotlbMessage) == 32 && offsetof(IotlbMessage, permissions) == 24);

/// VRING_HOST_NOTIFIER_MSG: "Vring area description".
struct VringArea {
    std::uint64_t index_and_flags = 0;
    std::uint64_t size = 0;
    std::uint64_t offset = 0;
};
static_assert(sizeof(VringArea) == 24);

/// GET_INFLIGHT_FD, SET_INFLIGHT_FD: "Inflight description".
struct InflightDescription {
    std::uint64_t mmap_size = 0;
    std::uint64_t mmap_offset = 0;
    std::uint16_t queue_count = 0;
    std::uint16_t queue_size = 0;
    std::uint32_t padding = 0;  ///< what the C struct of every front-end ends with
};
static_assert(sizeof(InflightDescription) == 24 && offsetof(InflightDescription, queue_size) == 18);

/// GET_SHARED_OBJECT and SHARED_OBJECT_*: VhostUserShared.
struct SharedObject {
    std::array<std::uint8_t, 16> uuid{};
};
static_assert(sizeof(SharedObject) == 16);

/// SET_DEVICE_STATE_FD: "Device state transfer parameters".
struct DeviceStateTransfer {
    std::uint32_t direction = 0;  ///< 0 save, 1 load
    std::uint32_t phase = 0;      ///< 0 stopped
};
static_assert(sizeof(DeviceStateTransfer) == 8);

/// SHMEM_MAP, SHMEM_UNMAP: "MMAP request".
struct SharedMemoryMap {
    std::uint8_t shmid = 0;
    std::array<std::uint8_t, 7> padding{};
    std::uint64_t fd_offset = 0;
    std::uint64_t shm_offset = 0;
    std::uint64_t length = 0;
    std::uint64_t flags = 0;
};
static_assert(sizeof(SharedMemoryMap) == 40 && offsetof(SharedMemoryMap, fd_offset) == 8);

/// A type that goes over the wire as its bytes: no padding, whose content would leak out of the sender.
template <typename T>
concept WirePayload = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>;

static_assert(WirePayload<MessageHeader> && WirePayload<VringState> && WirePayload<VringAddr>);
static_assert(WirePayload<MemoryRegion> && WirePayload<SingleMemoryRegion> && WirePayload<MemoryTableHeader>);
static_assert(WirePayload<ConfigHeader> && WirePayload<LogDescription> && WirePayload<IotlbMessage>);
static_assert(WirePayload<VringArea> && WirePayload<InflightDescription> && WirePayload<SharedObject>);
static_assert(WirePayload<DeviceStateTransfer> && WirePayload<SharedMemoryMap>);

/// The bytes of a payload for Connection::send; they live as long as `payload`.
template <WirePayload T>
std::span<const std::byte> payload_bytes(const T& payload) noexcept {
    return std::as_bytes(std::span(&payload, 1));
}

/// Adds the bytes of `part` to a payload made of several parts.
template <WirePayload T>
void append_payload(std::vector<std::byte>& payload, const T& part) {
    const std::span<const std::byte> bytes = payload_bytes(part);
    payload.insert(payload.end(), bytes.begin(), bytes.end());
}

/// The T at `offset` of a received payload. Precondition: offset + sizeof(T) <= bytes.size().
template <WirePayload T>
T read_payload(std::span<const std::byte> bytes, std::size_t offset = 0) noexcept {
    T value;
    std::memcpy(&value, bytes.subspan(offset, sizeof(T)).data(), sizeof(T));
    return value;
}

}  // namespace sidecore::vhost_user
