// SPDX-License-Identifier: Apache-2.0
#include "network/tap_device.hh"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "base/format.hh"
#include "network/coverage.hh"
#include "network/tap_queue.hh"

namespace sidecore::network {

namespace {

constexpr const char* control_path = "/dev/net/tun";

// Linux 6.2; the headers of Debian 12 do not have them. The kernel takes both or none.
constexpr unsigned offload_uso = 0x20 | 0x40;

unsigned kernel_flags(const Offloads& offloads) noexcept {
    return (offloads.checksum ? TUN_F_CSUM : 0U) | (offloads.tso4 ? TUN_F_TSO4 : 0U) |
           (offloads.tso6 ? TUN_F_TSO6 : 0U) | (offloads.ecn ? TUN_F_TSO_ECN : 0U) | (offloads.ufo ? TUN_F_UFO : 0U) |
           (offloads.uso ? offload_uso : 0U);
}

ifreq request_for(std::string_view name) noexcept {
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    return request;
}

/// For ioctls on interfaces. Of a family that is always there; which one does not matter.
Result<Fd> open_control_socket() {
    Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) {
        return failure_from_errno("opening a socket to set up an interface with");
    }
    return fd;
}

bool exists(const std::string& name) noexcept {
    return ::if_nametoindex(name.c_str()) != 0;
}

/// Asked of the interface and not of /sys, which may show another network namespace.
bool is_tap(const std::string& name) {
    const Result<Fd> socket = open_control_socket();
    if (!socket) {
        return false;
    }
    ethtool_drvinfo driver{};
    driver.cmd = ETHTOOL_GDRVINFO;
    ifreq request = request_for(name);
    request.ifr_data = reinterpret_cast<char*>(&driver);
    return ::ioctl(socket->get(), SIOCETHTOOL, &request) == 0 && std::string_view(driver.driver) == "tun" &&
           std::string_view(driver.bus_info) == "tap";
}

Result<Fd> open_control() {
    Fd fd(::open(control_path, O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (fd) {
        return fd;
    }
    const int os_error = errno;
    if (os_error == ENOENT || os_error == ENODEV || os_error == ENXIO) {
        return failure(ErrorKind::not_found,
                       fmt::format("there is no {}: this kernel has no tap interfaces, or its module \"tun\" is not "
                                   "loaded, or the container was not given the device",
                                   control_path));
    }
    return failure_from_errno(fmt::format("opening {}", control_path), os_error);
}

/// Why TUNSETIFF has failed.
tl::unexpected<Error> explain(const std::string& name, std::uint16_t pairs, int os_error) {
    switch (os_error) {
        case EPERM:
        case EACCES:
            return tl::unexpected<Error>(
                Error{ErrorKind::system,
                      fmt::format("no permission for the interface \"{}\": that takes CAP_NET_ADMIN, or an interface "
                                  "that was made for this user (ip tuntap add NAME mode tap user USER)",
                                  name),
                      os_error});
        case EBUSY:
            return tl::unexpected<Error>(Error{ErrorKind::already_exists,
                                               fmt::format("the interface {} is in use by another process", name),
                                               os_error});
        case EINVAL:
            break;
        default:
            return failure_from_errno(fmt::format("attaching to the interface \"{}\"", name), os_error);
    }
    if (!name.empty() && !exists(name)) {
        return failure(ErrorKind::invalid_argument, fmt::format("\"{}\" cannot be the name of an interface", name));
    }
    if (!is_tap(name)) {
        return failure(ErrorKind::invalid_argument, fmt::format("{} is there, but is no tap interface", name));
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("the tap interface {} has a single queue, so it cannot serve {} pairs; make it with "
                               "\"multi_queue\"",
                               name, pairs));
}

bool set_interface(int queue, ifreq& request, bool multi_queue) noexcept {
    constexpr int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    request.ifr_flags = static_cast<short>(flags | (multi_queue ? IFF_MULTI_QUEUE : 0));
    return ::ioctl(queue, TUNSETIFF, &request) == 0;
}

}  // namespace

Result<TapDevice> TapDevice::open(const TapOptions& options) {
    TapDevice device;
    if (!options.fds.empty()) {
        if (!options.name.empty() || options.mtu || options.up) {
            return failure(ErrorKind::invalid_argument,
                           "a tap that is given as open descriptors has its name, MTU and state from whoever made it");
        }
        SIDECORE_TRY(device.adopt(options.fds));
        SIDECORE_TRY(device.prepare());
        return device;
    }
    if (options.pairs == 0 || options.pairs > pairs_max) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("a tap interface has 1 to {} pairs, not {}", pairs_max, options.pairs));
    }
    if (options.name.size() >= IFNAMSIZ || options.name.find('\0') != std::string::npos) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("\"{}\" is too long for the name of an interface: {} bytes at most", options.name,
                                   IFNAMSIZ - 1));
    }
    const bool created = options.name.empty() || !exists(options.name);
    SIDECORE_TRY(device.attach(options));
    SIDECORE_TRY(device.prepare());
    SIDECORE_TRY(device.set_up(options, created));
    return device;
}

Result<void> TapDevice::attach(const TapOptions& options) {
    bool multi_queue = options.pairs > 1;
    ifreq request = request_for(options.name);
    for (std::uint16_t pair = 0; pair < options.pairs; ++pair) {
        SIDECORE_TRY_ASSIGN(Fd queue, open_control());
        bool attached = set_interface(queue.get(), request, multi_queue);
        if (!attached && errno == EINVAL && options.pairs == 1) {
            multi_queue = true;  // one that was made for several pairs serves a single one, too
            attached = set_interface(queue.get(), request, multi_queue);
        }
        if (!attached) {
            return explain(options.name, options.pairs, errno);
        }
        name_ = request.ifr_name;  // what the kernel has made of it
        queues_.push_back({std::move(queue), true});
    }
    return {};
}

Result<void> TapDevice::adopt(const std::vector<int>& fds) {
    if (fds.size() > pairs_max) {
        return failure(ErrorKind::out_of_range,
                       fmt::format("a tap interface has 1 to {} pairs, not {}", pairs_max, fds.size()));
    }
    for (const int fd : fds) {
        ifreq request{};
        if (::ioctl(fd, TUNGETIFF, &request) != 0) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("file descriptor {} is no queue of a tap interface", fd));
        }
        constexpr int needed = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
        if ((request.ifr_flags & needed) != needed) {
            return failure(
                ErrorKind::invalid_argument,
                fmt::format("file descriptor {}, {}, was not opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR", fd,
                            request.ifr_name));
        }
        if (!queues_.empty() && name_ != request.ifr_name) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("file descriptor {} belongs to {}, others to {}", fd, request.ifr_name, name_));
        }
        name_ = request.ifr_name;
        const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0) {
            return failure_from_errno(fmt::format("duplicating file descriptor {}", fd));
        }
        queues_.push_back({Fd(copy), (request.ifr_flags & IFF_DETACH_QUEUE) == 0});
        SIDECORE_TRY(set_nonblocking(copy));
    }
    return {};
}

/// What is the same for new queues and for adopted ones, which may have been used before.
Result<void> TapDevice::prepare() {
    SIDECORE_TRY(use_queues(queues()));
    for (const Queue& queue : queues_) {
        const int header_bytes = tap_header_bytes;
        const int yes = 1;
        if (::ioctl(queue.fd.get(), TUNSETVNETHDRSZ, &header_bytes) != 0 ||
            ::ioctl(queue.fd.get(), TUNSETVNETLE, &yes) != 0) {
            return failure_from_errno(fmt::format("setting the packets' headers of {}", name_));
        }
    }
    const int queue = queues_.front().fd.get();
    const Offloads basic{true, true, true, true, false, false};
    if (::ioctl(queue, TUNSETOFFLOAD, kernel_flags(basic)) == 0) {
        offloads_ = basic;
        // Some kernels do not know the one, older ones not the other, and they refuse what they do not know.
        offloads_.ufo = ::ioctl(queue, TUNSETOFFLOAD, kernel_flags(basic) | TUN_F_UFO) == 0;
        offloads_.uso = ::ioctl(queue, TUNSETOFFLOAD, kernel_flags(basic) | offload_uso) == 0;
    }
    SIDECORE_TRY(accept({}));
    return use_queues(1);
}

Result<void> TapDevice::set_up(const TapOptions& options, bool created) {
    const bool up = options.up.value_or(created);
    if (!options.mtu && !up) {
        return {};
    }
    SIDECORE_TRY_ASSIGN(const Fd socket, open_control_socket());
    ifreq request = request_for(name_);
    if (options.mtu) {
        request.ifr_mtu = static_cast<int>(*options.mtu);
        if (*options.mtu > max_packet_bytes || ::ioctl(socket.get(), SIOCSIFMTU, &request) != 0) {
            return failure_from_errno(fmt::format("setting the MTU of {} to {}", name_, *options.mtu),
                                      *options.mtu > max_packet_bytes ? EINVAL : errno);
        }
    }
    if (up) {
        if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) {
            return failure_from_errno(fmt::format("asking for the state of {}", name_));
        }
        if ((request.ifr_flags & IFF_UP) == 0) {
            request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
            if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) {
                return failure_from_errno(fmt::format("bringing {} up", name_));
            }
        }
    }
    return {};
}

Result<void> TapDevice::accept(const Offloads& offloads) {
    if (!within(offloads, offloads_) || !consistent(offloads)) {
        return failure(ErrorKind::unsupported, fmt::format("{} cannot hand out packets in this way", name_));
    }
    if (::ioctl(queues_.front().fd.get(), TUNSETOFFLOAD, kernel_flags(offloads)) != 0) {
        return failure_from_errno(fmt::format("setting the offloads of {}", name_));
    }
    return {};
}

Result<void> TapDevice::use_queues(std::uint16_t count) {
    for (std::uint16_t index = 0; index < queues(); ++index) {
        Queue& queue = queues_[index];
        const bool wanted = index < count;
        if (queue.attached == wanted) {
            continue;
        }
        ifreq request{};
        request.ifr_flags = static_cast<short>(wanted ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE);
        if (::ioctl(queue.fd.get(), TUNSETQUEUE, &request) != 0) {
            return failure_from_errno(
                fmt::format("{} queue {} of {}", wanted ? "attaching" : "detaching", index, name_));
        }
        queue.attached = wanted;
    }
    return {};
}

}  // namespace sidecore::network
