// SPDX-License-Identifier: Apache-2.0
// Decisions.
#include "engine/call_moderation.hh"
#include "engine/policy.hh"
#include "micro/case.hh"

namespace sidecore::bench {

namespace {

/// `adaptive` hears of work that comes at odd times.
class Decisions final : public Case {
public:
    Decisions() { mode_ = policy_->start(now_ns_, engine::Mode::notified).mode; }
    void prepare() override {}
    void run() override {
        for (std::uint64_t i = 0; i < batch; ++i) {
            now_ns_ += 500 + i * 997;
            mode_ = policy_->on_work({.now_ns = now_ns_, .arrived_ns = now_ns_ - 300, .pass_ns = 100}).mode;
        }
    }

private:
    std::unique_ptr<engine::Policy> policy_ = engine::make_policy({.kind = engine::PolicyKind::adaptive}, {});
    std::uint64_t now_ns_ = 1'000'000'000;
    engine::Mode mode_{};
};

class Calls final : public Case {
public:
    void prepare() override {}
    void run() override {
        for (std::uint64_t i = 0; i < batch; ++i) {
            now_ += 1000;
            moderation_.owe(now_);
            const bool more = i % 4 != 0;
            if (moderation_.due(now_, static_cast<std::uint32_t>(i % 8), more)) {
                saved_ += moderation_.told(now_, more);
            }
        }
    }

private:
    engine::CallModeration moderation_{8, 20'000};
    std::uint64_t now_ = 0;
    std::uint64_t saved_ = 0;
};

}  // namespace

std::unique_ptr<Case> make_policy_case() {
    return std::make_unique<Decisions>();
}

std::unique_ptr<Case> make_call_case() {
    return std::make_unique<Calls>();
}

}  // namespace sidecore::bench
