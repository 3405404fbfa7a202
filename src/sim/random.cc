// SPDX-License-Identifier: Apache-2.0
#include "sim/random.hh"

#include <bit>
#include <cmath>

namespace sidecore::sim {

double natural_log(double x) noexcept {
    constexpr double ln_2 = 0.693147180559945309417;
    int exponent = 0;
    double mantissa = std::frexp(x, &exponent);  // 0.5 to 1
    if (mantissa < 0.70710678118654752440) {
        mantissa *= 2;
        --exponent;
    }
    // ln(m) = 2 artanh(z), |z| < 0.172: the terms left out are below 1e-17.
    const double z = (mantissa - 1) / (mantissa + 1);
    const double square = z * z;
    double sum = 0;
    for (int power = 21; power >= 1; power -= 2) {
        sum = sum * square + 1.0 / power;
    }
    return 2 * z * sum + exponent * ln_2;
}

Random::Random(std::uint64_t seed) noexcept {
    for (std::uint64_t& word : state_) {
        seed += 0x9E3779B97F4A7C15U;
        std::uint64_t mixed = seed;
        mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBU;
        word = mixed ^ (mixed >> 31U);
    }
}

std::uint64_t Random::next() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17U;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
}

double Random::uniform() noexcept {
    return (static_cast<double>(next() >> 12U) + 0.5) * 0x1p-52;
}

double Random::exponential(double mean) noexcept {
    return -mean * natural_log(uniform());
}

double Random::pareto(double least) noexcept {
    const double root = std::sqrt(uniform());
    return least / (root * std::sqrt(root));  // uniform^(-3/4)
}

}  // namespace sidecore::sim
