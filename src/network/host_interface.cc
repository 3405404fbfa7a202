// SPDX-License-Identifier: Apache-2.0
#include "network/host_interface.hh"

#include <algorithm>
#include <cerrno>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/format.hh"

namespace sidecore::network {

namespace {

ifreq request_of(const std::string& name) noexcept {
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    return request;
}

std::uint32_t count_queues(int socket, const std::string& name) noexcept {
    ethtool_channels channels{};
    channels.cmd = ETHTOOL_GCHANNELS;
    ifreq request = request_of(name);
    request.ifr_data = reinterpret_cast<char*>(&channels);
    if (::ioctl(socket, SIOCETHTOOL, &request) != 0) {
        return 0;
    }
    return channels.combined_count + std::max(channels.rx_count, channels.tx_count);
}

}  // namespace

Result<HostInterface> HostInterface::open(const std::string& name) {
    if (name.empty() || name.size() >= IFNAMSIZ || name.find('\0') != std::string::npos) {
        return failure(
            ErrorKind::invalid_argument,
            fmt::format("\"{}\" cannot be the name of an interface: that has 1 to {} bytes", name, IFNAMSIZ - 1));
    }
    HostInterface interface;
    interface.name_ = name;
    interface.index_ = ::if_nametoindex(name.c_str());
    if (interface.index_ == 0) {
        return failure(ErrorKind::not_found, fmt::format("there is no interface {} in this network namespace", name));
    }
    // Of protocol 0: it is never given anything to receive.
    interface.socket_ = Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int socket = interface.socket_.get();
    if (!interface.socket_) {
        const int os_error = errno;
        if (os_error == EPERM) {
            return tl::unexpected<Error>(Error{ErrorKind::system,
                                               fmt::format("no permission for raw frames on {}: that takes CAP_NET_RAW "
                                                           "(AmbientCapabilities= of a systemd unit)",
                                                           name),
                                               os_error});
        }
        return failure_from_errno(fmt::format("opening a packet socket for {}", name), os_error);
    }
    ifreq request = request_of(name);
    if (::ioctl(socket, SIOCGIFMTU, &request) != 0) {
        return failure_from_errno(fmt::format("asking for the MTU of {}", name));
    }
    interface.mtu_ = static_cast<std::uint32_t>(request.ifr_mtu);
    request = request_of(name);
    if (::ioctl(socket, SIOCGIFFLAGS, &request) != 0) {
        return failure_from_errno(fmt::format("asking for the state of {}", name));
    }
    interface.up_ = (request.ifr_flags & IFF_UP) != 0;
    interface.queues_ = count_queues(socket, name);

    packet_mreq membership{};
    membership.mr_ifindex = static_cast<int>(interface.index_);
    membership.mr_type = PACKET_MR_PROMISC;
    if (::setsockopt(socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership) != 0) {
        return failure_from_errno(fmt::format("making {} take frames for guests (promiscuous)", name));
    }
    return interface;
}

Result<void> HostInterface::send(std::span<const std::byte> frame) const {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(index_);
    if (::sendto(socket_.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
        return failure_from_errno(fmt::format("sending a frame on {}", name_));
    }
    return {};
}

}  // namespace sidecore::network
