// SPDX-License-Identifier: Apache-2.0
#include "memory/fault_guard.hh"

#include <array>
#include <csignal>
#include <mutex>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sidecore::memory {

/// Written under the registry's mutex, read by the signal handler at any moment. `version` is odd while the
/// rest changes, so the handler never mixes two ranges; every other member is stored with release and loaded
/// with acquire, which keeps them between the two looks at it.
struct GuardedRange::Slot {
    std::atomic<std::uint64_t> version{0};
    std::atomic<std::uintptr_t> start{0};  // 0: free
    std::atomic<std::uintptr_t> end{0};
    std::atomic<std::uintptr_t> block_bytes{0};
    std::atomic<bool> damaged{false};

    void set(std::uintptr_t new_start, std::uintptr_t new_end, std::uintptr_t new_block_bytes) noexcept {
        const std::uint64_t before = version.load(std::memory_order_relaxed);
        version.store(before + 1, std::memory_order_relaxed);
        start.store(new_start, std::memory_order_release);
        end.store(new_end, std::memory_order_release);
        block_bytes.store(new_block_bytes, std::memory_order_release);
        damaged.store(false, std::memory_order_release);
        version.store(before + 2, std::memory_order_release);
    }
};

namespace {

/// Chunks are never freed, so the handler walks the chain without a lock.
struct Chunk {
    std::array<GuardedRange::Slot, 128> slots;
    std::atomic<Chunk*> next{nullptr};
};

struct Registry {
    std::mutex mutex;
    Chunk first;
};

Registry& registry() noexcept {
    // Not destroyed: a worker may still fault while the process exits.
    static Registry* const instance =
        new Registry;  // NOLINT(bugprone-unhandled-exception-at-new): nothing runs without it
    return *instance;
}

std::atomic<std::uint64_t> damages{0};
static_assert(sizeof(std::uintptr_t) <= sizeof(std::uint64_t) && std::atomic<std::uint64_t>::is_always_lock_free,
              "the signal handler must not take a lock");

bool put_zero_pages(std::uintptr_t from, std::uintptr_t end) noexcept {
    // The system call itself: signal-safety(7) does not have mmap(), and ThreadSanitizer's takes it for a write to these pages.
    // NORESERVE: a region may be larger than what the host would promise.
    return ::syscall(SYS_mmap, from, end - from, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != -1;
}

bool repair(std::uintptr_t address) noexcept {
    for (Chunk* chunk = &registry().first; chunk != nullptr; chunk = chunk->next.load(std::memory_order_acquire)) {
        for (GuardedRange::Slot& slot : chunk->slots) {
            const std::uint64_t version = slot.version.load(std::memory_order_acquire);
            const std::uintptr_t start = slot.start.load(std::memory_order_acquire);
            const std::uintptr_t end = slot.end.load(std::memory_order_acquire);
            const std::uintptr_t block_bytes = slot.block_bytes.load(std::memory_order_acquire);
            // A slot that changes just now is not ours: the range that faults was there before and still is.
            const bool changing = version % 2 != 0 || slot.version.load(std::memory_order_relaxed) != version;
            if (changing || start == 0 || address < start || address >= end) {
                continue;
            }
            // A truncated file has lost everything from the faulting page on, so the whole rest is replaced
            // at once. Where the host promises no more memory than it has (overcommit_memory 2), one block.
            const std::uintptr_t from = address & ~(block_bytes - 1);
            if (!put_zero_pages(from, end) && !put_zero_pages(from, from + block_bytes)) {
                return false;
            }
            slot.damaged.store(true, std::memory_order_relaxed);
            damages.fetch_add(1, std::memory_order_release);
            return true;
        }
    }
    return false;
}

void on_bus_error(int signal, siginfo_t* info, void* /*context*/) {
    const int saved_errno = errno;
    const bool sent = info->si_code <= 0;  // by kill() or the like: there is no address
    if (sent || !repair(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
        // Not ours: the access is repeated without us and ends the process with a core that shows the place.
        struct sigaction by_default {};
        by_default.sa_handler = SIG_DFL;
        ::sigaction(SIGBUS, &by_default, nullptr);
        if (sent) {
            ::raise(signal);  // nothing would be repeated
        }
    }
    errno = saved_errno;
}

/// A slot that holds the range from now on.
GuardedRange::Slot* take_slot(std::uintptr_t first, std::size_t size, std::size_t block_bytes) {
    const std::lock_guard lock(registry().mutex);
    Chunk* chunk = &registry().first;
    while (true) {
        for (GuardedRange::Slot& slot : chunk->slots) {
            if (slot.start.load(std::memory_order_relaxed) == 0) {
                slot.set(first, first + size, block_bytes);
                return &slot;
            }
        }
        Chunk* next = chunk->next.load(std::memory_order_relaxed);
        if (next == nullptr) {
            next = new Chunk;
            chunk->next.store(next, std::memory_order_release);
        }
        chunk = next;
    }
}

}  // namespace

Result<void> install_fault_guard() {
    registry();  // made here, not in the handler
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    ::sigemptyset(&action.sa_mask);
    if (::sigaction(SIGBUS, &action, nullptr) != 0) {
        return failure_from_errno("installing the SIGBUS handler");
    }
    return {};
}

std::uint64_t damage_count() noexcept {
    return damages.load(std::memory_order_acquire);
}

GuardedRange::GuardedRange(HostPointer start, std::size_t size, std::size_t block_bytes)
    : slot_(take_slot(reinterpret_cast<std::uintptr_t>(start), size, block_bytes)) {}

GuardedRange::~GuardedRange() {
    const std::lock_guard lock(registry().mutex);
    slot_->set(0, 0, 0);
}

bool GuardedRange::damaged() const noexcept {
    return slot_->damaged.load(std::memory_order_relaxed);
}

}  // namespace sidecore::memory
