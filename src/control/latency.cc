// SPDX-License-Identifier: Apache-2.0
#include "control/latency.hh"

#include <algorithm>
#include <cmath>
#include <map>

#include "control/reply_reader.hh"

namespace sidecore::control {

namespace {

std::pair<std::uint64_t, std::uint64_t> read_bucket(const Value& value, Problems& problems) {
    const auto* pair = std::get_if<Value::Array>(&value.data);
    const auto number = [pair](std::size_t index) {
        return pair != nullptr && pair->size() == 2 ? std::get_if<std::uint64_t>(&(*pair)[index].data) : nullptr;
    };
    if (number(0) == nullptr || number(1) == nullptr) {
        problems.push_back({value.where, "a bucket is an array of two integers: upper end and count"});
        return {};
    }
    return {*number(0), *number(1)};
}

}  // namespace

std::uint64_t LatencyInfo::count() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& [upper_ns, number] : buckets) {
        sum += number;
    }
    return sum;
}

std::uint64_t LatencyInfo::quantile_ns(double share) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count())));
    std::uint64_t seen = 0;
    for (const auto& [upper_ns, number] : buckets) {
        seen += number;
        if (seen >= wanted) {
            return upper_ns;
        }
    }
    return 0;
}

void LatencyInfo::add(const LatencyInfo& other) {
    std::map<std::uint64_t, std::uint64_t> sums(buckets.begin(), buckets.end());
    for (const auto& [upper_ns, number] : other.buckets) {
        sums[upper_ns] += number;
    }
    buckets.assign(sums.begin(), sums.end());
}

LatencyInfo LatencyInfo::since(const LatencyInfo& earlier) const {
    const std::map<std::uint64_t, std::uint64_t> before(earlier.buckets.begin(), earlier.buckets.end());
    LatencyInfo result;
    for (const auto& [upper_ns, number] : buckets) {
        const auto found = before.find(upper_ns);
        const std::uint64_t old = found != before.end() ? found->second : 0;
        if (number > old) {
            result.buckets.emplace_back(upper_ns, number - old);
        }
    }
    return result;
}

Json to_json(const LatencyInfo& latency) {
    Json buckets = Json::array();
    for (const auto& [upper_ns, number] : latency.buckets) {
        buckets.push_back({upper_ns, number});
    }
    return {
        {"count", latency.count()},
        {"p50_ns", latency.quantile_ns(0.5)},
        {"p90_ns", latency.quantile_ns(0.9)},
        {"p99_ns", latency.quantile_ns(0.99)},
        {"p99_9_ns", latency.quantile_ns(0.999)},
        {"max_ns", latency.quantile_ns(1)},
        {"buckets", std::move(buckets)},
    };
}

LatencyInfo read_latency(const Value& table, Problems& problems) {
    return {ReplyReader(table, "latency", problems).list("buckets", read_bucket)};
}

}  // namespace sidecore::control
