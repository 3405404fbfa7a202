// SPDX-License-Identifier: Apache-2.0
#include "capture/pcapng.hh"

#include <array>
#include <cstring>

#include "base/format.hh"

namespace sidecore::capture::pcapng {

namespace {

constexpr std::uint32_t byte_order_magic = 0x1a2b3c4d;
constexpr std::uint16_t major_version = 1;
constexpr std::uint16_t minor_version = 0;
constexpr std::uint64_t unknown_section_length = UINT64_MAX;
constexpr std::uint16_t link_type_ethernet = 1;
constexpr std::uint8_t nanoseconds = 9;  // a negative power of ten

// Option codes; each kind of block has its own.
constexpr std::uint16_t end_of_options = 0;
constexpr std::uint16_t section_application = 4;
constexpr std::uint16_t interface_name = 2;
constexpr std::uint16_t interface_time_resolution = 9;
constexpr std::uint16_t packet_flags = 2;
constexpr std::uint16_t packet_queue = 6;
constexpr std::uint16_t statistics_received = 4;
constexpr std::uint16_t statistics_dropped = 5;

constexpr std::size_t option_head_bytes = 4;
constexpr std::size_t length_bytes = 4;
constexpr std::size_t smallest_block_bytes = 12;        // type, length, length again
constexpr std::size_t packet_head_bytes = 28;           // up to the packet's bytes
constexpr std::size_t packet_option_bytes = 2 * 8 + 4;  // flags, queue, end
constexpr std::size_t statistics_head_bytes = 20;       // up to the options

constexpr std::size_t padded(std::size_t bytes) noexcept {
    return (bytes + 3) & ~std::size_t{3};
}

template <typename T>
void append(Bytes& file, T value) {
    const auto* const from = reinterpret_cast<const std::byte*>(&value);
    file.insert(file.end(), from, from + sizeof value);
}

template <typename T>
T load(const std::byte* from) noexcept {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

void append_option(Bytes& file, std::uint16_t code, std::span<const std::byte> value) {
    append(file, code);
    append(file, static_cast<std::uint16_t>(value.size()));
    file.insert(file.end(), value.begin(), value.end());
    file.resize(file.size() + padded(value.size()) - value.size());
}

template <typename T>
void append_number(Bytes& file, std::uint16_t code, T value) {
    append_option(file, code, std::as_bytes(std::span(&value, 1)));
}

void append_text(Bytes& file, std::uint16_t code, std::string_view text) {
    append_option(file, code, std::as_bytes(std::span(text.data(), text.size())));
}

std::size_t begin_block(Bytes& file, BlockType type) {
    const std::size_t start = file.size();
    append(file, type);
    append(file, std::uint32_t{0});  // the length, see end_block()
    return start;
}

/// Ends the options and the block that began at `start`.
void end_block(Bytes& file, std::size_t start) {
    append(file, end_of_options);
    append(file, std::uint16_t{0});
    const auto length = static_cast<std::uint32_t>(file.size() + length_bytes - start);
    append(file, length);
    std::memcpy(file.data() + start + sizeof(BlockType), &length, sizeof length);
}

/// Its halves, the upper one first.
void append_time(Bytes& file, std::uint64_t time_ns) {
    append(file, static_cast<std::uint32_t>(time_ns >> 32U));
    append(file, static_cast<std::uint32_t>(time_ns));
}

}  // namespace

void append_header(Bytes& file, std::string_view application, std::string_view name, std::uint32_t snap_bytes) {
    std::size_t start = begin_block(file, BlockType::section_header);
    append(file, byte_order_magic);
    append(file, major_version);
    append(file, minor_version);
    append(file, unknown_section_length);
    append_text(file, section_application, application);
    end_block(file, start);

    start = begin_block(file, BlockType::interface_description);
    append(file, link_type_ethernet);
    append(file, std::uint16_t{0});
    append(file, snap_bytes);
    append_text(file, interface_name, name);
    append_number(file, interface_time_resolution, nanoseconds);
    end_block(file, start);
}

std::size_t packet_block_bytes(const Record& record) noexcept {
    return packet_head_bytes + padded(record.captured_bytes) + packet_option_bytes + length_bytes;
}

std::span<std::byte> append_packet(Bytes& file, const Record& record) {
    const std::size_t start = begin_block(file, BlockType::enhanced_packet);
    append(file, std::uint32_t{0});  // the only interface
    append_time(file, record.time_ns);
    append(file, record.captured_bytes);
    append(file, record.packet_bytes);
    const std::size_t place = file.size();
    file.resize(place + padded(record.captured_bytes));
    append_number(file, packet_flags, static_cast<std::uint32_t>(record.direction));
    append_number(file, packet_queue, record.queue);
    end_block(file, start);
    return std::span(file).subspan(place, record.captured_bytes);
}

void append_statistics(Bytes& file, std::uint64_t time_ns, const Statistics& statistics) {
    const std::size_t start = begin_block(file, BlockType::interface_statistics);
    append(file, std::uint32_t{0});
    append_time(file, time_ns);
    append_number(file, statistics_received, statistics.received);
    append_number(file, statistics_dropped, statistics.dropped);
    end_block(file, start);
}

std::optional<Statistics> read_statistics(const Block& block) noexcept {
    if (block.type != BlockType::interface_statistics || block.bytes.size() < statistics_head_bytes + length_bytes) {
        return std::nullopt;
    }
    std::optional<std::uint64_t> received;
    std::optional<std::uint64_t> dropped;
    std::span<const std::byte> options =
        block.bytes.subspan(statistics_head_bytes).first(block.bytes.size() - statistics_head_bytes - length_bytes);
    while (options.size() >= option_head_bytes) {
        const auto code = load<std::uint16_t>(options.data());
        const auto bytes = load<std::uint16_t>(options.data() + sizeof code);
        options = options.subspan(option_head_bytes);
        if (padded(bytes) > options.size()) {
            break;
        }
        if (bytes == sizeof(std::uint64_t) && code == statistics_received) {
            received = load<std::uint64_t>(options.data());
        } else if (bytes == sizeof(std::uint64_t) && code == statistics_dropped) {
            dropped = load<std::uint64_t>(options.data());
        }
        options = options.subspan(padded(bytes));
    }
    if (!received || !dropped) {
        return std::nullopt;
    }
    return Statistics{*received, *dropped};
}

Result<void> BlockCutter::feed(std::span<const std::byte> piece, const std::function<bool(const Block&)>& visit) {
    rest_.insert(rest_.end(), piece.begin(), piece.end());
    std::span<const std::byte> left = rest_;
    bool wanted = true;
    while (wanted && left.size() >= smallest_block_bytes) {
        const auto type = static_cast<BlockType>(load<std::uint32_t>(left.data()));
        const auto length = load<std::uint32_t>(left.data() + sizeof type);
        const bool in_our_order = begun_ || (type == BlockType::section_header &&
                                             load<std::uint32_t>(left.data() + 2 * length_bytes) == byte_order_magic);
        if (!in_our_order || length < smallest_block_bytes || length > max_block_bytes || length % 4 != 0) {
            return failure(ErrorKind::protocol_violation, fmt::format("no pcapng: a block of type {:#x} and {} bytes",
                                                                      static_cast<std::uint32_t>(type), length));
        }
        if (left.size() < length) {
            break;
        }
        begun_ = true;
        wanted = visit({type, left.first(length)});
        left = left.subspan(length);
    }
    rest_.erase(rest_.begin(), rest_.end() - static_cast<std::ptrdiff_t>(left.size()));
    return {};
}

}  // namespace sidecore::capture::pcapng
