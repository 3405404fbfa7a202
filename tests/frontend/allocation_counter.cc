// SPDX-License-Identifier: Apache-2.0
#include "frontend/allocation_counter.hh"

#include <cstdlib>
#include <new>

#include "base/barrier.hh"

namespace {

thread_local std::size_t allocations = 0;

}  // namespace

#if defined(SIDECORE_THREAD_SANITIZER)

// Its runtime has the operators itself, and a hook for this.
#include <sanitizer/allocator_interface.h>

namespace {

[[maybe_unused]] const int hooks =
    __sanitizer_install_malloc_and_free_hooks([](auto*, std::size_t) { ++allocations; }, [](auto*) {});

}  // namespace

#else

void* operator new(std::size_t size) {
    ++allocations;
    if (void* const memory = std::malloc(size != 0 ? size : 1)) {
        return memory;
    }
    throw std::bad_alloc();
}

void operator delete(void* memory) noexcept {
    std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

#endif

namespace sidecore::frontend::test {

std::size_t allocations_in_this_thread() noexcept {
    return allocations;
}

}  // namespace sidecore::frontend::test
