// SPDX-License-Identifier: Apache-2.0
#include "network/factory.hh"

#include "base/format.hh"
#include "network/af_xdp_backend.hh"
#include "network/loopback_backend.hh"
#include "network/null_backend.hh"
#include "network/stream_backend.hh"
#include "network/tap_backend.hh"

namespace sidecore::network {

namespace {

Result<void> refuse(bool given, NetworkKind kind, std::string_view setting, std::string_view why) {
    if (given) {
        return failure(ErrorKind::invalid_argument,
                       fmt::format("a network of kind \"{}\" cannot have \"{}\": {}", to_string(kind), setting, why));
    }
    return {};
}

Result<void> check_has_no_queues(const NetworkSpec& spec) {
    constexpr std::string_view why = "it has no AF_XDP socket";
    SIDECORE_TRY(refuse(spec.queue.has_value(), spec.kind, "queue", why));
    return refuse(spec.mode.has_value(), spec.kind, "mode", why);
}

Result<void> check_has_no_interface(const NetworkSpec& spec) {
    constexpr std::string_view why = "it has no interface";
    SIDECORE_TRY(refuse(!spec.name.empty(), spec.kind, "name", why));
    SIDECORE_TRY(refuse(!spec.fds.empty(), spec.kind, "fds", why));
    SIDECORE_TRY(refuse(spec.mtu.has_value(), spec.kind, "mtu", why));
    SIDECORE_TRY(refuse(spec.up.has_value(), spec.kind, "up", why));
    return check_has_no_queues(spec);
}

Result<void> check_has_no_socket(const NetworkSpec& spec) {
    constexpr std::string_view why = "it has no socket";
    SIDECORE_TRY(refuse(!spec.path.empty(), spec.kind, "path", why));
    return refuse(spec.listen.has_value(), spec.kind, "listen", why);
}

Result<std::unique_ptr<NetworkBackend>> open_tap(const NetworkSpec& spec) {
    SIDECORE_TRY(check_has_no_socket(spec));
    SIDECORE_TRY(check_has_no_queues(spec));
    if (!spec.fds.empty()) {
        constexpr std::string_view why = "whoever opened \"fds\" has seen to that";
        SIDECORE_TRY(refuse(!spec.name.empty(), spec.kind, "name", why));
        SIDECORE_TRY(refuse(spec.pairs.has_value(), spec.kind, "pairs", "\"fds\" has one for each"));
        SIDECORE_TRY(refuse(spec.mtu.has_value(), spec.kind, "mtu", why));
        SIDECORE_TRY(refuse(spec.up.has_value(), spec.kind, "up", why));
    }
    TapOptions options;
    options.name = spec.name;
    options.fds = spec.fds;
    options.pairs = spec.pairs.value_or(options.pairs);
    options.mtu = spec.mtu;
    options.up = spec.up;
    return TapBackend::create(options);
}

Result<std::unique_ptr<NetworkBackend>> open_stream(const NetworkSpec& spec) {
    SIDECORE_TRY(check_has_no_interface(spec));
    SIDECORE_TRY(refuse(spec.pairs.has_value(), spec.kind, "pairs", "it has exactly one"));
    if (spec.path.empty()) {
        return failure(ErrorKind::invalid_argument, "a network of kind \"stream\" needs \"path\"");
    }
    StreamOptions options;
    options.path = spec.path;
    options.listen = spec.listen.value_or(options.listen);
    return StreamBackend::create(options);
}

Result<std::unique_ptr<NetworkBackend>> open_af_xdp(const NetworkSpec& spec) {
    constexpr std::string_view why = "its interface is there before it";
    SIDECORE_TRY(check_has_no_socket(spec));
    SIDECORE_TRY(refuse(!spec.fds.empty(), spec.kind, "fds", why));
    SIDECORE_TRY(refuse(spec.mtu.has_value(), spec.kind, "mtu", why));
    SIDECORE_TRY(refuse(spec.up.has_value(), spec.kind, "up", why));
    if (spec.name.empty()) {
        return failure(ErrorKind::invalid_argument, "a network of kind \"af_xdp\" needs \"name\"");
    }
    AfXdpOptions options;
    options.interface = spec.name;
    options.queue = spec.queue.value_or(options.queue);
    options.pairs = spec.pairs.value_or(options.pairs);
    options.mode = spec.mode.value_or(options.mode);
    return AfXdpBackend::create(options);
}

}  // namespace

std::string_view to_string(NetworkKind kind) noexcept {
    switch (kind) {
        case NetworkKind::null:
            return "null";
        case NetworkKind::loopback:
            return "loopback";
        case NetworkKind::tap:
            return "tap";
        case NetworkKind::stream:
            return "stream";
        case NetworkKind::af_xdp:
            return "af_xdp";
    }
    return "unknown";
}

Result<NetworkKind> parse_network_kind(std::string_view name) {
    for (const NetworkKind kind :
         {NetworkKind::null, NetworkKind::loopback, NetworkKind::tap, NetworkKind::stream, NetworkKind::af_xdp}) {
        if (to_string(kind) == name) {
            return kind;
        }
    }
    return failure(ErrorKind::invalid_argument,
                   fmt::format("\"{}\" is no kind of network; use tap, stream, af_xdp, loopback or null", name));
}

Result<std::unique_ptr<NetworkBackend>> open_network(const NetworkSpec& spec) {
    switch (spec.kind) {
        case NetworkKind::null:
            SIDECORE_TRY(check_has_no_interface(spec));
            SIDECORE_TRY(check_has_no_socket(spec));
            SIDECORE_TRY(refuse(spec.pairs.has_value(), spec.kind, "pairs", "it takes any number"));
            return std::make_unique<NullBackend>();
        case NetworkKind::loopback: {
            SIDECORE_TRY(check_has_no_interface(spec));
            SIDECORE_TRY(check_has_no_socket(spec));
            LoopbackOptions options;
            options.pairs = spec.pairs.value_or(options.pairs);
            return LoopbackBackend::create(options);
        }
        case NetworkKind::tap:
            return open_tap(spec);
        case NetworkKind::stream:
            return open_stream(spec);
        case NetworkKind::af_xdp:
            return open_af_xdp(spec);
    }
    return failure(ErrorKind::invalid_argument, "unknown kind of network");
}

}  // namespace sidecore::network
