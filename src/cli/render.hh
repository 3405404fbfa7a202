// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cli/usage.hh"
#include "control/explanation.hh"
#include "control/info.hh"
#include "control/settings.hh"

namespace sidecore::cli {

// What the daemon says, for people. All end with a newline.

std::string render_daemon(const control::DaemonInfo& daemon);
std::string render_costs(const control::CostsInfo& costs);
std::string render_devices(const std::vector<control::DeviceInfo>& devices);
std::string render_device(const control::DeviceInfo& device);
std::string render_workers(const std::vector<control::WorkerInfo>& workers);
std::string render_worker(const control::WorkerInfo& worker);

/// The number of its CPU, or "-".
std::string pinned_to(const control::WorkerInfo& worker);
std::string render_settings(const control::Settings& settings);

std::string render_explanation(const control::Explanation& explanation);

/// Every counter of every queue.
std::string render_counters(const control::DeviceInfo& device);

/// What has been counted since the daemon's start.
std::string render_totals(const control::Statistics& statistics, By by);

/// What happened per second between two moments. Queues and workers that were not there at the first are counted from
/// zero.
std::string render_rates(const control::Statistics& before, const control::Statistics& after, By by);

}  // namespace sidecore::cli
