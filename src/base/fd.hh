// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>

#include "base/error.hh"

namespace sidecore {

/// Owns one file descriptor, or none (-1). Not thread-safe; the descriptor itself may be used from any
/// thread.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) {
            reset();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    int get() const noexcept { return fd_; }
    bool valid() const noexcept { return fd_ >= 0; }
    explicit operator bool() const noexcept { return valid(); }
    int release() noexcept { return std::exchange(fd_, -1); }
    void reset() noexcept;

    /// A second descriptor of the same open file, close-on-exec.
    Result<Fd> duplicate() const;

private:
    int fd_ = -1;
};

/// A new eventfd, non-blocking and close-on-exec, with count 0.
Result<Fd> make_eventfd();

/// Adds 1 to an eventfd (or writes the 8 bytes a notification pipe expects). Any thread; never blocks on a
/// non-blocking descriptor, and a full counter counts as signalled.
void signal_eventfd(int fd) noexcept;

/// Sets a non-blocking eventfd's count to 0; true if it was not 0.
bool drain_eventfd(int fd) noexcept;

/// Whether `fd` is an eventfd and not a pipe or something else that a peer passed in its place.
bool is_eventfd(int fd) noexcept;

/// Makes reads and writes of `fd` return EAGAIN instead of waiting.
Result<void> set_nonblocking(int fd);

}  // namespace sidecore
