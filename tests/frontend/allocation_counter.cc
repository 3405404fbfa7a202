// SPDX-License-Identifier: Apache-2.0
#include "frontend/allocation_counter.hh"

#include <cstdlib>
#include <new>

namespace {

thread_local std::size_t allocations = 0;

}  // namespace

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

namespace sidecore::frontend::test {

std::size_t allocations_in_this_thread() noexcept {
    return allocations;
}

}  // namespace sidecore::frontend::test
