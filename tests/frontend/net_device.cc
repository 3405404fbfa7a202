// SPDX-License-Identifier: Apache-2.0
#include "frontend/net_device.hh"

#include <algorithm>
#include <cstring>
#include <poll.h>
#include <utility>

namespace sidecore::frontend::test {

NetDevice::NetDevice(const GuestMemoryFile& memory, const std::vector<Pair>& pairs, DriverQueue* control,
                     const Options& options)
    : options_(options), wake_(*make_eventfd()) {
    for (const Pair& pair : pairs) {
        receive_.emplace_back(memory, *pair.receive);
        transmit_.emplace_back(memory, *pair.transmit);
    }
    if (control != nullptr) {
        control_.emplace_back(memory, *control);
    }
    thread_ = std::thread([this] { serve(); });
}

NetDevice::~NetDevice() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    signal_eventfd(wake_.get());
    thread_.join();
}

std::vector<NetDevice::Transmitted> NetDevice::transmitted(std::size_t pair) const {
    const std::lock_guard lock(mutex_);
    const auto found = transmitted_.find(pair);
    return found == transmitted_.end() ? std::vector<Transmitted>{} : found->second;
}

std::vector<NetDevice::Command> NetDevice::commands() const {
    const std::lock_guard lock(mutex_);
    return commands_;
}

void NetDevice::serve() {
    std::vector<pollfd> kicks{{.fd = wake_.get(), .events = POLLIN, .revents = 0}};
    for (const std::vector<Side>* sides : {&transmit_, &control_}) {
        for (const Side& side : *sides) {
            kicks.push_back({.fd = side.queue->kick_fd(), .events = POLLIN, .revents = 0});
        }
    }
    for (;;) {
        {
            const std::lock_guard lock(mutex_);
            if (stop_) {
                return;
            }
            bool any = !options_.silent;
            while (any) {
                any = serve_control();
                for (std::size_t i = 0; i < transmit_.size(); ++i) {
                    any = serve_transmit(i) || any;
                }
            }
        }
        ::poll(kicks.data(), kicks.size(), 10'000);
        for (const pollfd& kick : kicks) {
            drain_eventfd(kick.fd);
        }
    }
}

std::vector<std::byte> NetDevice::readable(const DeviceSide& device, const std::vector<DeviceSide::Buffer>& buffers) {
    std::vector<std::byte> bytes;
    for (const DeviceSide::Buffer& buffer : buffers) {
        if (!buffer.writable()) {
            const std::byte* const from = device.host(buffer);
            bytes.insert(bytes.end(), from, from + buffer.length);
        }
    }
    return bytes;
}

bool NetDevice::serve_transmit(std::size_t pair) {
    Side& side = transmit_[pair];
    side.device.set_available_event(side.next);
    if (side.device.available_index() == side.next) {
        return false;
    }
    const std::uint16_t head = side.device.available_entry(side.next++);
    Transmitted taken;
    taken.buffers = side.device.chain(head);
    taken.bytes = readable(side.device, taken.buffers);
    if (options_.spoil_transmitted) {
        const DeviceSide::Buffer& last = taken.buffers.back();
        side.device.host(last)[last.length - 1] ^= std::byte{1};
    }
    if (options_.loop) {
        deliver_locked(std::span(taken.bytes).subspan(options_.header_bytes), {}, pair);
    }
    transmitted_[pair].push_back(std::move(taken));
    side.device.use(head, options_.transmitted_length);
    signal_eventfd(side.queue->call_fd());
    return true;
}

bool NetDevice::serve_control() {
    if (control_.empty()) {
        return false;
    }
    Side& side = control_.front();
    side.device.set_available_event(side.next);
    if (side.device.available_index() == side.next) {
        return false;
    }
    const std::uint16_t head = side.device.available_entry(side.next++);
    Command command;
    command.buffers = side.device.chain(head);
    command.bytes = readable(side.device, command.buffers);
    *side.device.host(command.buffers.back()) = std::byte{options_.ack};
    commands_.push_back(std::move(command));
    side.device.use(head, options_.ack_length);
    signal_eventfd(side.queue->call_fd());
    return true;
}

bool NetDevice::deliver(std::span<const std::byte> frame, const Delivery& how, std::size_t pair) {
    const std::lock_guard lock(mutex_);
    return deliver_locked(frame, how, pair);
}

bool NetDevice::deliver_locked(std::span<const std::byte> frame, const Delivery& how, std::size_t pair) {
    Side& side = receive_[pair];
    std::vector<std::byte> bytes(how.header.begin(),
                                 how.header.begin() + static_cast<std::ptrdiff_t>(options_.header_bytes));
    bytes.insert(bytes.end(), frame.begin(), frame.end());

    struct Written {
        std::uint16_t head;
        std::uint32_t length;
    };
    std::vector<Written> written;
    std::vector<std::byte*> count_at;  // where the two bytes of num_buffers went
    std::size_t done = 0;
    std::uint16_t next = side.next;
    while (done < bytes.size() || written.empty()) {
        if (side.device.available_index() == next) {
            return false;
        }
        const std::uint16_t head = side.device.available_entry(next++);
        const auto buffers = side.device.chain(head);
        std::uint32_t room = 0;
        for (const DeviceSide::Buffer& buffer : buffers) {
            room += buffer.length;
        }
        room -= how.room_left;
        std::uint32_t length = 0;
        for (const DeviceSide::Buffer& buffer : buffers) {
            std::byte* const to = side.device.host(buffer);
            for (std::uint32_t i = 0; i < buffer.length && length < room && done < bytes.size(); ++i, ++length) {
                if (done == 10 || done == 11) {
                    count_at.push_back(to + i);
                }
                to[i] = bytes[done++];
            }
        }
        const DeviceSide::Buffer& last = buffers.back();
        std::fill_n(side.device.host(last) + last.length, how.write_behind, std::byte{0});
        written.push_back({head, length});
    }
    if (options_.header_bytes == 12) {
        const auto count = how.num_buffers.value_or(static_cast<std::uint16_t>(written.size()));
        *count_at.at(0) = static_cast<std::byte>(count & 0xffU);
        *count_at.at(1) = static_cast<std::byte>(count >> 8U);
    }
    written.front().length = how.used_length.value_or(written.front().length);
    std::uint16_t used = side.device.used_index();
    for (const Written& one : written) {
        side.device.set_used_entry(used++, one.head, one.length);
    }
    side.device.set_used_index(used);
    side.next = next;
    signal_eventfd(side.queue->call_fd());
    return true;
}

}  // namespace sidecore::frontend::test
