// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

namespace sidecore::bench {

/// Something that Sidecore does all the time, by itself: `batch` times in each run().
///
/// Thread: one.
class Case {
public:
    static constexpr std::uint16_t batch = 32;

    Case() = default;
    virtual ~Case() = default;
    Case(const Case&) = delete;
    Case& operator=(const Case&) = delete;

    /// What the driver, or whoever else, does beforehand.
    virtual void prepare() = 0;
    /// What is measured.
    virtual void run() = 0;
};

struct CaseDescription {
    std::string_view name;  ///< what is done `batch` times
    std::function<std::unique_ptr<Case>()> make;
};

std::span<const CaseDescription> cases();

// In folders of their own, for the descriptions.
std::unique_ptr<Case> make_pop_case(bool indirect);
std::unique_ptr<Case> make_push_case();
std::unique_ptr<Case> make_translate_case();
std::unique_ptr<Case> make_look_case();
std::unique_ptr<Case> make_blk_case();
std::unique_ptr<Case> make_scsi_case();
std::unique_ptr<Case> make_net_case();
std::unique_ptr<Case> make_policy_case();
std::unique_ptr<Case> make_call_case();

}  // namespace sidecore::bench
