// SPDX-License-Identifier: Apache-2.0
#include "control/units.hh"

#include <array>
#include <charconv>
#include <limits>
#include <optional>

#include "base/format.hh"

namespace sidecore::control {

namespace {

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr std::array<Unit, 7> duration_units{{
    {"ns", 1},
    {"us", 1'000},
    {"\u00b5s", 1'000},
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
    {"m", 60'000'000'000},
    {"h", 3'600'000'000'000},
}};

constexpr std::array<Unit, 11> size_units{{
    {"", 1},
    {"K", 1ULL << 10U},
    {"KiB", 1ULL << 10U},
    {"M", 1ULL << 20U},
    {"MiB", 1ULL << 20U},
    {"G", 1ULL << 30U},
    {"GiB", 1ULL << 30U},
    {"T", 1ULL << 40U},
    {"TiB", 1ULL << 40U},
    {"P", 1ULL << 50U},
    {"PiB", 1ULL << 50U},
}};

constexpr std::array<Unit, 5> rate_units{{
    {"", 1},
    {"bit", 1},
    {"kbit", 1'000},
    {"Mbit", 1'000'000},
    {"Gbit", 1'000'000'000},
}};

constexpr bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// A decimal number as whole digits and a fraction, both exact.
struct Decimal {
    std::uint64_t whole = 0;
    std::uint64_t fraction = 0;        // its digits, read as a number
    std::uint64_t fraction_scale = 1;  // 10 to the power of how many they are
};

/// Takes the number off the front of `text`. Nothing: there is none, or it has more digits than anybody
/// needs.
std::optional<Decimal> take_number(std::string_view& text) {
    Decimal number;
    std::size_t at = 0;
    for (; at < text.size() && is_digit(text[at]); ++at) {
        const auto digit = static_cast<std::uint64_t>(text[at] - '0');
        if (number.whole > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) {
            return std::nullopt;
        }
        number.whole = number.whole * 10 + digit;
    }
    if (at == 0) {
        return std::nullopt;
    }
    if (at < text.size() && text[at] == '.') {
        constexpr std::size_t max_fraction_digits = 9;
        const std::size_t first = ++at;
        for (; at < text.size() && is_digit(text[at]); ++at) {
            number.fraction = number.fraction * 10 + static_cast<std::uint64_t>(text[at] - '0');
            number.fraction_scale *= 10;
            if (at - first >= max_fraction_digits) {
                return std::nullopt;
            }
        }
        if (at == first) {
            return std::nullopt;
        }
    }
    text.remove_prefix(at);
    return number;
}

/// number * factor, if it is whole and fits.
std::optional<std::uint64_t> scaled(const Decimal& number, std::uint64_t factor) {
    constexpr auto limit = std::numeric_limits<std::uint64_t>::max();
    if (number.whole > limit / factor) {
        return std::nullopt;
    }
    // At most 10^9 times 2^50, which fits in 128 bits only.
    __extension__ using Wide = unsigned __int128;
    const Wide fraction = static_cast<Wide>(number.fraction) * factor;
    if (fraction % number.fraction_scale != 0) {
        return std::nullopt;
    }
    const auto add = static_cast<std::uint64_t>(fraction / number.fraction_scale);
    const std::uint64_t whole = number.whole * factor;
    if (whole > limit - add) {
        return std::nullopt;
    }
    return whole + add;
}

template <std::size_t Count>
std::optional<std::uint64_t> parse(std::string_view text, const std::array<Unit, Count>& units) {
    const std::optional<Decimal> number = take_number(text);
    if (!number) {
        return std::nullopt;
    }
    for (const Unit& unit : units) {
        if (unit.name == text) {
            return scaled(*number, unit.factor);
        }
    }
    return std::nullopt;
}

/// The largest unit that divides `value`, of several with one factor the last.
template <std::size_t Count>
std::string format(std::uint64_t value, const std::array<Unit, Count>& units) {
    const Unit* best = &units.front();
    for (const Unit& unit : units) {
        if (value % unit.factor == 0) {
            best = &unit;
        }
    }
    return fmt::format("{}{}", value / best->factor, best->name);
}

}  // namespace

Result<std::uint64_t> parse_duration_ns(std::string_view text) {
    if (text == "0") {
        return 0;
    }
    if (const auto duration_ns = parse(text, duration_units)) {
        return *duration_ns;
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("\"{}\" is no duration; write a number and ns, us, ms, s, m or h, like \"3s\" or "
                               "\"500us\"",
                               text));
}

std::string format_duration(std::uint64_t duration_ns) {
    if (duration_ns == 0) {
        return "0";
    }
    static constexpr std::array<Unit, 4> units{
        {duration_units[0], duration_units[1], duration_units[3], duration_units[4]}};
    return format(duration_ns, units);
}

std::string rough_duration(std::uint64_t duration_ns) {
    struct Scale {
        double limit_s;
        double unit_s;
        std::string_view name;
    };
    static constexpr std::array<Scale, 6> scales{{
        {1e-6, 1e-9, "ns"},
        {1e-3, 1e-6, "us"},
        {1, 1e-3, "ms"},
        {120, 1, "s"},
        {7200, 60, "min"},
        {172800, 3600, "h"},
    }};
    const double duration_s = static_cast<double>(duration_ns) / 1e9;
    for (const Scale& scale : scales) {
        if (duration_s < scale.limit_s) {
            return fmt::format("{:.3g} {}", duration_s / scale.unit_s, scale.name);
        }
    }
    constexpr double day_s = 86400;
    return fmt::format("{:.0f} d", duration_s / day_s);
}

Result<std::uint64_t> parse_size_bytes(std::string_view text) {
    if (const auto size_bytes = parse(text, size_units)) {
        return *size_bytes;
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("\"{}\" is no size; write bytes, or a number and KiB, MiB, GiB, TiB or PiB, like "
                               "\"64MiB\" or \"10G\"",
                               text));
}

std::string format_size(std::uint64_t size_bytes) {
    if (size_bytes == 0) {
        return "0";
    }
    return format(size_bytes, size_units);
}

Result<std::uint64_t> parse_rate_bits(std::string_view text) {
    constexpr std::string_view per_second = "/s";
    std::string plain(text);
    if (text.ends_with("bit/s")) {
        plain.resize(plain.size() - per_second.size());
    }
    if (const std::size_t space = plain.find(' '); space != std::string::npos && space + 1 != plain.size()) {
        plain.erase(space, 1);
    }
    if (const auto bits_per_s = parse(plain, rate_units)) {
        return *bits_per_s;
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("\"{}\" is no rate; write bits per second, or a number and kbit, Mbit or Gbit, like "
                               "\"100Mbit\" or \"2.5 Gbit\"",
                               text));
}

std::string format_rate(std::uint64_t bits_per_s) {
    return bits_per_s == 0 ? "0" : format(bits_per_s, rate_units);
}

Result<std::uint32_t> parse_permissions(std::string_view text) {
    constexpr int octal = 8;
    constexpr std::uint32_t highest = 0777;
    std::uint32_t permissions = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, permissions, octal);
    if (error != std::errc{} || rest != end || permissions > highest) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("\"{}\" are no permissions; write \"0\" to \"0777\", in octal", text));
    }
    return permissions;
}

std::string format_permissions(std::uint32_t permissions) {
    return fmt::format("{:04o}", permissions);
}

}  // namespace sidecore::control
