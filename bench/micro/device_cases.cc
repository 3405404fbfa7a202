// SPDX-License-Identifier: Apache-2.0
// Whole requests, from the ring to the ring, with storage and networks that do nothing; and a look at a queue without any.
#include <array>
#include <vector>

#include "device/blk_device.hh"
#include "device/net_device.hh"
#include "device/scsi_device.hh"
#include "frontend/disk_load.hh"
#include "frontend/net_frame.hh"
#include "frontend/net_load.hh"
#include "micro/case.hh"
#include "micro/ring.hh"
#include "network/null_backend.hh"
#include "scsi/logical_unit.hh"
#include "storage/null_backend.hh"

namespace sidecore::bench {

namespace {

using frontend::DiskLoad;

std::unique_ptr<storage::BlockBackend> no_storage() {
    return must(storage::NullBackend::create({.capacity_bytes = 1ULL << 36U}));
}

void serve_all(device::DeviceQueue& queue) {
    std::uint32_t done = queue.serve(64).completed;
    while (done < Case::batch) {
        done += queue.reap().requests;
    }
}

/// Random reads.
class Reads : public Case {
public:
    void prepare() override {
        std::array<DiskLoad::Finished, batch> finished;
        const std::size_t count = load_.finish(finished);
        for (const DiskLoad::Finished& one : std::span(finished).first(count)) {
            if (one.status != 0 && settled_) {
                throw std::runtime_error("a read failed");
            }
        }
        settled_ = settled_ || count != 0;
        while (load_.idle() != 0) {
            sector_ = (sector_ + 7919 * 8) % (1U << 24U);
            load_.start(DiskLoad::Access::read, sector_);
        }
        load_.queue().publish_quietly();
    }
    void run() override { serve_all(*queue_); }

protected:
    explicit Reads(frontend::DiskProtocol protocol)
        : load_(must(DiskLoad::create(ring_.memory(), ring_.driver(), {.protocol = protocol, .depth = batch}))) {}

    Ring ring_;
    std::unique_ptr<device::Device> device_;
    std::unique_ptr<device::DeviceQueue> queue_;

private:
    DiskLoad load_;
    std::uint64_t sector_ = 0;
    bool settled_ = false;  // a SCSI unit tells first that it is new
};

class BlkReads : public Reads {
public:
    BlkReads() : Reads(frontend::DiskProtocol::blk) {
        device_ = must(device::BlkDevice::create(no_storage(), {}));
        queue_ = ring_.queue_of(*device_, 0);
    }
};

class ScsiReads : public Reads {
public:
    ScsiReads() : Reads(frontend::DiskProtocol::scsi) {
        auto device = must(device::ScsiDevice::create({}));
        must(device->domain().add(0, scsi::Lun(0), must(scsi::LogicalUnit::create(no_storage(), {}))));
        device_ = std::move(device);
        queue_ = ring_.queue_of(*device_, 2);
        queue_->entered();
    }
    ~ScsiReads() override { queue_->left(); }
    ScsiReads(const ScsiReads&) = delete;
    ScsiReads& operator=(const ScsiReads&) = delete;
};

/// What a worker does for each queue that it polls, mostly for nothing.
class Looks final : public BlkReads {
public:
    void prepare() override {}
    void run() override {
        for (std::uint16_t i = 0; i < batch; ++i) {
            if (queue_->has_work()) {
                throw std::runtime_error("there is nothing");
            }
        }
    }
};

class Frames final : public Case {
public:
    Frames()
        : device_(must(device::NetDevice::create(std::make_unique<network::NullBackend>(), {.name = "net"}))),
          queue_(ring_.queue_of(*device_, 1)),
          load_(must(frontend::NetTransmitLoad::create(ring_.memory(), ring_.driver(), device_->features(),
                                                       frontend::make_udp_frame({}, std::vector<std::byte>(22)),
                                                       {.depth = batch}))) {}
    void prepare() override {
        load_.reclaim();
        if (load_.send(batch) != batch) {
            throw std::runtime_error("frames did not come back");
        }
    }
    void run() override { serve_all(*queue_); }

private:
    Ring ring_;
    std::unique_ptr<device::NetDevice> device_;
    std::unique_ptr<device::DeviceQueue> queue_;
    frontend::NetTransmitLoad load_;
};

}  // namespace

std::unique_ptr<Case> make_look_case() {
    return std::make_unique<Looks>();
}

std::unique_ptr<Case> make_blk_case() {
    return std::make_unique<BlkReads>();
}

std::unique_ptr<Case> make_scsi_case() {
    return std::make_unique<ScsiReads>();
}

std::unique_ptr<Case> make_net_case() {
    return std::make_unique<Frames>();
}

}  // namespace sidecore::bench
