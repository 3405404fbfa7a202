// SPDX-License-Identifier: Apache-2.0
#include "network/xdp_socket.hh"

#include <cerrno>
#include <chrono>
#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <thread>
#include <utility>

#include "base/format.hh"

namespace sidecore::network {

namespace {

/// The kernel gives a queue free a moment after its last socket was closed.
constexpr int bind_attempts = 100;
constexpr std::chrono::milliseconds bind_pause{10};

constexpr int kernel_enotsupp = 524;  // of the kernel, never meant for us, and in no header

std::uint32_t* index_at(const XdpMapping& mapping, std::uint64_t offset) noexcept {
    return reinterpret_cast<std::uint32_t*>(mapping.data() + offset);
}

tl::unexpected<Error> system_failure(std::string message, int os_error) {
    return tl::unexpected<Error>(Error{ErrorKind::system, std::move(message), os_error});
}

}  // namespace

XdpMapping& XdpMapping::operator=(XdpMapping&& other) noexcept {
    if (this != &other) {
        std::swap(address_, other.address_);
        std::swap(bytes_, other.bytes_);
    }
    return *this;
}

XdpMapping::~XdpMapping() {
    if (address_ != nullptr) {
        ::munmap(address_, bytes_);
    }
}

Result<std::unique_ptr<XdpSocket>> XdpSocket::open(const HostInterface& interface, const Options& options) {
    if (interface.queues() != 0 && options.queue >= interface.queues()) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("{} has no queue {}: it has {}, the first is 0 (ethtool -L changes that)",
                                   interface.name(), options.queue, interface.queues()));
    }
    std::unique_ptr<XdpSocket> socket(new XdpSocket);
    socket->fd_ = Fd(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!socket->fd_) {
        const int os_error = errno;
        if (os_error == EAFNOSUPPORT) {
            return failure(ErrorKind::unsupported, "this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)");
        }
        if (os_error == EPERM) {
            return system_failure("no permission for an AF_XDP socket: that takes CAP_NET_RAW", os_error);
        }
        return failure_from_errno("opening an AF_XDP socket", os_error);
    }
    SIDECORE_TRY(socket->map_frames(interface, options));
    SIDECORE_TRY(socket->make_rings(interface, options));
    SIDECORE_TRY_ASSIGN(Fd room, make_eventfd());

    // Enough for all frames on their way at once, where the kernel copies them: else it would stop earlier.
    const auto on_their_way = static_cast<int>(options.frames * 2 * options.frame_bytes);
    ::setsockopt(socket->fd(), SOL_SOCKET, SO_SNDBUFFORCE, &on_their_way, sizeof on_their_way);

    const std::size_t half = socket->frames_.size() / 2;
    XdpReceiveRing::Parts receiving;
    receiving.fd = socket->fd();
    receiving.frames = {socket->frames_.data(), half};
    receiving.frame_bytes = options.frame_bytes;
    receiving.receive = socket->rings_[receive];
    receiving.fill = socket->rings_[fill];
    socket->receive_ring_.emplace(receiving);  // before there is a driver that looks for frames

    SIDECORE_TRY(socket->bind(interface, options));

    XdpTransmitter::Parts sending;
    sending.fd = socket->fd();
    sending.frames = {socket->frames_.data() + half, half};
    sending.first_address = half;
    sending.frame_bytes = options.frame_bytes;
    sending.transmit = socket->rings_[transmit];
    sending.completion = socket->rings_[completion];
    sending.zero_copy = socket->zero_copy_;
    sending.retry_fd = options.retry_fd;
    socket->transmitter_.emplace(sending, std::move(room));
    return socket;
}

Result<void> XdpSocket::map_frames(const HostInterface& interface, const Options& options) {
    const std::size_t bytes = std::size_t{2} * options.frames * options.frame_bytes;
    void* const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) {
        return failure_from_errno(fmt::format("allocating {} bytes for frames of {}", bytes, interface.name()));
    }
    frames_ = XdpMapping(memory, bytes);
    xdp_umem_reg registration{};
    registration.addr = reinterpret_cast<std::uintptr_t>(memory);
    registration.len = bytes;
    registration.chunk_size = options.frame_bytes;
    if (::setsockopt(fd(), SOL_XDP, XDP_UMEM_REG, &registration, sizeof registration) == 0) {
        return {};
    }
    const int os_error = errno;
    if (os_error == ENOBUFS) {
        return system_failure(fmt::format("the {} KiB for frames of {} are more than this process may lock: raise "
                                          "RLIMIT_MEMLOCK (LimitMEMLOCK= of a systemd unit) or give it CAP_IPC_LOCK",
                                          bytes >> 10U, interface.name()),
                              os_error);
    }
    return failure_from_errno(fmt::format("registering {} KiB for frames of {}", bytes >> 10U, interface.name()),
                              os_error);
}

Result<void> XdpSocket::make_rings(const HostInterface& interface, const Options& options) {
    struct Kind {
        int option;
        std::uint64_t page_offset;
        std::uint32_t entries;
        std::size_t entry_bytes;
        const xdp_ring_offset xdp_mmap_offsets::*offsets;
    };
    const std::array<Kind, ring_count> kinds{{
        {XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_FILL_RING, options.frames, sizeof(std::uint64_t), &xdp_mmap_offsets::fr},
        {XDP_UMEM_COMPLETION_RING, XDP_UMEM_PGOFF_COMPLETION_RING, options.frames, sizeof(std::uint64_t),
         &xdp_mmap_offsets::cr},
        {XDP_RX_RING, XDP_PGOFF_RX_RING, options.frames, sizeof(xdp_desc), &xdp_mmap_offsets::rx},
        // Twice as many as there are frames: the kernel may say late what it has taken, after the frame has come back.
        {XDP_TX_RING, XDP_PGOFF_TX_RING, 2 * options.frames, sizeof(xdp_desc), &xdp_mmap_offsets::tx},
    }};
    const auto fail = [&] { return failure_from_errno(fmt::format("making rings of {}", interface.name())); };
    for (const Kind& kind : kinds) {
        if (::setsockopt(fd(), SOL_XDP, kind.option, &kind.entries, sizeof kind.entries) != 0) {
            return fail();
        }
    }
    xdp_mmap_offsets offsets{};
    socklen_t bytes = sizeof offsets;
    if (::getsockopt(fd(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &bytes) != 0) {
        return fail();
    }
    if (bytes != sizeof offsets) {
        return failure(ErrorKind::unsupported, "AF_XDP of this kernel is too old: Linux 5.11 or later is needed");
    }
    for (std::size_t i = 0; i < kinds.size(); ++i) {
        const Kind& kind = kinds.at(i);
        const xdp_ring_offset& at = offsets.*kind.offsets;
        const std::size_t size = at.desc + kind.entries * kind.entry_bytes;
        void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd(),
                                    static_cast<off_t>(kind.page_offset));
        if (memory == MAP_FAILED) {
            return fail();
        }
        XdpMapping& mapping = mappings_.at(i);
        mapping = XdpMapping(memory, size);
        rings_.at(i) = {index_at(mapping, at.producer), index_at(mapping, at.consumer), index_at(mapping, at.flags),
                        mapping.data() + at.desc, kind.entries};
    }
    return {};
}

Result<void> XdpSocket::bind(const HostInterface& interface, const Options& options) {
    sockaddr_xdp address{};
    address.sxdp_family = AF_XDP;
    address.sxdp_ifindex = interface.index();
    address.sxdp_queue_id = options.queue;
    address.sxdp_flags = XDP_USE_NEED_WAKEUP;
    if (options.mode != XdpMode::automatic) {
        address.sxdp_flags |= static_cast<std::uint16_t>(options.mode == XdpMode::copy ? XDP_COPY : XDP_ZEROCOPY);
    }
    int os_error = EBUSY;
    for (int attempt = 0; os_error == EBUSY && attempt < bind_attempts; ++attempt) {
        if (attempt != 0) {
            std::this_thread::sleep_for(bind_pause);
        }
        const bool bound = ::bind(fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
        os_error = bound ? 0 : errno;
    }
    switch (os_error) {
        case 0:
            break;
        case EBUSY:
            return failure(ErrorKind::already_exists, fmt::format("queue {} of {} is in use by another AF_XDP socket",
                                                                  options.queue, interface.name()));
        case EINVAL:
            return failure(ErrorKind::out_of_range,
                           fmt::format("{} has no queue {} (ethtool -L changes how many it has)", interface.name(),
                                       options.queue));
        case EOPNOTSUPP:
        case kernel_enotsupp:
            return failure(ErrorKind::unsupported,
                           fmt::format("the driver of {} has no zero-copy, or not with frames of {} bytes: use mode "
                                       "\"auto\" or \"copy\"",
                                       interface.name(), options.frame_bytes));
        default:
            return failure_from_errno(
                fmt::format("binding an AF_XDP socket to queue {} of {}", options.queue, interface.name()), os_error);
    }
    xdp_options found{};
    socklen_t bytes = sizeof found;
    zero_copy_ =
        ::getsockopt(fd(), SOL_XDP, XDP_OPTIONS, &found, &bytes) == 0 && (found.flags & XDP_OPTIONS_ZEROCOPY) != 0;
    return {};
}

std::uint64_t XdpSocket::dropped() const noexcept {
    xdp_statistics statistics{};
    socklen_t bytes = sizeof statistics;
    if (::getsockopt(fd(), SOL_XDP, XDP_STATISTICS, &statistics, &bytes) != 0) {
        return receive_ring_->runts();
    }
    return statistics.rx_dropped + statistics.rx_ring_full + receive_ring_->runts();
}

}  // namespace sidecore::network
