// SPDX-License-Identifier: Apache-2.0
#include "memory/fault_guard.hh"

#include <array>
#include <csignal>
#include <mutex>
#include <sys/mman.h>

namespace sidecore::memory {

/// Written under the registry's mutex, read by the signal handler at any moment. `start` is set last and
/// cleared first, so a slot with a start is complete.
struct GuardedRange::Slot {
    std::atomic<std::uintptr_t> start{0};
    std::atomic<std::uintptr_t> end{0};
    std::atomic<std::uintptr_t> block_bytes{0};
    std::atomic<bool> damaged{false};
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
    static Registry* const instance = new Registry;
    return *instance;
}

std::atomic<std::uint64_t> damages{0};
static_assert(std::atomic<std::uintptr_t>::is_always_lock_free &&
                  std::atomic<std::uint64_t>::is_always_lock_free,
              "the signal handler must not take a lock");

bool repair(std::uintptr_t address) noexcept {
    for (Chunk* chunk = &registry().first; chunk != nullptr;
         chunk = chunk->next.load(std::memory_order_acquire)) {
        for (GuardedRange::Slot& slot : chunk->slots) {
            const std::uintptr_t start = slot.start.load(std::memory_order_acquire);
            const std::uintptr_t end = slot.end.load(std::memory_order_relaxed);
            if (start == 0 || address < start || address >= end) {
                continue;
            }
            // A truncated file has lost everything from the faulting page on, so the whole rest is replaced
            // at once.
            const std::uintptr_t from = address & ~(slot.block_bytes.load(std::memory_order_relaxed) - 1);
            void* const place = reinterpret_cast<void*>(from);  // NOLINT(performance-no-int-to-ptr)
            if (::mmap(place, end - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                       0) == MAP_FAILED) {
                return false;
            }
            slot.damaged.store(true, std::memory_order_relaxed);
            damages.fetch_add(1, std::memory_order_release);
            return true;
        }
    }
    return false;
}

void on_bus_error(int /*signal*/, siginfo_t* info, void* /*context*/) {
    const int saved_errno = errno;
    if (!repair(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
        // Not ours: the access is repeated without us and ends the process with a core that shows the place.
        struct sigaction by_default {};
        by_default.sa_handler = SIG_DFL;
        ::sigaction(SIGBUS, &by_default, nullptr);
    }
    errno = saved_errno;
}

GuardedRange::Slot* take_slot() {
    Chunk* chunk = &registry().first;
    while (true) {
        for (GuardedRange::Slot& slot : chunk->slots) {
            if (slot.start.load(std::memory_order_relaxed) == 0) {
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

GuardedRange::GuardedRange(HostPointer start, std::size_t size, std::size_t block_bytes) {
    const std::lock_guard lock(registry().mutex);
    slot_ = take_slot();
    slot_->end.store(reinterpret_cast<std::uintptr_t>(start) + size, std::memory_order_relaxed);
    slot_->block_bytes.store(block_bytes, std::memory_order_relaxed);
    slot_->damaged.store(false, std::memory_order_relaxed);
    slot_->start.store(reinterpret_cast<std::uintptr_t>(start), std::memory_order_release);
}

GuardedRange::~GuardedRange() {
    const std::lock_guard lock(registry().mutex);
    slot_->start.store(0, std::memory_order_release);
}

bool GuardedRange::damaged() const noexcept {
    return slot_->damaged.load(std::memory_order_relaxed);
}

}  // namespace sidecore::memory
