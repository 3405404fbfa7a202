// SPDX-License-Identifier: Apache-2.0
#include "frontend/client.hh"

#include <array>
#include <cerrno>
#include <cstring>
#include <linux/virtio_config.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <utility>

#include "base/format.hh"

namespace sidecore::frontend {

using vhost_user::Message;
using vhost_user::ProtocolFeature;
using vhost_user::Request;

namespace {

std::uint32_t number_of(Request request) noexcept {
    return static_cast<std::uint32_t>(request);
}

Result<Message> receive_within(vhost_user::Connection& connection, std::chrono::milliseconds timeout) {
    pollfd readable{.fd = connection.fd(), .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, static_cast<int>(timeout.count())) == 0) {
        return failure(ErrorKind::timed_out, fmt::format("no message within {} ms", timeout.count()));
    }
    return connection.receive();
}

vhost_user::MemoryRegion describe(const GuestMemoryFile::Region& region) noexcept {
    return {.guest_address = region.guest_address.value,
            .size = region.size,
            .user_address = region.user_address.value,
            .mmap_offset = region.mmap_offset};
}

}  // namespace

Result<Client> Client::connect(const std::filesystem::path& socket, std::chrono::milliseconds patience) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = socket.string();
    if (path.size() >= sizeof address.sun_path) {
        return failure(ErrorKind::invalid_argument, fmt::format("{}: too long for a socket's path", path));
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (;;) {
        Fd connecting(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!connecting) {
            return failure_from_errno("creating a socket");
        }
        if (::connect(connecting.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
            return Client(std::move(connecting), patience);
        }
        const bool not_there_yet = errno == ENOENT || errno == ECONNREFUSED || errno == EINTR;
        if (!not_there_yet || std::chrono::steady_clock::now() >= deadline) {
            return failure_from_errno(fmt::format("connecting to {}", path));
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

Result<Message> Client::receive() {
    return receive_within(connection_, patience_);
}

Result<Message> Client::ask(Request request, std::span<const std::byte> payload) {
    SIDECORE_TRY(connection_.send(vhost_user::make_header(request, payload.size()), payload));
    auto reply = receive();
    if (!reply) {
        return tl::unexpected(std::move(reply).error().within(vhost_user::name_of(request)));
    }
    if (reply->header.request != number_of(request) || !reply->header.is_reply()) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{} was answered by {} with flags {:#x}", vhost_user::name_of(request),
                                   vhost_user::describe_request(reply->header.request), reply->header.flags));
    }
    return reply;
}

Result<void> Client::tell(Request request, std::span<const std::byte> payload, std::span<const int> fds) {
    const bool acknowledged = acknowledge_ && has(ProtocolFeature::reply_ack);
    const std::uint32_t flags = acknowledged ? vhost_user::header_flags::need_reply : 0;
    SIDECORE_TRY(connection_.send(vhost_user::make_header(request, payload.size(), flags), payload, fds));
    if (!acknowledged) {
        return {};
    }
    auto reply = receive();
    if (!reply) {
        return tl::unexpected(std::move(reply).error().within(vhost_user::name_of(request)));
    }
    if (reply->header.request != number_of(request) || !reply->header.is_reply() ||
        reply->payload.size() != sizeof(std::uint64_t)) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{} was acknowledged by {} with flags {:#x} and {} bytes",
                                   vhost_user::name_of(request), vhost_user::describe_request(reply->header.request),
                                   reply->header.flags, reply->payload.size()));
    }
    if (const auto code = vhost_user::read_payload<std::uint64_t>(reply->payload); code != 0) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("{} was refused with {}", vhost_user::name_of(request), code));
    }
    return {};
}

Result<std::uint64_t> Client::get_u64(Request request) {
    SIDECORE_TRY_ASSIGN(const Message reply, ask(request, {}));
    if (reply.payload.size() != sizeof(std::uint64_t)) {
        return failure(ErrorKind::protocol_violation, fmt::format("{} was answered with {} bytes",
                                                                  vhost_user::name_of(request), reply.payload.size()));
    }
    return vhost_user::read_payload<std::uint64_t>(reply.payload);
}

Result<void> Client::negotiate(const Wishes& wishes) {
    SIDECORE_TRY_ASSIGN(const std::uint64_t offered, get_features());
    const bool has_protocol_features = (offered & vhost_user::protocol_features_mask) != 0;
    if (has_protocol_features) {
        SIDECORE_TRY_ASSIGN(const std::uint64_t protocol_offered, get_protocol_features());
        SIDECORE_TRY(set_protocol_features(protocol_offered & wishes.protocol_features));
    }
    SIDECORE_TRY(set_owner());
    if (has(ProtocolFeature::backend_req)) {
        SIDECORE_TRY(open_backend_channel());
    }
    return set_features(offered & (wishes.features | vhost_user::protocol_features_mask));
}

Result<void> Client::start(const GuestMemoryFile& memory, std::span<DriverQueue> queues) {
    std::vector<NumberedQueue> numbered;
    for (DriverQueue& queue : queues) {
        numbered.push_back({.vring = static_cast<std::uint32_t>(numbered.size()), .queue = &queue});
    }
    return start(memory, numbered);
}

Result<void> Client::start(const GuestMemoryFile& memory, std::span<const NumberedQueue> queues) {
    constexpr std::uint8_t features_chosen =
        VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK;
    if (has(ProtocolFeature::status)) {
        SIDECORE_TRY(set_status(features_chosen));
    }
    if (has(ProtocolFeature::configure_mem_slots)) {
        for (const GuestMemoryFile::Region& region : memory.regions()) {
            SIDECORE_TRY(add_mem_reg(region));
        }
    } else {
        SIDECORE_TRY(set_mem_table(memory.regions()));
    }
    for (const NumberedQueue& numbered : queues) {
        SIDECORE_TRY(start_vring(numbered.vring, memory, *numbered.queue));
    }
    if (has(ProtocolFeature::status)) {
        SIDECORE_TRY(set_status(features_chosen | VIRTIO_CONFIG_S_DRIVER_OK));
    }
    return {};
}

Result<void> Client::start_vring(std::uint32_t index, const GuestMemoryFile& memory, DriverQueue& queue) {
    SIDECORE_TRY(set_vring_num(index, queue.size()));
    SIDECORE_TRY(set_vring_base(index, queue.available_index()));
    SIDECORE_TRY(set_vring_addr({.index = index,
                                 .flags = 0,
                                 .descriptor = memory.user(queue.ring().descriptor_area().address).value,
                                 .used = memory.user(queue.ring().used_area().address).value,
                                 .available = memory.user(queue.ring().available_area().address).value,
                                 .log = 0}));
    SIDECORE_TRY(set_vring_call(index, queue.call_fd()));
    SIDECORE_TRY(set_vring_err(index, queue.error_fd()));
    SIDECORE_TRY(set_vring_kick(index, queue.kick_fd()));
    if ((features_ & vhost_user::protocol_features_mask) != 0) {
        SIDECORE_TRY(set_vring_enable(index, true));
    }
    // "front-ends SHOULD inject a kick after SET_VRING_KICK", for back-ends that start a ring by its first kick.
    signal_eventfd(queue.kick_fd());
    return {};
}

Result<std::vector<std::uint16_t>> Client::stop(std::size_t vrings) {
    std::vector<std::uint16_t> bases;
    for (std::uint32_t i = 0; i < vrings; ++i) {
        SIDECORE_TRY_ASSIGN(const std::uint16_t base, get_vring_base(i));
        bases.push_back(base);
    }
    return bases;
}

Result<void> Client::set_features(std::uint64_t features) {
    SIDECORE_TRY(tell(Request::set_features, vhost_user::payload_bytes(features)));
    features_ = features;
    return {};
}

Result<void> Client::set_protocol_features(std::uint64_t features) {
    SIDECORE_TRY(tell(Request::set_protocol_features, vhost_user::payload_bytes(features)));
    protocol_features_ = features;
    return {};
}

Result<void> Client::set_mem_table(std::span<const GuestMemoryFile::Region> regions) {
    std::vector<std::byte> payload;
    std::vector<int> fds;
    const vhost_user::MemoryTableHeader header{.region_count = static_cast<std::uint32_t>(regions.size()),
                                               .padding = 0};
    vhost_user::append_payload(payload, header);
    for (const GuestMemoryFile::Region& region : regions) {
        vhost_user::append_payload(payload, describe(region));
        fds.push_back(region.file);
    }
    return tell(Request::set_mem_table, payload, fds);
}

Result<void> Client::add_mem_reg(const GuestMemoryFile::Region& region) {
    const vhost_user::SingleMemoryRegion payload{.padding = 0, .region = describe(region)};
    const std::array fds{region.file};
    return tell(Request::add_mem_reg, vhost_user::payload_bytes(payload), fds);
}

Result<void> Client::rem_mem_reg(const GuestMemoryFile::Region& region) {
    const vhost_user::SingleMemoryRegion payload{.padding = 0, .region = describe(region)};
    return tell(Request::rem_mem_reg, vhost_user::payload_bytes(payload));
}

Result<void> Client::set_vring_num(std::uint32_t vring, std::uint32_t size) {
    return tell(Request::set_vring_num, vhost_user::payload_bytes(vhost_user::VringState{vring, size}));
}

Result<void> Client::set_vring_base(std::uint32_t vring, std::uint32_t available_index) {
    return tell(Request::set_vring_base, vhost_user::payload_bytes(vhost_user::VringState{vring, available_index}));
}

Result<void> Client::set_vring_addr(const vhost_user::VringAddr& addresses) {
    return tell(Request::set_vring_addr, vhost_user::payload_bytes(addresses));
}

Result<void> Client::set_vring_fd(Request request, std::uint32_t vring, std::optional<int> fd) {
    if (!fd) {
        return tell(request, vhost_user::payload_bytes(vring | vhost_user::vring_fd::no_fd));
    }
    const std::array fds{*fd};
    return tell(request, vhost_user::payload_bytes(std::uint64_t{vring}), fds);
}

Result<void> Client::set_vring_kick(std::uint32_t vring, std::optional<int> fd) {
    return set_vring_fd(Request::set_vring_kick, vring, fd);
}

Result<void> Client::set_vring_call(std::uint32_t vring, std::optional<int> fd) {
    return set_vring_fd(Request::set_vring_call, vring, fd);
}

Result<void> Client::set_vring_err(std::uint32_t vring, std::optional<int> fd) {
    return set_vring_fd(Request::set_vring_err, vring, fd);
}

Result<void> Client::set_vring_enable(std::uint32_t vring, bool enabled) {
    return tell(Request::set_vring_enable, vhost_user::payload_bytes(vhost_user::VringState{vring, enabled ? 1U : 0U}));
}

Result<std::uint16_t> Client::get_vring_base(std::uint32_t vring) {
    SIDECORE_TRY_ASSIGN(const Message reply,
                        ask(Request::get_vring_base, vhost_user::payload_bytes(vhost_user::VringState{vring, 0})));
    if (reply.payload.size() != sizeof(vhost_user::VringState)) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("GET_VRING_BASE was answered with {} bytes", reply.payload.size()));
    }
    const auto state = vhost_user::read_payload<vhost_user::VringState>(reply.payload);
    if (state.index != vring || state.num > 0xffff) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("GET_VRING_BASE of {} was answered with {} of {}", vring, state.num, state.index));
    }
    return static_cast<std::uint16_t>(state.num);
}

Result<std::vector<std::byte>> Client::get_config(std::uint32_t offset, std::uint32_t size) {
    const vhost_user::ConfigHeader header{.offset = offset, .size = size, .flags = 0};
    std::vector<std::byte> payload;
    vhost_user::append_payload(payload, header);
    payload.resize(sizeof header + size);
    SIDECORE_TRY_ASSIGN(const Message reply, ask(Request::get_config, payload));
    // GET_CONFIG: "payload size MUST match the front-end's request"; "zero length of payload to indicate an error".
    if (reply.payload.empty()) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("GET_CONFIG of {} bytes at {} was refused", size, offset));
    }
    if (reply.payload.size() != payload.size()) {
        return failure(
            ErrorKind::protocol_violation,
            fmt::format("GET_CONFIG of {} bytes was answered with {} bytes in all", size, reply.payload.size()));
    }
    return std::vector<std::byte>(reply.payload.begin() + sizeof header, reply.payload.end());
}

Result<void> Client::set_config(std::uint32_t offset, std::span<const std::byte> data, std::uint32_t flags) {
    std::vector<std::byte> payload;
    vhost_user::append_payload(
        payload,
        vhost_user::ConfigHeader{.offset = offset, .size = static_cast<std::uint32_t>(data.size()), .flags = flags});
    payload.insert(payload.end(), data.begin(), data.end());
    return tell(Request::set_config, payload);
}

Result<std::uint8_t> Client::get_status() {
    SIDECORE_TRY_ASSIGN(const std::uint64_t status, get_u64(Request::get_status));
    if (status > 0xff) {
        return failure(ErrorKind::protocol_violation, fmt::format("GET_STATUS was answered with {:#x}", status));
    }
    return static_cast<std::uint8_t>(status);
}

Result<void> Client::set_status(std::uint8_t status) {
    return tell(Request::set_status, vhost_user::payload_bytes(std::uint64_t{status}));
}

Result<void> Client::open_backend_channel() {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
        return failure_from_errno("creating the back-end channel");
    }
    Fd ours(pair[0]);
    const Fd theirs(pair[1]);
    const std::array fds{theirs.get()};
    SIDECORE_TRY(tell(Request::set_backend_req_fd, {}, fds));
    backend_channel_ = std::make_unique<vhost_user::Connection>(std::move(ours));
    return {};
}

Result<Message> Client::wait_for_backend_request(std::chrono::milliseconds timeout) {
    if (!backend_channel_) {
        return failure(ErrorKind::unsupported, "there is no back-end channel");
    }
    SIDECORE_TRY_ASSIGN(Message request, receive_within(*backend_channel_, timeout));
    if (request.header.need_reply()) {
        const std::uint64_t done = 0;
        const vhost_user::MessageHeader header{
            .request = request.header.request,
            .flags = vhost_user::header_flags::version | vhost_user::header_flags::reply,
            .size = sizeof done};
        SIDECORE_TRY(backend_channel_->send(header, vhost_user::payload_bytes(done)));
    }
    return request;
}

}  // namespace sidecore::frontend
