// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "sim/trace.hh"
#include "sim/world.hh"

namespace sidecore::sim {

/// What somebody who knows the trace would pay for it at least, in the terms of Outcome::cost_ns(). No policy can pay less.
///
/// In a gap the clairvoyant has two choices worth having: to stay awake, which costs the gap, or to sleep at once, which costs the price of
/// a sleep. One queue whose guest waits for each answer (depth 1) is therefore the sum of min(gap, price).
///
/// In an open loop the choices hang together: who sleeps begins late, finds more work at once, and has a shorter gap after it. But
/// what follows depends only on the arrival that ended the gap and on whether the worker was asleep then, so the cheapest way through is found by
/// going through the gaps once (exactly: a shortest path of two states per arrival). For a closed loop of n it is the same, for when the
/// worker has nothing to do, all n requests are the guest's.
///
/// Several queues of one worker are taken for a single one that is looked at for nothing: all their arrivals in one row. Whatever a policy
/// does, let the clairvoyant sleep when it sleeps. It does its work as early, so nothing waits when it goes to sleep; it wakes up at
/// the same times and is awake for as long; it serves the same, so it spins no longer; and it pays for no looks, no more
/// than one kick and one arming per sleep, and no lateness but the wake-ups'. So it pays no more, and the cheapest way through pays no more than
/// that. This needs arrivals that do not depend on the policy: open loops. What a sleep costs is the least: for one that a completion ends,
/// neither kick nor arming.
double least_cost_ns(const World& world, const std::vector<QueueTrace>& queues);

/// The same for what has been recorded of a single queue of depth 1.
double least_cost_ns(const World& world, const std::vector<Arrival>& gaps);

}  // namespace sidecore::sim
