// SPDX-License-Identifier: Apache-2.0
#include "vhost_user/messages.hh"

#include "base/format.hh"

namespace sidecore::vhost_user {

namespace {

constexpr std::array<std::string_view, request_count + 1> request_names = {
    "",
    "GET_FEATURES",
    "SET_FEATURES",
    "SET_OWNER",
    "RESET_OWNER",
    "SET_MEM_TABLE",
    "SET_LOG_BASE",
    "SET_LOG_FD",
    "SET_VRING_NUM",
    "SET_VRING_ADDR",
    "SET_VRING_BASE",
    "GET_VRING_BASE",
    "SET_VRING_KICK",
    "SET_VRING_CALL",
    "SET_VRING_ERR",
    "GET_PROTOCOL_FEATURES",
    "SET_PROTOCOL_FEATURES",
    "GET_QUEUE_NUM",
    "SET_VRING_ENABLE",
    "SEND_RARP",
    "NET_SET_MTU",
    "SET_BACKEND_REQ_FD",
    "IOTLB_MSG",
    "SET_VRING_ENDIAN",
    "GET_CONFIG",
    "SET_CONFIG",
    "CREATE_CRYPTO_SESSION",
    "CLOSE_CRYPTO_SESSION",
    "POSTCOPY_ADVISE",
    "POSTCOPY_LISTEN",
    "POSTCOPY_END",
    "GET_INFLIGHT_FD",
    "SET_INFLIGHT_FD",
    "GPU_SET_SOCKET",
    "RESET_DEVICE",
    "VRING_KICK",
    "GET_MAX_MEM_SLOTS",
    "ADD_MEM_REG",
    "REM_MEM_REG",
    "SET_STATUS",
    "GET_STATUS",
    "GET_SHARED_OBJECT",
    "SET_DEVICE_STATE_FD",
    "CHECK_DEVICE_STATE",
    "GET_SHMEM_CONFIG",
    "GET_VRING_BASE_SKIP_DRAIN",
};

constexpr std::array<std::string_view, backend_request_count + 1> backend_request_names = {
    "",
    "IOTLB_MSG",
    "CONFIG_CHANGE_MSG",
    "VRING_HOST_NOTIFIER_MSG",
    "VRING_CALL",
    "VRING_ERR",
    "SHARED_OBJECT_ADD",
    "SHARED_OBJECT_REMOVE",
    "SHARED_OBJECT_LOOKUP",
    "SHMEM_MAP",
    "SHMEM_UNMAP",
};

constexpr std::array<std::string_view, protocol_feature_count> protocol_feature_names = {
    "MQ",
    "LOG_SHMFD",
    "RARP",
    "REPLY_ACK",
    "MTU",
    "BACKEND_REQ",
    "CROSS_ENDIAN",
    "CRYPTO_SESSION",
    "PAGEFAULT",
    "CONFIG",
    "BACKEND_SEND_FD",
    "HOST_NOTIFIER",
    "INFLIGHT_SHMFD",
    "RESET_DEVICE",
    "INBAND_NOTIFICATIONS",
    "CONFIGURE_MEM_SLOTS",
    "STATUS",
    "XEN_MMAP",
    "SHARED_OBJECT",
    "DEVICE_STATE",
    "GET_VRING_BASE_INFLIGHT",
    "GPA_ADDRESSES",
    "SHMEM",
    "GET_VRING_BASE_SKIP_DRAIN",
};

template <std::size_t size>
std::string_view name_at(const std::array<std::string_view, size>& names, std::uint32_t index) noexcept {
    return index < size ? names[index] : std::string_view{};
}

}  // namespace

std::string_view name_of(Request request) noexcept {
    return name_at(request_names, static_cast<std::uint32_t>(request));
}

std::string_view name_of(BackendRequest request) noexcept {
    return name_at(backend_request_names, static_cast<std::uint32_t>(request));
}

std::string_view name_of(ProtocolFeature feature) noexcept {
    return name_at(protocol_feature_names, static_cast<std::uint32_t>(feature));
}

std::string describe_request(std::uint32_t id) {
    const std::string_view name = name_of(static_cast<Request>(id));
    return name.empty() ? fmt::format("request {}", id) : std::string(name);
}

std::string describe_protocol_features(std::uint64_t mask) {
    std::string text;
    for (unsigned bit = 0; bit < 64; ++bit) {
        if (((mask >> bit) & 1U) == 0) {
            continue;
        }
        if (!text.empty()) {
            text += ", ";
        }
        const std::string_view name = bit < protocol_feature_count ? protocol_feature_names[bit] : std::string_view{};
        text += name.empty() ? fmt::format("bit {}", bit) : std::string(name);
    }
    return text.empty() ? "none" : text;
}

}  // namespace sidecore::vhost_user
