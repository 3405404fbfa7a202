// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "storage/queue_user.hh"

namespace sidecore::storage::test {

/// Rounds of random requests to [begin, end), in all layouts and in up to three batches a round, checked against a model
/// of what the disk should hold. Requests of one round do not overlap. The disk starts out full of zeroes there.
/// Without `keeps_data`, what is read is not looked at.
void run_random_mix(QueueUser& user, std::uint64_t begin, std::uint64_t end, std::uint64_t block, int rounds,
                    std::uint64_t seed, bool keeps_data);

}  // namespace sidecore::storage::test
