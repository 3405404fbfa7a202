// SPDX-License-Identifier: Apache-2.0
#include "cli/capture.hh"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <optional>
#include <span>
#include <string_view>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <utility>

#include "base/fd.hh"
#include "base/format.hh"
#include "capture/pcapng.hh"
#include "control/device_spec.hh"

namespace sidecore::cli {

namespace {

namespace pcapng = capture::pcapng;

/// Only their owner may read what others have sent.
constexpr mode_t file_permissions = 0600;

/// Everything that ends a capture from outside, as one descriptor that becomes readable.
class StopEvents {
public:
    static Result<StopEvents> create(double seconds, int output);

    /// The capture has begun: its seconds count from now on.
    void begin() const noexcept;

    int fd() const noexcept { return all_.get(); }

private:
    Fd all_;
    Fd signals_;
    Fd timer_;
    itimerspec seconds_{};
};

Result<void> watch(const Fd& all, int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    if (::epoll_ctl(all.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        return failure_from_errno("epoll_ctl");
    }
    return {};
}

Result<StopEvents> StopEvents::create(double seconds, int output) {
    StopEvents stop;
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGINT);
    ::sigaddset(&signals, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    stop.all_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
    stop.signals_ = Fd(::signalfd(-1, &signals, SFD_CLOEXEC));
    if (!stop.all_ || !stop.signals_) {
        return failure_from_errno("waiting for signals");
    }
    SIDECORE_TRY(cli::watch(stop.all_, stop.signals_.get(), EPOLLIN));
    if (seconds > 0) {
        stop.timer_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
        constexpr double ns_per_s = 1e9;
        const auto whole = static_cast<time_t>(seconds);
        stop.seconds_.it_value = {whole, static_cast<long>((seconds - static_cast<double>(whole)) * ns_per_s)};
        if (!stop.timer_) {
            return failure_from_errno("setting a timer");
        }
        SIDECORE_TRY(cli::watch(stop.all_, stop.timer_.get(), EPOLLIN));
    }
    // That its reader is gone is told without being asked for. A regular file cannot be watched, and has none.
    static_cast<void>(cli::watch(stop.all_, output, 0));
    return stop;
}

void StopEvents::begin() const noexcept {
    if (timer_) {
        ::timerfd_settime(timer_.get(), 0, &seconds_, nullptr);
    }
}

/// Where the blocks go.
class Output {
public:
    static Result<Output> open(const std::string& path) {
        if (path == "-") {
            return Output(Fd(), STDOUT_FILENO);
        }
        Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, file_permissions));
        if (!file) {
            return failure_from_errno(path);
        }
        const int fd = file.get();
        return Output(std::move(file), fd);
    }

    int fd() const noexcept { return fd_; }

    /// There will be something to write: what a file had before goes. One that is none stays as it is.
    void begin() const noexcept { static_cast<void>(::ftruncate(owned_.get(), 0)); }

    Result<void> write(std::span<const std::byte> bytes) const {
        while (!bytes.empty()) {
            const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
            if (written < 0 && errno != EINTR) {
                return failure_from_errno("writing the capture");
            }
            bytes = bytes.subspan(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
        }
        return {};
    }

private:
    Output(Fd owned, int fd) noexcept : owned_(std::move(owned)), fd_(fd) {}

    Fd owned_;
    int fd_;
};

/// What comes in, on its way to the file.
class Recorder {
public:
    Recorder(const Output& output, const StopEvents& stop, const CaptureArguments& arguments)
        : output_(output), stop_(stop), arguments_(arguments) {}

    /// False: it is over, because of the limit or of failed().
    bool take(std::span<const std::byte> piece) {
        if (!begun_) {
            begun_ = true;
            stop_.begin();
            output_.begin();
            fmt::print(stderr, "sidecore: capturing the packets of {}, up to {} bytes of each\n", arguments_.device,
                       arguments_.request.snap_bytes);
        }
        bool wanted = true;
        whole_.clear();
        auto cut = cutter_.feed(piece, [&](const pcapng::Block& block) {
            whole_.insert(whole_.end(), block.bytes.begin(), block.bytes.end());
            if (const auto statistics = pcapng::read_statistics(block)) {
                dropped_ = statistics->dropped;
            }
            packets_ += block.type == pcapng::BlockType::enhanced_packet ? 1 : 0;
            wanted = arguments_.count == 0 || packets_ < arguments_.count;
            return wanted;
        });
        // All blocks of a piece at once, so that few system calls are made and the file ends with a whole one.
        auto written = output_.write(whole_);
        if (!written && written.error().os_error != EPIPE) {
            failed_ = std::move(written).error();
        } else if (!cut) {
            failed_ = std::move(cut).error();
        }
        return wanted && written && cut;
    }

    bool begun() const noexcept { return begun_; }
    std::optional<Error>& failed() noexcept { return failed_; }

    void print_summary() const {
        fmt::print(stderr, "{} packets captured\n{} packets dropped by the capture\n", packets_, dropped_);
    }

private:
    const Output& output_;
    const StopEvents& stop_;
    const CaptureArguments& arguments_;
    pcapng::BlockCutter cutter_;
    pcapng::Bytes whole_;
    std::uint64_t packets_ = 0;
    std::uint64_t dropped_ = 0;
    bool begun_ = false;
    std::optional<Error> failed_;
};

}  // namespace

Result<void> capture_packets(control::HttpClient& client, const CaptureArguments& arguments) {
    if (!control::is_valid_name(arguments.device)) {
        return failure(ErrorKind::not_found, fmt::format("there is no device \"{}\"", arguments.device));
    }
    if (arguments.file == "-" && ::isatty(STDOUT_FILENO) == 1) {
        return failure(ErrorKind::invalid_argument, "standard output is a terminal, which cannot show packets");
    }
    SIDECORE_TRY_ASSIGN(const Output output, Output::open(arguments.file));
    SIDECORE_TRY_ASSIGN(const StopEvents stop, StopEvents::create(arguments.seconds, output.fd()));
    Recorder recorder(output, stop, arguments);
    const auto ended = client.stream(
        fmt::format("/v1/devices/{}/capture{}", arguments.device, control::to_query(arguments.request)),
        [&recorder](std::span<const std::byte> piece) { return recorder.take(piece); }, stop.fd());
    if (recorder.begun()) {
        recorder.print_summary();
    }
    if (recorder.failed()) {
        return tl::unexpected(*recorder.failed());
    }
    if (!ended) {
        return tl::unexpected(ended.error());
    }
    if (*ended == control::HttpClient::StreamEnd::complete) {
        fmt::print(stderr, "sidecore: the capture has ended: the device is removed, or the daemon stops\n");
    }
    return {};
}

}  // namespace sidecore::cli
