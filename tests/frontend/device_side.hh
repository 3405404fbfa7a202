// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "frontend/driver_queue.hh"
#include "frontend/guest_memory_file.hh"

namespace sidecore::frontend::test {

/// The device's side of a split virtqueue, byte by byte from VIRTIO 2.7: offsets and values are written out here and not
/// taken from the code under test. Little-endian hosts only, as all that the tests run on.
class DeviceSide {
public:
    struct Buffer {
        std::uint64_t address;
        std::uint32_t length;
        std::uint16_t flags;
        std::uint16_t next;
        bool writable() const { return (flags & 2U) != 0; }
    };

    DeviceSide(const GuestMemoryFile& memory, const DriverQueue& queue)
        : memory_(memory),
          size_(queue.size()),
          descriptors_(queue.ring().descriptor_area().host),
          available_(queue.ring().available_area().host),
          used_(queue.ring().used_area().host) {}

    // Available ring: flags at 0, idx at 2, entries from 4, used_event behind them.
    std::uint16_t available_flags() const { return load(available_); }
    std::uint16_t available_index() const { return load(available_ + 2); }
    std::uint16_t available_entry(std::uint16_t index) const { return load(available_ + 4 + 2 * (index % size_)); }
    std::uint16_t used_event() const { return load(available_ + 4 + 2 * size_); }

    // Used ring: flags at 0, idx at 2, entries of 8 bytes from 4, avail_event behind them.
    void set_used_flags(std::uint16_t flags) { store(used_, flags); }
    void set_used_index(std::uint16_t index) { store(used_ + 2, index); }
    void set_available_event(std::uint16_t index) { store(used_ + 4 + 8 * size_, index); }
    std::uint16_t used_index() const { return load(used_ + 2); }
    void set_used_entry(std::uint16_t index, std::uint32_t id, std::uint32_t length) {
        std::memcpy(used_ + 4 + 8 * (index % size_), &id, 4);
        std::memcpy(used_ + 4 + 8 * (index % size_) + 4, &length, 4);
    }

    /// Adds one used entry and moves the index.
    void use(std::uint32_t id, std::uint32_t length) {
        const std::uint16_t index = used_index();
        set_used_entry(index, id, length);
        set_used_index(static_cast<std::uint16_t>(index + 1));
    }

    Buffer descriptor(std::uint16_t index) const { return read_descriptor(descriptors_ + 16 * index); }

    /// The buffers of a chain, indirect ones in place.
    std::vector<Buffer> chain(std::uint16_t head) const {
        std::vector<Buffer> buffers;
        walk(descriptors_, head, size_, buffers);
        return buffers;
    }

    std::byte* host(const Buffer& buffer) const { return memory_.host({buffer.address}, buffer.length); }

private:
    static std::uint16_t load(const std::byte* at) {
        return __atomic_load_n(reinterpret_cast<const std::uint16_t*>(at), __ATOMIC_SEQ_CST);
    }
    static void store(std::byte* at, std::uint16_t value) {
        __atomic_store_n(reinterpret_cast<std::uint16_t*>(at), value, __ATOMIC_SEQ_CST);
    }
    static Buffer read_descriptor(const std::byte* at) {
        Buffer buffer{};
        std::memcpy(&buffer.address, at, 8);
        std::memcpy(&buffer.length, at + 8, 4);
        std::memcpy(&buffer.flags, at + 12, 2);
        std::memcpy(&buffer.next, at + 14, 2);
        return buffer;
    }
    void walk(const std::byte* table, std::uint16_t index, std::size_t entries, std::vector<Buffer>& out) const {
        for (std::size_t steps = 0; steps < entries; ++steps) {
            const Buffer buffer = read_descriptor(table + 16 * index);
            if ((buffer.flags & 4U) != 0) {
                walk(host(buffer), 0, buffer.length / 16, out);
            } else {
                out.push_back(buffer);
            }
            if ((buffer.flags & 1U) == 0) {
                return;
            }
            index = buffer.next;
        }
    }

    const GuestMemoryFile& memory_;
    std::uint16_t size_;
    std::byte* descriptors_;
    std::byte* available_;
    std::byte* used_;
};

}  // namespace sidecore::frontend::test
