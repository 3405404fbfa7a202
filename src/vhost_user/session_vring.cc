// SPDX-License-Identifier: Apache-2.0
// The part of Session that concerns single vrings.
#include <bit>
#include <utility>

#include <spdlog/spdlog.h>

#include "base/format.hh"
#include "vhost_user/decode.hh"
#include "vhost_user/descriptor_kind.hh"
#include "vhost_user/session.hh"
#include "virtqueue/split_layout.hh"

namespace sidecore::vhost_user {

namespace {

using virtqueue::AvailableRing;
using virtqueue::UsedRing;

/// VIRTIO_F_EVENT_IDX: each ring then ends with one more field.
constexpr std::uint64_t event_index_mask = std::uint64_t{1} << 29U;

constexpr std::size_t descriptor_table_alignment = 16;

VringAddresses addresses_of(const VringAddr& addr) {
    return {memory::UserAddress{addr.descriptor}, memory::UserAddress{addr.available}, memory::UserAddress{addr.used}};
}

bool same(const VringAddresses& a, const VringAddresses& b) {
    return a.descriptor == b.descriptor && a.available == b.available && a.used == b.used;
}

/// VIRTIO 2.7.
Result<void> check_alignment(std::string_view part, memory::UserAddress address, std::size_t alignment) {
    if (address.value % alignment == 0) {
        return {};
    }
    return failure(ErrorKind::protocol_violation,
                   fmt::format("{} address {:#x}, expected a multiple of {}", part, address.value, alignment));
}

Result<Fd> copy_of(const Fd& fd) {
    return fd ? fd.duplicate() : Fd();
}

/// The flags of the descriptor stay as they are: they are shared with the front-end, and libblkio's users
/// read the call eventfd in blocking mode.
Result<void> check_kind(const Fd& fd) {
    if (fd && kind_of(fd.get()) == DescriptorKind::other) {
        return failure(ErrorKind::protocol_violation, "the descriptor is neither an eventfd nor a pipe or socket");
    }
    return {};
}

}  // namespace

Result<void> Session::check_index(std::uint32_t index) const {
    if (index < vrings_.size()) {
        return {};
    }
    return failure(ErrorKind::protocol_violation,
                   fmt::format("vring index {}, expected less than {}", index, vrings_.size()));
}

/// Stops the vring that the message is about to change, if it is started. The specification is silent; QEMU
/// and DPDK never do it, and the kernel's vhost answers EBUSY. But user-mode Linux never stops a vring: when
/// a driver is bound again it sends SET_VRING_BASE, SET_VRING_ADDR and SET_VRING_KICK for a vring that it had
/// merely disabled.
Result<void> Session::prepare_vring(const RequestRule& rule, const Message& message) {
    SIDECORE_TRY_ASSIGN(const VringState state, decode_vring_state(message));
    SIDECORE_TRY(check_index(state.index));
    const auto index = static_cast<std::uint16_t>(state.index);
    const Vring& vring = vrings_[index];
    if (!vring.started) {
        return {};
    }
    if (rule.request == Request::set_vring_num && state.num == vring.size) {
        return {};
    }
    // QEMU repeats the addresses of running vrings to turn logging on and off.
    if (rule.request == Request::set_vring_addr) {
        SIDECORE_TRY_ASSIGN(const VringAddr addr, decode_vring_addr(message));
        if (same(addresses_of(addr), *vring.addresses)) {
            return {};
        }
    }
    return stop_vring(index);
}

Result<Session::Answer> Session::set_vring_num(const Message& message) {
    SIDECORE_TRY_ASSIGN(const VringState state, decode_vring_state(message));
    if (!std::has_single_bit(state.num) || state.num > limits::vring_size) {
        return failure(ErrorKind::protocol_violation, fmt::format("vring {}: size {}, expected a power of two up to {}",
                                                                  state.index, state.num, limits::vring_size));
    }
    vrings_[state.index].size = state.num;
    SIDECORE_TRY(start_if_complete(static_cast<std::uint16_t>(state.index)));
    return Answer::done;
}

Result<Session::Answer> Session::set_vring_addr(const Message& message) {
    SIDECORE_TRY_ASSIGN(const VringAddr addr, decode_vring_addr(message));
    if (addr.flags != 0) {
        return failure(
            ErrorKind::protocol_violation,
            fmt::format("vring {}: flags {:#x}, expected 0: dirty logging was not offered", addr.index, addr.flags));
    }
    const VringAddresses addresses = addresses_of(addr);
    SIDECORE_TRY(check_alignment("descriptor", addresses.descriptor, descriptor_table_alignment));
    SIDECORE_TRY(check_alignment("available", addresses.available, AvailableRing::alignment));
    SIDECORE_TRY(check_alignment("used", addresses.used, UsedRing::alignment));
    vrings_[addr.index].addresses = addresses;
    SIDECORE_TRY(start_if_complete(static_cast<std::uint16_t>(addr.index)));
    return Answer::done;
}

Result<Session::Answer> Session::set_vring_base(const Message& message) {
    SIDECORE_TRY_ASSIGN(const VringState state, decode_vring_state(message));
    // "Bits 16-31: Reserved (set to zero)" for split virtqueues.
    if (state.num > 0xffff) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("vring {}: index {:#x}, expected 16 bits", state.index, state.num));
    }
    vrings_[state.index].base = static_cast<std::uint16_t>(state.num);
    return Answer::done;
}

/// prepare_vring() has stopped it. One that was not started says the index with which it would start.
Result<Session::Answer> Session::get_vring_base(const Message& message) {
    SIDECORE_TRY_ASSIGN(const VringState state, decode_vring_state(message));
    Vring& vring = vrings_[state.index];
    vring.kicked = false;
    vring.kick.reset();
    return reply(message, payload_bytes(VringState{state.index, vring.base}));
}

Result<Session::Answer> Session::set_vring_kick(Message& message) {
    SIDECORE_TRY_ASSIGN(VringDescriptor descriptor, decode_vring_descriptor(message));
    SIDECORE_TRY(check_index(descriptor.index));
    SIDECORE_TRY(check_kind(descriptor.fd));
    const auto index = static_cast<std::uint16_t>(descriptor.index);
    Vring& vring = vrings_[index];
    if (vring.started) {
        SIDECORE_TRY(handler_.replace_kick(index, std::move(descriptor.fd)));
        return Answer::done;
    }
    vring.kick = std::move(descriptor.fd);
    vring.kicked = true;
    SIDECORE_TRY(start_if_complete(index));
    return Answer::done;
}

Result<Session::Answer> Session::set_vring_call(Message& message) {
    SIDECORE_TRY_ASSIGN(VringDescriptor descriptor, decode_vring_descriptor(message));
    SIDECORE_TRY(check_index(descriptor.index));
    SIDECORE_TRY(check_kind(descriptor.fd));
    const auto index = static_cast<std::uint16_t>(descriptor.index);
    Vring& vring = vrings_[index];
    vring.call = std::move(descriptor.fd);
    if (vring.started) {
        SIDECORE_TRY_ASSIGN(Fd call, copy_of(vring.call));
        SIDECORE_TRY(handler_.replace_call(index, std::move(call)));
    }
    return Answer::done;
}

Result<Session::Answer> Session::set_vring_err(Message& message) {
    SIDECORE_TRY_ASSIGN(VringDescriptor descriptor, decode_vring_descriptor(message));
    SIDECORE_TRY(check_index(descriptor.index));
    SIDECORE_TRY(check_kind(descriptor.fd));
    const auto index = static_cast<std::uint16_t>(descriptor.index);
    Vring& vring = vrings_[index];
    vring.error = std::move(descriptor.fd);
    if (vring.started) {
        SIDECORE_TRY_ASSIGN(Fd error, copy_of(vring.error));
        SIDECORE_TRY(handler_.replace_error(index, std::move(error)));
    }
    return Answer::done;
}

Result<Session::Answer> Session::set_vring_enable(const Message& message) {
    SIDECORE_TRY_ASSIGN(const VringState state, decode_vring_state(message));
    SIDECORE_TRY(check_index(state.index));
    if (state.num > 1) {
        return failure(ErrorKind::protocol_violation,
                       fmt::format("vring {}: num {}, expected 0 or 1", state.index, state.num));
    }
    SIDECORE_TRY(enable_vring(static_cast<std::uint16_t>(state.index), state.num == 1));
    return Answer::done;
}

Result<void> Session::enable_vring(std::uint16_t index, bool enabled) {
    if (vrings_[index].enabled == enabled) {
        return {};
    }
    SIDECORE_TRY(handler_.enable_vring(index, enabled));
    vrings_[index].enabled = enabled;
    return {};
}

/// Every part of the ring must be one piece of host memory.
Result<void> Session::check_parts(const Vring& vring) const {
    const bool event_index = (features_.value_or(0) & event_index_mask) != 0;
    const auto check = [this](std::string_view part, memory::UserAddress address, std::size_t size) -> Result<void> {
        if (map_->translate(address, size) != nullptr) {
            return {};
        }
        return failure(ErrorKind::protocol_violation,
                       fmt::format("{} address {:#x}: its {} bytes are not in one piece of the guest's memory", part,
                                   address.value, size));
    };
    SIDECORE_TRY(check("descriptor", vring.addresses->descriptor, sizeof(virtqueue::Descriptor) * vring.size));
    SIDECORE_TRY(check("available", vring.addresses->available, AvailableRing::bytes(vring.size, event_index)));
    return check("used", vring.addresses->used, UsedRing::bytes(vring.size, event_index));
}

/// Kicked and not started, and all is known that a start needs.
bool Session::is_complete(const Vring& vring) const noexcept {
    return vring.kicked && !vring.started && vring.size != 0 && vring.addresses && map_ != nullptr;
}

Result<void> Session::start_if_complete(std::uint16_t index) {
    if (!is_complete(vrings_[index])) {
        return {};
    }
    if (auto checked = check_parts(vrings_[index]); !checked) {
        return tl::unexpected(std::move(checked).error().within(fmt::format("vring {}", index)));
    }
    return start_vring(index);
}

Result<void> Session::start_vring(std::uint16_t index) {
    Vring& vring = vrings_[index];
    SIDECORE_TRY_ASSIGN(Fd call, copy_of(vring.call));
    SIDECORE_TRY_ASSIGN(Fd error, copy_of(vring.error));
    SIDECORE_TRY(handler_.start_vring(index, VringSetup{vring.size, *vring.addresses, vring.base, std::move(vring.kick),
                                                        std::move(call), std::move(error)}));
    vring.started = true;
    count_started(1);
    return {};
}

Result<void> Session::stop_vring(std::uint16_t index) {
    Vring& vring = vrings_[index];
    vring.started = false;
    vring.kicked = false;
    count_started(-1);
    SIDECORE_TRY_ASSIGN(vring.base, handler_.stop_vring(index));
    return {};
}

Result<void> Session::stop_all_vrings() {
    Result<void> result;
    for (std::uint16_t index = 0; index < vring_count(); ++index) {
        if (!vrings_[index].started) {
            continue;
        }
        if (auto stopped = stop_vring(index); !stopped) {
            result = std::move(stopped);
        }
    }
    return result;
}

void Session::count_started(int change) {
    const bool was_suspended = started_vrings_ == 0;
    started_vrings_ += change;
    const bool suspended = started_vrings_ == 0;
    if (!channel_ || suspended == was_suspended) {
        return;
    }
    if (auto told = channel_->set_suspended(suspended); !told) {
        spdlog::warn("{}: CONFIG_CHANGE_MSG: {}", name_, told.error().message);
    }
}

}  // namespace sidecore::vhost_user
