// SPDX-License-Identifier: Apache-2.0
#include "interop/replayed_front_end.hh"

#include <algorithm>
#include <array>
#include <charconv>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "base/format.hh"

namespace sidecore::interop {

using vhost_user::read_payload;
using vhost_user::Request;

namespace {

constexpr int patience_ms = 20'000;

Result<Fd> make_file(std::string_view size_text) {
    std::int64_t size = 0;
    std::from_chars(size_text.data(), size_text.data() + size_text.size(), size);
    Fd file(::memfd_create("replayed-guest", MFD_CLOEXEC));
    if (!file || ::ftruncate(file.get(), size) != 0) {
        return failure_from_errno(fmt::format("a file of {} bytes", size));
    }
    return file;
}

}  // namespace

Result<int> ReplayedFrontEnd::make_descriptor(const std::string& kind) {
    std::array<int, 2> pair{-1, -1};
    if (kind == "eventfd") {
        SIDECORE_TRY_ASSIGN(Fd event, make_eventfd());
        descriptors_.push_back(std::move(event));
    } else if (kind.starts_with("file:")) {
        SIDECORE_TRY_ASSIGN(Fd file, make_file(std::string_view(kind).substr(5)));
        descriptors_.push_back(std::move(file));
    } else if ((kind == "socket" && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0) ||
               (kind == "pipe" && ::pipe2(pair.data(), O_CLOEXEC) == 0)) {
        descriptors_.emplace_back(pair[0]);
        descriptors_.emplace_back(pair[1]);
    } else {
        return failure(ErrorKind::unsupported, fmt::format("no descriptor of kind {} can be made", kind));
    }
    return descriptors_.back().get();
}

void ReplayedFrontEnd::add_region(const std::vector<std::byte>& payload, std::size_t offset, int file) {
    const auto region = read_payload<vhost_user::MemoryRegion>(payload, offset);
    regions_.push_back({region.user_address, region.size, region.mmap_offset, file});
}

Result<void> ReplayedFrontEnd::write_index(std::uint64_t user_address, std::uint16_t index) const {
    for (const Region& region : regions_) {
        const std::uint64_t offset = user_address - region.user_address;
        if (offset < region.size &&
            ::pwrite(region.file, &index, sizeof index, static_cast<off_t>(region.mmap_offset + offset)) ==
                static_cast<ssize_t>(sizeof index)) {
            return {};
        }
    }
    return failure(ErrorKind::out_of_range, fmt::format("the ring at {:#x} is in no recorded region", user_address));
}

Result<void> ReplayedFrontEnd::remember(const RecordedMessage& message, const std::vector<int>& fds) {
    switch (static_cast<Request>(message.request)) {
        case Request::set_mem_table:
            regions_.clear();
            for (std::size_t i = 0; i < fds.size(); ++i) {
                add_region(message.payload,
                           sizeof(vhost_user::MemoryTableHeader) + i * sizeof(vhost_user::MemoryRegion), fds[i]);
            }
            return {};
        case Request::add_mem_reg:
            add_region(message.payload, sizeof(std::uint64_t), fds.at(0));
            return {};
        case Request::rem_mem_reg: {
            const auto gone = read_payload<vhost_user::MemoryRegion>(message.payload, sizeof(std::uint64_t));
            std::erase_if(regions_, [&gone](const Region& region) { return region.user_address == gone.user_address; });
            return {};
        }
        case Request::set_vring_base: {
            const auto state = read_payload<vhost_user::VringState>(message.payload);
            vrings_[state.index].base = static_cast<std::uint16_t>(state.num);
            return {};
        }
        case Request::set_vring_addr: {
            const auto addresses = read_payload<vhost_user::VringAddr>(message.payload);
            vrings_[addresses.index].used = addresses.used;
            vrings_[addresses.index].available = addresses.available;
            return {};
        }
        case Request::set_vring_kick: {
            // The ring starts: what the guest's driver has in it agrees with the index that the front-end told.
            const auto index = read_payload<std::uint64_t>(message.payload) & vhost_user::vring_fd::index_mask;
            const Vring& vring = vrings_[static_cast<std::uint32_t>(index)];
            SIDECORE_TRY(write_index(vring.available + 2, vring.base));
            return write_index(vring.used + 2, vring.base);
        }
        default:
            return {};
    }
}

Result<void> ReplayedFrontEnd::send(const RecordedMessage& message) {
    std::vector<int> fds;
    for (const std::string& kind : message.descriptors) {
        SIDECORE_TRY_ASSIGN(const int fd, make_descriptor(kind));
        fds.push_back(fd);
    }
    SIDECORE_TRY(remember(message, fds));
    std::vector<std::byte> payload = message.payload;
    const auto request = static_cast<Request>(message.request);
    if (request == Request::set_features || request == Request::set_protocol_features) {
        const std::uint64_t offered = request == Request::set_features ? offered_features_ : offered_protocol_features_;
        const std::uint64_t taken = read_payload<std::uint64_t>(payload) & offered;
        payload.clear();
        vhost_user::append_payload(payload, taken);
    }
    return connection_.send({message.request, message.flags, static_cast<std::uint32_t>(payload.size())}, payload, fds);
}

Result<vhost_user::Message> ReplayedFrontEnd::receive() {
    pollfd readable{.fd = connection_.fd(), .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, patience_ms) == 0) {
        return failure(ErrorKind::timed_out, "the back-end does not answer");
    }
    SIDECORE_TRY_ASSIGN(vhost_user::Message message, connection_.receive());
    const bool is_u64 = message.payload.size() == sizeof(std::uint64_t);
    if (is_u64 && message.header.request == static_cast<std::uint32_t>(Request::get_features)) {
        offered_features_ = read_payload<std::uint64_t>(message.payload);
    }
    if (is_u64 && message.header.request == static_cast<std::uint32_t>(Request::get_protocol_features)) {
        offered_protocol_features_ = read_payload<std::uint64_t>(message.payload);
    }
    return message;
}

}  // namespace sidecore::interop
