// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hh"

#include <chrono>
#include <cstdio>
#include <string_view>
#include <thread>
#include <utility>

#include "base/format.hh"
#include "cli/programs.hh"
#include "cli/render.hh"
#include "cli/render_scsi.hh"
#include "cli/render_switch.hh"
#include "control/device_spec.hh"
#include "control/info.hh"
#include "control/reply_reader.hh"
#include "control/version.hh"

namespace sidecore::cli {

namespace {

/// The path of a device, a worker or a switch, whose name has to be one that fits into a path.
Result<std::string> path_of(std::string_view what, std::string_view collection, const std::string& name) {
    if (!control::is_valid_name(name)) {
        return failure(ErrorKind::not_found, fmt::format("there is no {} \"{}\"", what, name));
    }
    return fmt::format("/v1/{}/{}", collection, name);
}

Result<std::string> device_path(const std::string& name) {
    return path_of("device", "devices", name);
}

Result<std::string> worker_path(const std::string& name) {
    return path_of("worker", "workers", name);
}

Result<std::string> switch_path(const std::string& name) {
    return path_of("switch", "switches", name);
}

Result<std::string> disk_path(const std::string& name) {
    return path_of("disk", "disks", name);
}

Result<std::string> unit_path(const std::string& device, control::UnitAddress address) {
    SIDECORE_TRY_ASSIGN(const std::string path, device_path(device));
    return fmt::format("{}/units/{}", path, control::to_string(address));
}

/// Without a size: what the file has.
std::string resize_body(const std::string& size) {
    control::Json request = control::Json::object();
    if (!size.empty()) {
        request["size"] = size;
    }
    return control::to_text(request);
}

/// The path of a queue or, without one, of its device.
Result<std::string> queue_path(const control::QueueTarget& target) {
    SIDECORE_TRY_ASSIGN(std::string path, device_path(target.device));
    return target.queue ? fmt::format("{}/queues/{}", path, *target.queue) : path;
}

void print_text(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

}  // namespace

/// What `parse` makes of the body, as `render` shows it.
template <typename Parse, typename Render>
Result<void> Commands::print(const Result<std::string>& body, Parse parse, Render render) {
    if (!body) {
        return tl::unexpected(body.error());
    }
    if (json_) {
        print_text(*body);
        return {};
    }
    SIDECORE_TRY_ASSIGN(const auto content, parse(*body));
    print_text(render(content));
    return {};
}

Result<void> Commands::add(const control::Json& device) {
    return print(client_.request("POST", "/v1/devices", control::to_text(device)), control::parse_device_info,
                 render_device);
}

Result<void> Commands::remove(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        SIDECORE_TRY_ASSIGN(const std::string path, device_path(name));
        SIDECORE_TRY(client_.request("DELETE", path));
    }
    return {};
}

Result<void> Commands::resize(const std::string& name, const ResizeArguments& arguments) {
    const std::string body = resize_body(arguments.size);
    if (arguments.unit) {
        SIDECORE_TRY_ASSIGN(const std::string path, unit_path(name, *arguments.unit));
        return print(client_.request("POST", path + "/resize", body), control::parse_unit_info, render_unit);
    }
    SIDECORE_TRY_ASSIGN(const std::string path, device_path(name));
    return print(client_.request("POST", path + "/resize", body), control::parse_device_info, render_device);
}

Result<void> Commands::units(const std::string& device) {
    SIDECORE_TRY_ASSIGN(const std::string path, device_path(device));
    return print(client_.request("GET", path + "/units"), control::parse_unit_list, render_units);
}

Result<void> Commands::add_unit(const std::string& device, const control::Json& spec) {
    SIDECORE_TRY_ASSIGN(const std::string path, device_path(device));
    return print(client_.request("POST", path + "/units", control::to_text(spec)), control::parse_unit_info,
                 render_unit);
}

Result<void> Commands::remove_unit(const std::string& device, control::UnitAddress address) {
    SIDECORE_TRY_ASSIGN(const std::string path, unit_path(device, address));
    SIDECORE_TRY(client_.request("DELETE", path));
    return {};
}

Result<void> Commands::disks() {
    return print(client_.request("GET", "/v1/disks"), control::parse_shared_disk_list, render_disks);
}

Result<void> Commands::add_disk(const control::Json& spec) {
    return print(client_.request("POST", "/v1/disks", control::to_text(spec)), control::parse_shared_disk_info,
                 render_disk);
}

Result<void> Commands::remove_disk(const std::string& name) {
    SIDECORE_TRY_ASSIGN(const std::string path, disk_path(name));
    SIDECORE_TRY(client_.request("DELETE", path));
    return {};
}

Result<void> Commands::resize_disk(const std::string& name, const std::string& size) {
    SIDECORE_TRY_ASSIGN(const std::string path, disk_path(name));
    return print(client_.request("POST", path + "/resize", resize_body(size)), control::parse_shared_disk_info,
                 render_disk);
}

Result<void> Commands::limit(const std::string& name, const control::Json& change) {
    SIDECORE_TRY_ASSIGN(const std::string path, device_path(name));
    return print(client_.request("PATCH", path + "/limits", control::to_text(change)), control::parse_device_info,
                 render_device);
}

Result<void> Commands::list() {
    return print(client_.request("GET", "/v1/devices"), control::parse_device_list, render_devices);
}

Result<void> Commands::show(const std::string& name, bool counters) {
    SIDECORE_TRY_ASSIGN(const std::string path, device_path(name));
    return print(client_.request("GET", path), control::parse_device_info, counters ? render_counters : render_device);
}

Result<void> Commands::show_daemon() {
    return print(client_.request("GET", "/v1/daemon"), control::parse_daemon_info, render_daemon);
}

Result<void> Commands::workers() {
    return print(client_.request("GET", "/v1/workers"), control::parse_worker_list, render_workers);
}

Result<void> Commands::add_worker(const control::Json& worker) {
    return print(client_.request("POST", "/v1/workers", control::to_text(worker)), control::parse_worker_info,
                 render_worker);
}

Result<void> Commands::remove_worker(const std::string& name) {
    SIDECORE_TRY_ASSIGN(const std::string path, worker_path(name));
    SIDECORE_TRY(client_.request("DELETE", path));
    return {};
}

Result<void> Commands::pin_worker(const std::string& name, const control::PinRequest& request) {
    SIDECORE_TRY_ASSIGN(const std::string path, worker_path(name));
    return print(client_.request("POST", path + "/pin", control::to_text(control::to_json(request))),
                 control::parse_worker_info, render_worker);
}

Result<void> Commands::announce(const std::string& name) {
    SIDECORE_TRY_ASSIGN(const std::string path, device_path(name));
    SIDECORE_TRY(client_.request("POST", path + "/announce"));
    return {};
}

Result<void> Commands::switches() {
    return print(client_.request("GET", "/v1/switches"), control::parse_switch_list, render_switches);
}

Result<void> Commands::show_switch(const std::string& name) {
    SIDECORE_TRY_ASSIGN(const std::string path, switch_path(name));
    return print(client_.request("GET", path), control::parse_switch_info, render_switch);
}

Result<void> Commands::stations(const std::string& switch_name) {
    SIDECORE_TRY_ASSIGN(const std::string path, switch_path(switch_name));
    return print(client_.request("GET", path + "/stations"), control::parse_station_list, render_stations);
}

Result<void> Commands::add_switch(const control::Json& spec) {
    return print(client_.request("POST", "/v1/switches", control::to_text(spec)), control::parse_switch_info,
                 render_switch);
}

Result<void> Commands::remove_switch(const std::string& name) {
    SIDECORE_TRY_ASSIGN(const std::string path, switch_path(name));
    SIDECORE_TRY(client_.request("DELETE", path));
    return {};
}

Result<void> Commands::move_switch(const std::string& name, const std::string& worker) {
    SIDECORE_TRY_ASSIGN(const std::string path, switch_path(name));
    return print(
        client_.request("POST", path + "/move", control::to_text(control::to_json(control::MoveRequest{worker}))),
        control::parse_switch_info, render_switch);
}

Result<void> Commands::move(const control::QueueTarget& target, const std::string& worker) {
    SIDECORE_TRY_ASSIGN(const std::string path, queue_path(target));
    return print(
        client_.request("POST", path + "/move", control::to_text(control::to_json(control::MoveRequest{worker}))),
        control::parse_device_info, render_device);
}

Result<void> Commands::why(const control::QueueTarget& target) {
    SIDECORE_TRY_ASSIGN(const std::string path, queue_path(target));
    return print(client_.request("GET", path + "/why"), control::parse_explanation, render_explanation);
}

Result<void> Commands::version() {
    const auto read = [](const control::Value& value, control::Problems& problems) {
        return control::ReplyReader(value, "version", problems).text("version");
    };
    const auto parse = [read](std::string_view body) { return control::parse_reply(body, read); };
    return print(client_.request("GET", "/v1/version"), parse, [](const std::string& version) {
        return fmt::format("command {}, daemon {}\n", control::version(), version);
    });
}

Result<void> Commands::set(const control::Json& change, const control::SettingsTarget& target) {
    std::string path = "/v1";
    if (target.worker) {
        SIDECORE_TRY_ASSIGN(path, worker_path(*target.worker));
    } else if (target.device) {
        SIDECORE_TRY_ASSIGN(path, queue_path({*target.device, target.queue}));
    }
    const auto parse = [level = target.level()](std::string_view body) { return control::parse_settings(body, level); };
    return print(client_.request("PATCH", path + "/settings", control::to_text(change)), parse, render_settings);
}

Result<void> Commands::stats(const std::optional<std::string>& device, By by, std::optional<double> interval_s,
                             std::uint64_t count) {
    std::string path = "/v1";
    if (device) {
        SIDECORE_TRY_ASSIGN(path, device_path(*device));
    }
    path += "/stats";
    if (interval_s) {
        return watch(path, by, *interval_s, count);
    }
    return print(client_.request("GET", path), control::parse_statistics,
                 [by](const control::Statistics& statistics) { return render_totals(statistics, by); });
}

Result<void> Commands::watch(const std::string& path, By by, double interval_s, std::uint64_t count) {
    const auto interval =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(interval_s));
    // From a fixed start, so that the time that asking takes does not add up.
    auto next = std::chrono::steady_clock::now();
    std::optional<control::Statistics> before;
    for (std::uint64_t shown = 0; count == 0 || shown < count;) {
        SIDECORE_TRY_ASSIGN(const std::string body, client_.request("GET", path));
        SIDECORE_TRY_ASSIGN(control::Statistics now, control::parse_statistics(body));
        if (json_) {
            print_text(body);  // one line
            ++shown;
        } else if (before) {
            print_text(shown == 0 ? "" : "\n");
            print_text(render_rates(*before, now, by));
            ++shown;
        }
        before = std::move(now);
        if (count == 0 || shown < count) {
            next += interval;
            std::this_thread::sleep_until(next);
        }
    }
    return {};
}

Result<void> print_calibration(const std::string& config, bool json) {
    std::vector<std::string> arguments{"--calibrate"};
    if (!config.empty()) {
        arguments.insert(arguments.end(), {"--config", config});
    }
    SIDECORE_TRY_ASSIGN(const std::string printed, output_of("sidecored", std::move(arguments)));
    if (json) {
        print_text(printed);
        return {};
    }
    SIDECORE_TRY_ASSIGN(const control::CostsInfo costs, control::parse_costs(printed));
    print_text(render_costs(costs));
    return {};
}

}  // namespace sidecore::cli
