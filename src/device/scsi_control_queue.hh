// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <sys/uio.h>
#include <utility>
#include <vector>

#include "base/fd.hh"
#include "device/device_queue.hh"
#include "device/scsi_layout.hh"
#include "scsi/domain.hh"

namespace sidecore::device {

/// The control queue of a SCSI device (VIRTIO 1.3, 5.6.6.2): task management, and asynchronous notifications, of which a disk has none.
///
/// Thread: as DeviceQueue. Answers come from the threads on which the tasks end that a function waits for.
class ScsiControlQueue final : public DeviceQueue {
public:
    /// `domain` outlives the queue.
    static Result<std::unique_ptr<ScsiControlQueue>> create(std::string name, virtqueue::SplitQueue ring,
                                                            Notifiers notifiers, scsi::Domain& domain);

    engine::Turn serve(std::uint32_t budget) noexcept override;
    engine::Reaped reap() noexcept override;
    std::uint32_t in_flight() const noexcept override { return in_flight_; }
    int completion_fd() const noexcept override { return answers_->event.get(); }

private:
    struct Answer {
        std::uint16_t head = 0;
        std::byte* place = nullptr;
        scsi_host::Response response = scsi_host::Response::failure;
    };
    /// Left by others for the owner. Outlives the queue if somebody still has to answer.
    struct Answers {
        Fd event;
        std::mutex mutex;  // guards what follows
        std::vector<Answer> arrived;
    };

    ScsiControlQueue(std::string name, virtqueue::SplitQueue ring, Notifiers notifiers, scsi::Domain& domain,
                     std::shared_ptr<Answers> answers);

    bool carry_out_one() noexcept;
    scsi_host::Response notifications_of(const scsi_host::Lun& field) const;
    void manage(const virtqueue::DescriptorChain& chain, const scsi_host::TaskManagementRequest& request);
    void take_answers() noexcept;

    scsi::Domain& domain_;
    const std::shared_ptr<Answers> answers_;
    std::uint32_t in_flight_ = 0;
    std::uint32_t completed_ = 0;  // since it was last told
    std::array<iovec, 64> segments_;
};

}  // namespace sidecore::device
