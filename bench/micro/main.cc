// SPDX-License-Identifier: Apache-2.0
// The hot parts by themselves: by the clock, with Google Benchmark's options, or counted by callgrind.
//
//     sidecore-micro [--benchmark_…]
//     sidecore-micro --list
//     sidecore-micro --rounds N NAME     for bench/instructions

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>

#include "base/clock.hh"
#include "base/format.hh"
#include "micro/case.hh"

namespace sidecore::bench {

std::span<const CaseDescription> cases() {
    static const std::array all{
        CaseDescription{"pop", [] { return make_pop_case(false); }},
        CaseDescription{"pop-indirect", [] { return make_pop_case(true); }},
        CaseDescription{"push", make_push_case},
        CaseDescription{"translate", make_translate_case},
        CaseDescription{"look", make_look_case},
        CaseDescription{"blk-read", make_blk_case},
        CaseDescription{"scsi-read", make_scsi_case},
        CaseDescription{"net-transmit", make_net_case},
        CaseDescription{"policy-work", make_policy_case},
        CaseDescription{"call-decision", make_call_case},
    };
    return all;
}

}  // namespace sidecore::bench

/// What callgrind counts, found by its name.
extern "C" __attribute__((noinline)) void sidecore_counted_run(sidecore::bench::Case& measured) {
    measured.run();
}

namespace {

using sidecore::bench::Case;
using sidecore::bench::CaseDescription;

void by_the_clock(benchmark::State& state, const CaseDescription& description) {
    const auto measured = description.make();
    for (auto _ : state) {
        measured->prepare();
        const std::uint64_t start = sidecore::cycles();
        measured->run();
        const std::uint64_t end = sidecore::cycles();
        state.SetIterationTime(static_cast<double>(end - start) / sidecore::cycles_per_ns() / 1e9 / Case::batch);
    }
}

int counted(std::string_view name, std::string_view rounds_text) {
    const auto all = sidecore::bench::cases();
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == name; });
    const std::uint64_t rounds = std::strtoull(std::string(rounds_text).c_str(), nullptr, 10);
    if (found == all.end() || rounds == 0) {
        fmt::print(stderr, "sidecore-micro: --rounds N NAME, with a name that --list has\n");
        return 1;
    }
    const auto measured = found->make();
    for (std::uint64_t round = 0; round < rounds; ++round) {
        measured->prepare();
        sidecore_counted_run(*measured);
    }
    fmt::print("{}\n", rounds * Case::batch);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::span<char*> words(argv, static_cast<std::size_t>(argc));
    if (words.size() == 2 && std::string_view(words[1]) == "--list") {
        for (const CaseDescription& description : sidecore::bench::cases()) {
            fmt::print("{}\n", description.name);
        }
        return 0;
    }
    if (words.size() == 4 && std::string_view(words[1]) == "--rounds") {
        return counted(words[3], words[2]);
    }
    for (const CaseDescription& description : sidecore::bench::cases()) {
        benchmark::RegisterBenchmark(std::string(description.name).c_str(), by_the_clock, description)
            ->UseManualTime()
            ->Unit(benchmark::kNanosecond);
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
