// SPDX-License-Identifier: Apache-2.0
#include "control/requests.hh"

#include "base/format.hh"
#include "control/device_spec.hh"
#include "control/worker_spec.hh"

namespace sidecore::control {

namespace {

constexpr std::uint64_t sector_bytes = 512;
constexpr std::uint64_t max_capacity_bytes = 1ULL << 62U;

/// What `read` makes of the members of the body, a table called `what`.
template <typename Request>
Result<Request> parse(std::string_view body, std::string_view what, Request (*read)(TableReader&)) {
    return parse_json_as(body, [&](const Value& value, Problems& problems) {
        TableReader reader(value, what, problems);
        Request request = read(reader);
        reader.finish();
        return request;
    });
}

ResizeRequest read_resize(TableReader& reader) {
    const ResizeRequest request{reader.size("size", sector_bytes, max_capacity_bytes).value_or(0)};
    if (request.size_bytes % sector_bytes != 0) {
        reader.report("size", fmt::format("size has to be a multiple of {} bytes", sector_bytes));
    }
    return request;
}

MoveRequest read_move(TableReader& reader) {
    reader.require("worker");
    return {read_name(reader, "worker")};
}

PinRequest read_pin(TableReader& reader) {
    reader.require("cpu");
    return {reader.is_null("cpu") ? std::nullopt : read_cpu(reader, "cpu")};
}

}  // namespace

Result<ResizeRequest> parse_resize_request(std::string_view body) {
    return parse(body, "resize", read_resize);
}

Json to_json(const ResizeRequest& request) {
    Json json = Json::object();
    if (request.size_bytes != 0) {
        json["size"] = request.size_bytes;
    }
    return json;
}

Result<MoveRequest> parse_move_request(std::string_view body) {
    return parse(body, "move", read_move);
}

Json to_json(const MoveRequest& request) {
    return {{"worker", request.worker}};
}

Result<PinRequest> parse_pin_request(std::string_view body) {
    return parse(body, "pin", read_pin);
}

Json to_json(const PinRequest& request) {
    return {{"cpu", request.cpu ? Json(*request.cpu) : Json(nullptr)}};
}

}  // namespace sidecore::control
