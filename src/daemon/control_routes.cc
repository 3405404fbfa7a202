// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_routes.hh"

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <fmt/ranges.h>

#include "base/format.hh"
#include "control/version.hh"

namespace sidecore::daemon {

namespace {

using control::Service;

/// The parts of a path that stand where its pattern has a '*'.
using Names = std::vector<std::string_view>;

ControlReply ok(const control::Json& json, unsigned status = 200) {
    return {status, control::to_text(json) + "\n", {}};
}

template <typename T>
ControlReply reply(const Result<T>& result, unsigned status = 200) {
    return result ? ok(control::to_json(*result), status) : error_reply(result.error());
}

ControlReply done(const Result<void>& result) {
    return result ? ControlReply{204, {}, {}} : error_reply(result.error());
}

ControlReply show_daemon(Service& service, const Names& /*names*/, std::string_view /*body*/) {
    return ok(control::to_json(service.daemon()));
}

ControlReply list_devices(Service& service, const Names& /*names*/, std::string_view /*body*/) {
    return ok(control::to_json(service.devices()));
}

ControlReply show_device(Service& service, const Names& names, std::string_view /*body*/) {
    return reply(service.device(names[0]));
}

ControlReply add_device(Service& service, const Names& /*names*/, std::string_view body) {
    const auto spec = control::parse_device_spec(body);
    return spec ? reply(service.add_device(*spec), 201) : error_reply(spec.error());
}

ControlReply remove_device(Service& service, const Names& names, std::string_view /*body*/) {
    return done(service.remove_device(names[0]));
}

ControlReply resize_device(Service& service, const Names& names, std::string_view body) {
    const auto request = control::parse_resize_request(body);
    return request ? reply(service.resize_device(names[0], *request)) : error_reply(request.error());
}

ControlReply limit_device(Service& service, const Names& names, std::string_view body) {
    const auto change = control::parse_net_limits_change(body);
    return change ? reply(service.limit_device(names[0], *change)) : error_reply(change.error());
}

/// The queue of a path's second name.
Result<std::uint16_t> queue_of(const Names& names) {
    std::uint16_t queue = 0;
    const char* end = names[1].data() + names[1].size();
    const auto [rest, error] = std::from_chars(names[1].data(), end, queue);
    if (error != std::errc{} || rest != end) {
        return failure(ErrorKind::not_found, fmt::format("\"{}\" is no number of a queue", names[1]));
    }
    return queue;
}

ControlReply change_settings(Service& service, const control::SettingsTarget& target, std::string_view body) {
    const auto change = control::parse_settings_change(body, target.level());
    if (!change) {
        return error_reply(change.error());
    }
    const auto changed = service.change_settings(target, *change);
    return changed ? ok(control::to_json(*changed, target.level())) : error_reply(changed.error());
}

ControlReply change_daemon_settings(Service& service, const Names& /*names*/, std::string_view body) {
    return change_settings(service, {}, body);
}

ControlReply change_device_settings(Service& service, const Names& names, std::string_view body) {
    return change_settings(service, {.device = std::string(names[0])}, body);
}

ControlReply change_queue_settings(Service& service, const Names& names, std::string_view body) {
    const auto queue = queue_of(names);
    return queue ? change_settings(service, {.device = std::string(names[0]), .queue = *queue}, body)
                 : error_reply(queue.error());
}

ControlReply change_worker_settings(Service& service, const Names& names, std::string_view body) {
    return change_settings(service, {.worker = std::string(names[0])}, body);
}

ControlReply explain_device(Service& service, const Names& names, std::string_view /*body*/) {
    return reply(service.explain({std::string(names[0])}));
}

ControlReply explain_queue(Service& service, const Names& names, std::string_view /*body*/) {
    const auto queue = queue_of(names);
    return queue ? reply(service.explain({std::string(names[0]), *queue})) : error_reply(queue.error());
}

ControlReply move(Service& service, const control::QueueTarget& target, std::string_view body) {
    const auto request = control::parse_move_request(body);
    return request ? reply(service.move(target, *request)) : error_reply(request.error());
}

ControlReply move_device(Service& service, const Names& names, std::string_view body) {
    return move(service, {std::string(names[0])}, body);
}

ControlReply move_queue(Service& service, const Names& names, std::string_view body) {
    const auto queue = queue_of(names);
    return queue ? move(service, {std::string(names[0]), *queue}, body) : error_reply(queue.error());
}

ControlReply list_units(Service& service, const Names& names, std::string_view /*body*/) {
    return reply(service.units(names[0]));
}

/// The unit of a path's second name. One that cannot be is not there.
Result<control::UnitAddress> unit_of(const Names& names) {
    auto address = control::parse_unit_address(names[1]);
    if (!address) {
        return failure(ErrorKind::not_found, std::move(address).error().message);
    }
    return *address;
}

ControlReply show_unit(Service& service, const Names& names, std::string_view /*body*/) {
    const auto address = unit_of(names);
    return address ? reply(service.unit(names[0], *address)) : error_reply(address.error());
}

ControlReply add_unit(Service& service, const Names& names, std::string_view body) {
    const auto spec = control::parse_unit_spec(body);
    return spec ? reply(service.add_unit(names[0], *spec), 201) : error_reply(spec.error());
}

ControlReply remove_unit(Service& service, const Names& names, std::string_view /*body*/) {
    const auto address = unit_of(names);
    return address ? done(service.remove_unit(names[0], *address)) : error_reply(address.error());
}

ControlReply resize_unit(Service& service, const Names& names, std::string_view body) {
    const auto address = unit_of(names);
    const auto request = control::parse_resize_request(body);
    return !address  ? error_reply(address.error())
           : request ? reply(service.resize_unit(names[0], *address, *request))
                     : error_reply(request.error());
}

ControlReply list_disks(Service& service, const Names& /*names*/, std::string_view /*body*/) {
    return ok(control::to_json(service.disks()));
}

ControlReply show_disk(Service& service, const Names& names, std::string_view /*body*/) {
    return reply(service.disk(names[0]));
}

ControlReply add_disk(Service& service, const Names& /*names*/, std::string_view body) {
    const auto spec = control::parse_shared_disk_spec(body);
    return spec ? reply(service.add_disk(*spec), 201) : error_reply(spec.error());
}

ControlReply remove_disk(Service& service, const Names& names, std::string_view /*body*/) {
    return done(service.remove_disk(names[0]));
}

ControlReply resize_disk(Service& service, const Names& names, std::string_view body) {
    const auto request = control::parse_resize_request(body);
    return request ? reply(service.resize_disk(names[0], *request)) : error_reply(request.error());
}

ControlReply announce_device(Service& service, const Names& names, std::string_view /*body*/) {
    return done(service.announce_device(names[0]));
}

ControlReply list_switches(Service& service, const Names& /*names*/, std::string_view /*body*/) {
    return ok(control::to_json(service.switches()));
}

ControlReply show_switch(Service& service, const Names& names, std::string_view /*body*/) {
    return reply(service.switch_info(names[0]));
}

ControlReply list_stations(Service& service, const Names& names, std::string_view /*body*/) {
    return reply(service.stations(names[0]));
}

ControlReply add_switch(Service& service, const Names& /*names*/, std::string_view body) {
    const auto spec = control::parse_switch_spec(body);
    return spec ? reply(service.add_switch(*spec), 201) : error_reply(spec.error());
}

ControlReply remove_switch(Service& service, const Names& names, std::string_view /*body*/) {
    return done(service.remove_switch(names[0]));
}

ControlReply move_switch(Service& service, const Names& names, std::string_view body) {
    const auto request = control::parse_move_request(body);
    return request ? reply(service.move_switch(names[0], *request)) : error_reply(request.error());
}

ControlReply add_worker(Service& service, const Names& /*names*/, std::string_view body) {
    const auto spec = control::parse_worker_spec(body);
    return spec ? reply(service.add_worker(*spec), 201) : error_reply(spec.error());
}

ControlReply remove_worker(Service& service, const Names& names, std::string_view /*body*/) {
    return done(service.remove_worker(names[0]));
}

ControlReply pin_worker(Service& service, const Names& names, std::string_view body) {
    const auto request = control::parse_pin_request(body);
    return request ? reply(service.pin_worker(names[0], *request)) : error_reply(request.error());
}

ControlReply list_workers(Service& service, const Names& /*names*/, std::string_view /*body*/) {
    return ok(control::to_json(service.workers()));
}

ControlReply show_statistics(Service& service, const Names& /*names*/, std::string_view /*body*/) {
    return reply(service.statistics(std::nullopt));
}

ControlReply show_device_statistics(Service& service, const Names& names, std::string_view /*body*/) {
    return reply(service.statistics(names[0]));
}

ControlReply capture_packets(Service& service, const Names& names, std::string_view body) {
    const auto request = control::parse_capture_request(body.empty() ? "{}" : body);
    if (!request) {
        return error_reply(request.error());
    }
    auto stream = service.capture(names[0], *request);
    return stream ? ControlReply{200, {}, {}, std::move(*stream)} : error_reply(stream.error());
}

ControlReply show_version(Service& /*service*/, const Names& /*names*/, std::string_view /*body*/) {
    return ok({{"name", "sidecore"}, {"version", control::version()}, {"api", "v1"}});
}

struct Route {
    std::string_view method;
    std::string_view path;  // '*': any one part
    ControlReply (*handle)(Service&, const Names&, std::string_view body);
};

constexpr std::array routes{
    Route{"GET", "/v1/version", show_version},
    Route{"GET", "/v1/daemon", show_daemon},
    Route{"PATCH", "/v1/settings", change_daemon_settings},
    Route{"GET", "/v1/devices", list_devices},
    Route{"POST", "/v1/devices", add_device},
    Route{"GET", "/v1/devices/*", show_device},
    Route{"DELETE", "/v1/devices/*", remove_device},
    Route{"POST", "/v1/devices/*/resize", resize_device},
    Route{"PATCH", "/v1/devices/*/limits", limit_device},
    Route{"POST", "/v1/devices/*/announce", announce_device},
    Route{"GET", "/v1/devices/*/why", explain_device},
    Route{"GET", "/v1/devices/*/queues/*/why", explain_queue},
    Route{"POST", "/v1/devices/*/move", move_device},
    Route{"POST", "/v1/devices/*/queues/*/move", move_queue},
    Route{"PATCH", "/v1/devices/*/settings", change_device_settings},
    Route{"PATCH", "/v1/devices/*/queues/*/settings", change_queue_settings},
    Route{"GET", "/v1/devices/*/stats", show_device_statistics},
    Route{"GET", "/v1/devices/*/capture", capture_packets},
    Route{"GET", "/v1/devices/*/units", list_units},
    Route{"POST", "/v1/devices/*/units", add_unit},
    Route{"GET", "/v1/devices/*/units/*", show_unit},
    Route{"DELETE", "/v1/devices/*/units/*", remove_unit},
    Route{"POST", "/v1/devices/*/units/*/resize", resize_unit},
    Route{"GET", "/v1/disks", list_disks},
    Route{"POST", "/v1/disks", add_disk},
    Route{"GET", "/v1/disks/*", show_disk},
    Route{"DELETE", "/v1/disks/*", remove_disk},
    Route{"POST", "/v1/disks/*/resize", resize_disk},
    Route{"GET", "/v1/switches", list_switches},
    Route{"POST", "/v1/switches", add_switch},
    Route{"GET", "/v1/switches/*", show_switch},
    Route{"DELETE", "/v1/switches/*", remove_switch},
    Route{"GET", "/v1/switches/*/stations", list_stations},
    Route{"POST", "/v1/switches/*/move", move_switch},
    Route{"GET", "/v1/workers", list_workers},
    Route{"POST", "/v1/workers", add_worker},
    Route{"DELETE", "/v1/workers/*", remove_worker},
    Route{"POST", "/v1/workers/*/pin", pin_worker},
    Route{"PATCH", "/v1/workers/*/settings", change_worker_settings},
    Route{"GET", "/v1/stats", show_statistics},
};

std::string_view take_part(std::string_view& path) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(part.size() + 1, path.size()));
    return part;
}

/// Whether `path` fits `pattern`; the parts at its stars go to `names`.
bool matches(std::string_view pattern, std::string_view path, Names& names) {
    names.clear();
    if (!path.starts_with('/') || path.ends_with('/')) {
        return false;
    }
    path.remove_prefix(1);
    pattern.remove_prefix(1);
    while (!pattern.empty() && !path.empty()) {
        const std::string_view wanted = take_part(pattern);
        const std::string_view part = take_part(path);
        if (wanted == "*" && !part.empty()) {
            names.push_back(part);
        } else if (wanted != part) {
            return false;
        }
    }
    return pattern.empty() && path.empty();
}

constexpr unsigned status_of(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::invalid_argument:
        case ErrorKind::out_of_range:
            return 400;
        case ErrorKind::not_found:
            return 404;
        case ErrorKind::already_exists:
            return 409;
        case ErrorKind::unsupported:
            return 422;
        case ErrorKind::timed_out:
            return 504;
        case ErrorKind::protocol_violation:
        case ErrorKind::system:
        case ErrorKind::closed:
            break;
    }
    return 500;
}

}  // namespace

ControlReply error_reply(const Error& error) {
    return {status_of(error.kind), control::to_text(control::to_json(error)) + "\n", {}};
}

ControlReply answer(Service& service, std::string_view method, std::string_view path, std::string_view body) {
    Names names;
    std::vector<std::string_view> allowed;
    for (const Route& route : routes) {
        if (!matches(route.path, path, names)) {
            continue;
        }
        if (route.method == method || (route.method == "GET" && method == "HEAD")) {
            return route.handle(service, names, body);
        }
        allowed.push_back(route.method);
    }
    if (allowed.empty()) {
        return error_reply({ErrorKind::not_found, fmt::format("there is nothing at {}", path), 0});
    }
    const std::string allow = fmt::format("{}", fmt::join(allowed, ", "));
    ControlReply reply = error_reply(
        {ErrorKind::invalid_argument, fmt::format("{} does not have {}; it has {}", path, method, allow), 0});
    reply.status = 405;
    reply.allow = allow;
    return reply;
}

}  // namespace sidecore::daemon
