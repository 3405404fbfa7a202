// SPDX-License-Identifier: Apache-2.0
// What is done for each chain of any queue.
#include <array>

#include "micro/case.hh"
#include "micro/ring.hh"

namespace sidecore::bench {

namespace {

using frontend::GuestBuffer;
using frontend::Piece;

/// A block request's chain: header, 4 KiB, status.
class Chains {
public:
    explicit Chains(Ring& ring, bool indirect = false) : ring_(ring) {
        for (std::uint16_t& head : heads_) {
            const GuestBuffer line = must(ring.memory().allocate(128, 128));
            const GuestBuffer data = must(ring.memory().allocate(4096, 4096));
            const std::array<Piece, 3> pieces{Piece{line.address, 16, false}, Piece{data.address, 4096, true},
                                              Piece{line.address + 16, 1, true}};
            const GuestBuffer table = indirect ? must(ring.memory().allocate(48, 64)) : GuestBuffer{};
            head = (indirect ? ring.driver().format({}, pieces, table) : ring.driver().format(pieces)).value();
        }
    }
    void publish() {
        for (const std::uint16_t head : heads_) {
            ring_.driver().offer(head);
        }
        ring_.driver().publish_quietly();
    }
    void take_back() {
        std::array<frontend::Used, Case::batch> used;
        if (ring_.driver().reap(used) != used.size()) {
            throw std::runtime_error("not all chains came back");
        }
    }

private:
    Ring& ring_;
    std::array<std::uint16_t, Case::batch> heads_{};
};

class RingCase : public Case {
protected:
    explicit RingCase(bool indirect = false) : chains_(ring_, indirect), device_(ring_.device_ring()) {
        device_.disarm();
    }

    void pop_all() {
        device_.available();
        for (virtqueue::DescriptorChain& chain : popped_) {
            if (device_.pop(segments_, chain) != virtqueue::PopResult::chain) {
                throw std::runtime_error("no chain");
            }
        }
    }
    void push_all() {
        for (const virtqueue::DescriptorChain& chain : popped_) {
            device_.push(chain.head, 4097);
        }
        device_.publish();
    }

    Ring ring_;
    Chains chains_;
    virtqueue::SplitQueue device_;
    std::array<iovec, 8> segments_{};
    std::array<virtqueue::DescriptorChain, batch> popped_{};
};

class Pop final : public RingCase {
public:
    explicit Pop(bool indirect) : RingCase(indirect) {}
    void prepare() override {
        if (used_before_) {
            push_all();
            chains_.take_back();
        }
        used_before_ = true;
        chains_.publish();
    }
    void run() override { pop_all(); }

private:
    bool used_before_ = false;
};

class Push final : public RingCase {
public:
    void prepare() override {
        if (used_before_) {
            chains_.take_back();
        }
        used_before_ = true;
        chains_.publish();
        pop_all();
    }
    void run() override { push_all(); }

private:
    bool used_before_ = false;
};

/// Places all over memory that has one region, as most guests' has for most addresses.
class Translate final : public Case {
public:
    Translate() {
        for (std::uint64_t i = 0; i < batch; ++i) {
            addresses_[i] = must(ring_.memory().allocate(4096, 4096)).address;
        }
    }
    void prepare() override {}
    void run() override {
        for (const memory::GuestAddress address : addresses_) {
            if (ring_.map()->translate(address, 4096) == nullptr) {
                throw std::runtime_error("it is not there");
            }
        }
    }

private:
    Ring ring_;
    std::array<memory::GuestAddress, batch> addresses_{};
};

}  // namespace

std::unique_ptr<Case> make_pop_case(bool indirect) {
    return std::make_unique<Pop>(indirect);
}

std::unique_ptr<Case> make_push_case() {
    return std::make_unique<Push>();
}

std::unique_ptr<Case> make_translate_case() {
    return std::make_unique<Translate>();
}

}  // namespace sidecore::bench
