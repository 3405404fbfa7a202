// SPDX-License-Identifier: Apache-2.0
#include "daemon/device_maker.hh"

#include <utility>

#include "base/format.hh"
#include "network/factory.hh"
#include "storage/factory.hh"

namespace sidecore::daemon {

storage::StorageSpec to_storage(const control::StorageSpec& from, bool read_only) {
    storage::StorageSpec storage;
    storage.read_only = read_only;
    switch (from.kind) {
        case control::StorageKind::null:
            storage.kind = storage::StorageKind::null;
            storage.size_bytes = from.size_bytes;
            break;
        case control::StorageKind::memory:
            storage.kind = storage::StorageKind::memory;
            storage.size_bytes = from.size_bytes;
            break;
        case control::StorageKind::file:
            storage.kind = storage::StorageKind::file;
            storage.path = from.path;
            storage.direct = from.direct;
            storage.threads = from.threads;
            switch (from.engine) {
                case control::FileEngine::automatic:
                    storage.engine = storage::FileEngine::automatic;
                    break;
                case control::FileEngine::io_uring:
                    storage.engine = storage::FileEngine::io_uring;
                    break;
                case control::FileEngine::threads:
                    storage.engine = storage::FileEngine::threads;
                    break;
            }
            break;
    }
    return storage;
}

namespace {

Result<MadeDevice> make_disk(const control::DeviceSpec& spec) {
    SIDECORE_TRY_ASSIGN(auto storage, storage::open_storage(to_storage(spec.storage, spec.read_only)));
    device::BlkDevice::Options options;
    options.name = spec.name;
    options.queues = spec.queues;
    options.read_only = spec.read_only;
    options.serial = serial_of(spec);
    SIDECORE_TRY_ASSIGN(auto disk, device::BlkDevice::create(std::move(storage), std::move(options)));
    MadeDevice made;
    made.disk = disk.get();
    made.device = std::move(disk);
    return made;
}

network::XdpMode to_xdp_mode(control::XdpMode mode) noexcept {
    switch (mode) {
        case control::XdpMode::automatic:
            break;
        case control::XdpMode::copy:
            return network::XdpMode::copy;
        case control::XdpMode::zero_copy:
            return network::XdpMode::zero_copy;
    }
    return network::XdpMode::automatic;
}

Result<std::unique_ptr<network::NetworkBackend>> open_port(const control::DeviceSpec& spec,
                                                           const SwitchFinder& find_switch) {
    const control::NetworkSpec& from = spec.net.network;
    if (!find_switch) {
        return failure(ErrorKind::not_found, fmt::format("there is no switch \"{}\"", from.switch_name));
    }
    SIDECORE_TRY_ASSIGN(network::Switch* const found, find_switch(from.switch_name));
    network::PortOptions port;
    port.name = spec.name;
    port.vlan = from.vlan;
    port.isolated = from.isolated;
    port.pairs = spec.net.pairs;
    return found->add_port(std::move(port));
}

Result<MadeDevice> make_net(const control::DeviceSpec& spec, const SwitchFinder& find_switch) {
    const control::NetworkSpec& from = spec.net.network;
    SIDECORE_TRY_ASSIGN(auto network, from.kind == control::NetworkKind::port
                                          ? open_port(spec, find_switch)
                                          : open_network(from, spec.net.pairs, spec.net.mtu));
    device::NetDevice::Options options;
    options.name = spec.name;
    options.pairs = spec.net.pairs;
    options.mac = control::parse_mac(spec.net.mac);
    options.mtu = spec.net.mtu;
    options.speed_mbit = spec.net.speed_mbit;
    options.offloads = spec.net.offloads;
    options.limits = to_limits(spec.net.limits);
    SIDECORE_TRY_ASSIGN(auto net, device::NetDevice::create(std::move(network), std::move(options)));
    MadeDevice made;
    made.net = net.get();
    made.device = std::move(net);
    return made;
}

Result<MadeDevice> make_scsi(const control::DeviceSpec& spec) {
    device::ScsiDevice::Options options;
    options.name = spec.name;
    options.queues = spec.scsi.request_queues;
    options.seg_max = spec.scsi.seg_max;
    SIDECORE_TRY_ASSIGN(auto scsi, device::ScsiDevice::create(std::move(options)));
    MadeDevice made;
    made.scsi = scsi.get();
    made.device = std::move(scsi);
    return made;
}

}  // namespace

device::NetLimits to_limits(const control::NetLimits& limits) {
    return {.transmit = {.bits_per_s = limits.transmit_rate_bits,
                         .packets_per_s = limits.transmit_packets,
                         .burst_ns = limits.burst_ns},
            .receive = {.bits_per_s = limits.receive_rate_bits,
                        .packets_per_s = limits.receive_packets,
                        .burst_ns = limits.burst_ns}};
}

std::string serial_of(const control::DeviceSpec& spec) {
    return spec.serial.empty() ? spec.name.substr(0, control::DeviceSpec::max_serial_bytes) : spec.serial;
}

Result<MadeDevice> make_device(const control::DeviceSpec& spec, const SwitchFinder& find_switch) {
    return spec.is_disk() ? make_disk(spec) : spec.is_scsi() ? make_scsi(spec) : make_net(spec, find_switch);
}

Result<std::unique_ptr<network::NetworkBackend>> open_network(const control::NetworkSpec& spec, std::uint16_t pairs,
                                                              std::uint16_t mtu) {
    network::NetworkSpec network;
    switch (spec.kind) {
        case control::NetworkKind::null:
            network.kind = network::NetworkKind::null;
            break;
        case control::NetworkKind::loopback:
            network.kind = network::NetworkKind::loopback;
            network.pairs = pairs;
            break;
        case control::NetworkKind::tap:
            network.kind = network::NetworkKind::tap;
            network.name = spec.interface;
            network.pairs = pairs;
            if (mtu != 0) {
                network.mtu = mtu;
            }
            break;
        case control::NetworkKind::stream:
            network.kind = network::NetworkKind::stream;
            network.path = spec.path;
            network.listen = spec.listen;
            break;
        case control::NetworkKind::af_xdp:
            network.kind = network::NetworkKind::af_xdp;
            network.name = spec.interface;
            network.pairs = pairs;
            network.queue = spec.queue;
            network.mode = to_xdp_mode(spec.mode);
            break;
        case control::NetworkKind::port:
            return failure(ErrorKind::invalid_argument, "a port of a switch is no network by itself");
    }
    return network::open_network(network);
}

}  // namespace sidecore::daemon
