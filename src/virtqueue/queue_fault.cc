// SPDX-License-Identifier: Apache-2.0
#include "virtqueue/queue_fault.hh"

#include "base/format.hh"

namespace sidecore::virtqueue {

std::string QueueFault::describe(std::uint32_t queue_size) const {
    const auto chain = [this](const std::string& what) { return fmt::format("descriptor chain {}: {}", head, what); };
    const auto descriptor = [this] {
        return (a & table_entry) == 0 ? fmt::format("descriptor {}", a)
                                      : fmt::format("entry {} of its indirect table", a - table_entry);
    };
    switch (kind) {
        case Kind::none:
            return "no fault";
        case Kind::available_index_jump:
            return fmt::format("the available index went from {} to {}, further than the queue's {} entries", a, b,
                               queue_size);
        case Kind::too_many_in_flight:
            return fmt::format("{} chains became available while {} are in use; the queue has {} entries", b, a,
                               queue_size);
        case Kind::head_out_of_range:
            return fmt::format("available ring entry {} names descriptor {}, the table has {}", b, a, queue_size);
        case Kind::next_out_of_range:
            return chain(fmt::format("{} says that {} comes next, which its table does not have", descriptor(), b));
        case Kind::loop:
            return chain(fmt::format("it loops: still not at its end after {} descriptors", a));
        case Kind::too_many_segments:
            return chain(fmt::format("more than {} pieces of memory", a));
        case Kind::zero_length:
            return chain(descriptor() + " has length 0");
        case Kind::chain_too_long:
            return chain(fmt::format("its buffers add up to more than 2^32 bytes ({})", a));
        case Kind::buffer_unmapped:
            return chain(fmt::format("guest address {:#x}, length {} is not in the guest's memory", a, b));
        case Kind::readable_after_writable:
            return chain(descriptor() + " is device-readable and follows a device-writable one");
        case Kind::indirect_not_negotiated:
            return chain(fmt::format("descriptor {} is indirect, which was not negotiated", a));
        case Kind::indirect_nested:
            return chain(fmt::format("entry {} of its indirect table is indirect itself", a));
        case Kind::indirect_with_next:
            return chain(fmt::format("descriptor {} is indirect and has a next", a));
        case Kind::indirect_bad_length:
            return chain(fmt::format("descriptor {} has an indirect table of {} bytes: not 1 to 65536 times 16", a, b));
        case Kind::indirect_unmapped:
            return chain(
                fmt::format("its indirect table at guest address {:#x}, {} bytes, is not in the guest's memory", a, b));
        case Kind::memory_damaged:
            return "the front-end's memory file is shorter than the memory it described";
        case Kind::ring_unmapped:
            return "the ring is not in the memory that the front-end described last";
        case Kind::bad_request:
            return chain(fmt::format("the device cannot make sense of it (case {})", a));
    }
    return "unknown fault";
}

}  // namespace sidecore::virtqueue
