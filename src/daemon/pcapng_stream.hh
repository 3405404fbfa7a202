// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.hh"
#include "capture/capture_point.hh"
#include "capture/pcapng.hh"
#include "control/capture.hh"

namespace sidecore::daemon {

/// A capture as a pcapng file. What it drops is said in statistics among the packets: soon after it has, and at the end.
///
/// Thread: as CaptureStream.
class PcapngStream final : public control::CaptureStream {
public:
    /// Starts to capture at once; `device` is the interface's name in the file, and for the log. `ring_bytes` as in Capture::Options.
    /// Errors: as CapturePoint::start().
    static Result<std::unique_ptr<PcapngStream>> start(std::string device, capture::CapturePoint& point,
                                                       const control::CaptureRequest& request,
                                                       std::size_t ring_bytes = capture::Capture::Options{}.ring_bytes);
    ~PcapngStream() override;
    PcapngStream(const PcapngStream&) = delete;
    PcapngStream& operator=(const PcapngStream&) = delete;

    Piece read(std::span<std::byte> out) override;
    bool arm(Amount amount) override;
    int ready_fd() const override { return capture_->ring().fd(); }

private:
    PcapngStream(std::string device, std::unique_ptr<capture::Capture> capture);

    bool unsent() const noexcept { return sent_bytes_ != blocks_.size(); }
    void make_blocks();
    void make_statistics(std::uint64_t dropped);

    const std::string device_;
    const std::unique_ptr<capture::Capture> capture_;
    capture::pcapng::Bytes blocks_;  // of which sent_bytes_ have been read
    std::size_t sent_bytes_ = 0;
    std::uint64_t captured_ = 0;
    std::uint64_t dropped_ = 0;        // as the last statistics say
    std::uint64_t statistics_ns_ = 0;  // when those were made
    bool ended_ = false;               // the last block has been made
};

}  // namespace sidecore::daemon
