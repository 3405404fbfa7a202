// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_server.hh"

#include <array>
#include <charconv>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <microhttpd.h>
#include <span>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <spdlog/spdlog.h>

#include "base/format.hh"
#include "daemon/control_routes.hh"
#include "daemon/unix_listener.hh"

namespace sidecore::daemon {

namespace {

/// Of a body that is too large so much is read and thrown away to be able to answer; then the connection is closed.
constexpr std::size_t max_discarded_bytes = 16 * ControlServer::max_body_bytes;

/// Asked for of a reply that goes on, at a time.
constexpr std::size_t stream_block_bytes = std::size_t{32} << 10U;

/// One request on its way in.
struct Upload {
    std::string body;
    std::size_t received_bytes = 0;
};

ControlReply too_large() {
    ControlReply reply =
        error_reply({ErrorKind::invalid_argument,
                     fmt::format("the body is larger than {} bytes", ControlServer::max_body_bytes), 0});
    reply.status = MHD_HTTP_CONTENT_TOO_LARGE;
    return reply;
}

MHD_Result send(MHD_Connection* connection, ControlReply reply) {
    MHD_Response* response =
        MHD_create_response_from_buffer(reply.body.size(), reply.body.data(), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) {
        return MHD_NO;  // out of memory: the connection is closed
    }
    if (!reply.body.empty()) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    }
    if (!reply.allow.empty()) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, reply.allow.c_str());
    }
    const MHD_Result queued = MHD_queue_response(connection, reply.status, response);
    MHD_destroy_response(response);
    return queued;
}

// ---- replies that go on ----

ssize_t on_more(void* stream, std::uint64_t /*position*/, char* to, std::size_t bytes) {
    return static_cast<ReplyStream*>(stream)->read(std::as_writable_bytes(std::span(to, bytes)));
}

void on_no_more(void* stream) {
    delete static_cast<ReplyStream*>(stream);
}

MHD_Result send_stream(ControlServer& server, MHD_Connection* connection, ControlReply reply) {
    auto stream = ReplyStream::create(server.streams(), connection, std::move(reply.stream));
    if (!stream) {
        return send(connection, error_reply(stream.error()));
    }
    MHD_Response* response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, stream_block_bytes, on_more, stream->get(), on_no_more);
    if (response == nullptr) {
        return MHD_NO;
    }
    static_cast<void>(stream->release());  // the response has it now
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/x-pcapng");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    // It may have nothing to say for long, and its client nothing to answer.
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0U);
    const MHD_Result queued = MHD_queue_response(connection, reply.status, response);
    MHD_destroy_response(response);
    return queued;
}

MHD_Result on_argument(void* text, MHD_ValueKind /*kind*/, const char* key, const char* value) {
    auto& object = *static_cast<std::string*>(text);
    object += fmt::format("{}{}:{}", object.empty() ? "" : ",", control::to_text(control::Json(key)),
                          control::to_text(control::Json(value != nullptr ? value : "")));
    return MHD_YES;
}

/// The query as a JSON object, or nothing if there is none. A key that is there twice is there twice in it as well, for the reader to refuse.
std::string query_of(MHD_Connection* connection) {
    std::string members;
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, on_argument, &members);
    return members.empty() ? members : fmt::format("{{{}}}", members);
}

bool announces_too_much(MHD_Connection* connection) {
    const char* text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (text == nullptr) {
        return false;
    }
    std::size_t announced_bytes = 0;
    const char* end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, announced_bytes);
    return error != std::errc{} || rest != end || announced_bytes > ControlServer::max_body_bytes;
}

/// Called by libmicrohttpd once when a request's headers are there, then for each piece of the body, then at its end.
MHD_Result on_request(void* server, MHD_Connection* connection, const char* path, const char* method,
                      const char* /*version*/, const char* data, std::size_t* data_bytes, void** state) {
    if (*state == nullptr) {
        if (announces_too_much(connection)) {
            return send(connection, too_large());
        }
        *state = new Upload;
        return MHD_YES;
    }
    Upload& upload = *static_cast<Upload*>(*state);
    if (*data_bytes != 0) {
        upload.received_bytes += *data_bytes;
        if (upload.received_bytes <= ControlServer::max_body_bytes) {
            upload.body.append(data, *data_bytes);
        }
        *data_bytes = 0;
        return upload.received_bytes <= max_discarded_bytes ? MHD_YES : MHD_NO;
    }
    if (upload.received_bytes > ControlServer::max_body_bytes) {
        return send(connection, too_large());
    }
    auto& control = *static_cast<ControlServer*>(server);
    const std::string_view verb = method;
    ControlReply reply = answer(control.service(), verb, path, verb == "GET" ? query_of(connection) : upload.body);
    spdlog::debug("control: {} {}: {}", method, path, reply.status);
    return reply.stream ? send_stream(control, connection, std::move(reply)) : send(connection, std::move(reply));
}

void on_completed(void* /*server*/, MHD_Connection* /*connection*/, void** state, MHD_RequestTerminationCode /*code*/) {
    delete static_cast<Upload*>(*state);
    *state = nullptr;
}

/// What libmicrohttpd has to say is about clients that break HTTP or go away in the middle.
[[gnu::format(printf, 2, 0)]] void on_log(void* /*server*/, const char* format, va_list arguments) {
    std::array<char, 256> text{};
    std::vsnprintf(text.data(), text.size(), format, arguments);
    std::string_view line(text.data());
    while (line.ends_with('\n')) {
        line.remove_suffix(1);
    }
    spdlog::debug("control: {}", line);
}

}  // namespace

ControlServer::ControlServer(std::string socket_path, control::Service& service) noexcept
    : socket_path_(std::move(socket_path)), service_(service) {}

Result<std::unique_ptr<ControlServer>> ControlServer::create(const Options& options, control::Service& service) {
    SIDECORE_TRY_ASSIGN(Fd listener,
                        listen_unix(options.socket_path, options.socket_permissions, options.socket_group));
    SIDECORE_TRY(set_nonblocking(listener.get()));
    std::unique_ptr<ControlServer> server(new ControlServer(options.socket_path, service));
    const int listening = listener.release();  // libmicrohttpd closes it in the end
    server->http_ =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, nullptr,
                         nullptr, on_request, server.get(), MHD_OPTION_EXTERNAL_LOGGER, on_log, nullptr,  //
                         MHD_OPTION_LISTEN_SOCKET, listening,                                             //
                         MHD_OPTION_CONNECTION_LIMIT, max_connections,                                    //
                         MHD_OPTION_CONNECTION_TIMEOUT, connection_timeout_s,                             //
                         MHD_OPTION_STRICT_FOR_CLIENT, 1,                                                 //
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, nullptr, MHD_OPTION_END);
    if (server->http_ == nullptr) {
        return failure(ErrorKind::system, "the control server cannot be started");
    }
    return server;
}

ControlServer::~ControlServer() {
    // First, while nobody else can have taken the path over.
    ::unlink(socket_path_.c_str());
    if (http_ != nullptr) {
        streams_.end(farewell);  // libmicrohttpd must not be stopped while a connection is suspended
        MHD_stop_daemon(http_);
    }
}

}  // namespace sidecore::daemon
