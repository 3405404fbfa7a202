// SPDX-License-Identifier: Apache-2.0
#include "frontend/disk_device.hh"

#include <algorithm>
#include <cstring>
#include <poll.h>
#include <string_view>

namespace sidecore::frontend::test {

DiskDevice::DiskDevice(const GuestMemoryFile& memory, DriverQueue& queue, Options options)
    : device_(memory, queue), queue_(queue), options_(options), disk_(sectors * 512), next_(device_.available_index()) {
    thread_ = std::thread([this] { serve(); });
}

DiskDevice::~DiskDevice() {
    stop_ = true;
    signal_eventfd(queue_.kick_fd());
    thread_.join();
}

void DiskDevice::serve() {
    while (!stop_) {
        device_.set_available_event(next_);
        if (device_.available_index() == next_ || options_.silent) {
            pollfd kick{.fd = queue_.kick_fd(), .events = POLLIN, .revents = 0};
            ::poll(&kick, 1, 10'000);
            drain_eventfd(queue_.kick_fd());
        }
        for (; !options_.silent && next_ != device_.available_index(); ++next_) {
            serve_one(device_.available_entry(next_));
        }
    }
}

void DiskDevice::serve_one(std::uint16_t head) {
    Request request{};
    request.buffers = device_.chain(head);
    std::vector<std::byte> readable;
    std::size_t writable_size = 0;
    for (const DeviceSide::Buffer& buffer : request.buffers) {
        if (buffer.writable()) {
            writable_size += buffer.length;
        } else {
            const std::byte* const bytes = device_.host(buffer);
            readable.insert(readable.end(), bytes, bytes + buffer.length);
        }
    }
    // le32 type, le32 reserved, le64 sector, data.
    std::memcpy(&request.type, readable.data(), 4);
    std::memcpy(&request.sector, readable.data() + 8, 8);
    request.data.assign(readable.begin() + 16, readable.end());
    std::vector<std::byte> written(writable_size - 1);
    const std::uint8_t status = execute(request, written);
    written.push_back(std::byte{status});

    std::size_t done = 0;
    for (const DeviceSide::Buffer& buffer : request.buffers) {
        if (buffer.writable()) {
            std::byte* const at = device_.host(buffer);
            std::copy_n(written.begin() + static_cast<std::ptrdiff_t>(done), buffer.length, at);
            std::fill_n(at + buffer.length, options_.write_too_much, std::byte{0});
            done += buffer.length;
        }
    }
    requests_.push_back(std::move(request));
    device_.use(head, static_cast<std::uint32_t>(writable_size));
    signal_eventfd(queue_.call_fd());
}

std::uint8_t DiskDevice::execute(const Request& request, std::vector<std::byte>& out) {
    constexpr std::uint8_t ok = 0;
    constexpr std::uint8_t io_error = 1;
    constexpr std::uint8_t unsupported = 2;
    const auto start = static_cast<std::ptrdiff_t>(request.sector * 512);
    switch (request.type) {
        case 0:
            if (request.sector * 512 + out.size() > disk_.size()) {
                return io_error;
            }
            std::copy_n(disk_.begin() + start, out.size(), out.begin());
            return ok;
        case 1:
            if (request.sector * 512 + request.data.size() > disk_.size()) {
                return io_error;
            }
            std::copy(request.data.begin(), request.data.end(), disk_.begin() + start);
            return ok;
        case 4:
            return ok;
        case 8: {
            constexpr std::string_view id = "disk of the test";
            std::memcpy(out.data(), id.data(), id.size());
            return ok;
        }
        case 11:
        case 13:
            for (std::size_t at = 0; at + 16 <= request.data.size(); at += 16) {
                std::uint64_t sector = 0;
                std::uint32_t count = 0;
                std::memcpy(&sector, request.data.data() + at, 8);
                std::memcpy(&count, request.data.data() + at + 8, 4);
                std::fill_n(disk_.begin() + static_cast<std::ptrdiff_t>(sector * 512), count * 512,
                            request.type == 13 ? std::byte{0} : std::byte{0xdd});
            }
            return ok;
        default:
            return unsupported;
    }
}

}  // namespace sidecore::frontend::test
