// SPDX-License-Identifier: Apache-2.0
#include "interop/recording.hh"

#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>

#include "base/format.hh"

namespace sidecore::interop {

namespace {

template <typename T>
bool parse(std::string_view text, T& out, int base) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
    return error == std::errc{} && end == text.data() + text.size();
}

bool parse_payload(std::string_view text, std::vector<std::byte>& out) {
    if (text == "-") {
        return true;
    }
    for (; text.size() >= 2; text.remove_prefix(2)) {
        std::uint8_t byte = 0;
        if (!parse(text.substr(0, 2), byte, 16)) {
            return false;
        }
        out.push_back(std::byte{byte});
    }
    return text.empty();
}

std::vector<std::string> parse_descriptors(const std::string& text) {
    std::vector<std::string> kinds;
    std::istringstream parts(text == "-" ? "" : text);
    for (std::string kind; std::getline(parts, kind, ',');) {
        kinds.push_back(kind);
    }
    return kinds;
}

/// "> 12 SET_VRING_KICK 0x9 eventfd 0000000000000000"
bool parse_message(const std::string& line, RecordedMessage& message) {
    std::istringstream words(line);
    std::string direction, request, name, flags, descriptors, payload, rest;
    words >> direction >> request >> name >> flags >> descriptors >> payload;
    if (payload.empty() || words >> rest || (direction != ">" && direction != "<") || !flags.starts_with("0x")) {
        return false;
    }
    message.from_front_end = direction == ">";
    message.descriptors = parse_descriptors(descriptors);
    return parse(request, message.request, 10) && parse(std::string_view(flags).substr(2), message.flags, 16) &&
           parse_payload(payload, message.payload);
}

}  // namespace

Result<std::vector<RecordedMessage>> read_recording(const std::filesystem::path& path) {
    std::ifstream file(path);
    if (!file) {
        return failure_from_errno(fmt::format("opening {}", path.string()));
    }
    std::vector<RecordedMessage> messages;
    std::size_t number = 0;
    for (std::string line; std::getline(file, line);) {
        ++number;
        if (line.empty() || line.starts_with('#')) {
            continue;
        }
        RecordedMessage message;
        message.line = number;
        if (!parse_message(line, message)) {
            return failure(ErrorKind::invalid_argument,
                           fmt::format("{}:{}: no message: {}", path.string(), number, line));
        }
        messages.push_back(std::move(message));
    }
    return messages;
}

}  // namespace sidecore::interop
