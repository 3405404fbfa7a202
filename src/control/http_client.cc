// SPDX-License-Identifier: Apache-2.0
#include "control/http_client.hh"

#include <array>
#include <curl/curl.h>
#include <memory>
#include <utility>

#include "base/format.hh"
#include "control/info.hh"

namespace sidecore::control {

namespace {

constexpr long connect_timeout_s = 5;
constexpr long total_timeout_s = 60;
constexpr long first_error_status = 300;
constexpr int poll_limit_ms = 60'000;  // of one wait; there is no tick
constexpr std::size_t max_reply_bytes = 256U << 20U;

std::size_t append_reply(char* data, std::size_t size, std::size_t count, void* reply) {
    auto& body = *static_cast<std::string*>(reply);
    const std::size_t bytes = size * count;
    if (bytes > max_reply_bytes - body.size()) {
        return 0;  // which libcurl takes for a failed write
    }
    body.append(data, bytes);
    return bytes;
}

/// A reply that goes on.
struct Stream {
    CURL* handle;
    const std::function<bool(std::span<const std::byte>)>& take;
    std::string error_body;
    bool refused = false;
};

std::size_t pass_on(char* data, std::size_t size, std::size_t count, void* context) {
    auto& stream = *static_cast<Stream*>(context);
    long status = 0;
    curl_easy_getinfo(stream.handle, CURLINFO_RESPONSE_CODE, &status);
    if (status >= first_error_status) {
        return append_reply(data, size, count, &stream.error_body);
    }
    stream.refused = !stream.take(std::as_bytes(std::span(data, size * count)));
    return stream.refused ? 0 : size * count;
}

struct FreeMulti {
    void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

}  // namespace

HttpClient::HttpClient(void* handle, std::string socket_path) : handle_(handle), socket_path_(std::move(socket_path)) {}

HttpClient::HttpClient(HttpClient&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), socket_path_(std::move(other.socket_path_)) {}

HttpClient::~HttpClient() {
    if (handle_ != nullptr) {
        curl_easy_cleanup(handle_);
    }
}

Result<HttpClient> HttpClient::create(std::string socket_path) {
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_NOTHING);
    CURL* handle = initialised == CURLE_OK ? curl_easy_init() : nullptr;
    if (handle == nullptr) {
        return failure(ErrorKind::system, "libcurl cannot be used");
    }
    return HttpClient(handle, std::move(socket_path));
}

/// What all requests have in common. `message` has CURL_ERROR_SIZE characters and outlives the transfer.
void HttpClient::prepare(const std::string& url, char* message) {
    curl_easy_reset(handle_);
    curl_easy_setopt(handle_, CURLOPT_UNIX_SOCKET_PATH, socket_path_.c_str());
    curl_easy_setopt(handle_, CURLOPT_URL, url.c_str());
    curl_easy_setopt(handle_, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(handle_, CURLOPT_CONNECTTIMEOUT, connect_timeout_s);
    curl_easy_setopt(handle_, CURLOPT_NOSIGNAL, 1L);
    // A proxy from the environment has no business between a tool and a socket of the same host.
    curl_easy_setopt(handle_, CURLOPT_NOPROXY, "*");
}

/// Of a transfer that failed with this CURLcode and libcurl's message, if it has one.
Error HttpClient::error_of(int code, std::string_view message) const {
    long os_error = 0;
    curl_easy_getinfo(handle_, CURLINFO_OS_ERRNO, &os_error);
    const std::string what = fmt::format("asking the daemon at {}", socket_path_);
    if (code == CURLE_COULDNT_CONNECT && os_error != 0) {
        return Error::from_errno(what, static_cast<int>(os_error));
    }
    const std::string_view reason = message.empty() ? curl_easy_strerror(static_cast<CURLcode>(code)) : message;
    return {code == CURLE_OPERATION_TIMEDOUT ? ErrorKind::timed_out : ErrorKind::system,
            fmt::format("{}: {}", what, reason), 0};
}

Result<std::string> HttpClient::request(std::string_view method, std::string_view path,
                                        const std::optional<std::string>& body) {
    const std::string method_text(method);
    const std::string url = fmt::format("http://localhost{}", path);
    std::string reply;
    std::array<char, CURL_ERROR_SIZE> message{};
    // "Expect:" keeps libcurl from waiting for a go-ahead before it sends a body.
    std::unique_ptr<curl_slist, FreeList> headers(curl_slist_append(nullptr, "Expect:"));
    if (body) {
        headers.reset(curl_slist_append(headers.release(), "Content-Type: application/json"));
    }

    prepare(url, message.data());
    curl_easy_setopt(handle_, CURLOPT_CUSTOMREQUEST, method_text.c_str());
    curl_easy_setopt(handle_, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(handle_, CURLOPT_WRITEFUNCTION, append_reply);
    curl_easy_setopt(handle_, CURLOPT_WRITEDATA, &reply);
    curl_easy_setopt(handle_, CURLOPT_TIMEOUT, total_timeout_s);
    if (body) {
        curl_easy_setopt(handle_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
        curl_easy_setopt(handle_, CURLOPT_POSTFIELDS, body->c_str());
    }

    const CURLcode code = curl_easy_perform(handle_);
    if (code != CURLE_OK) {
        return tl::unexpected(error_of(code, message.data()));
    }
    long status = 0;
    curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
    if (status >= first_error_status) {
        return tl::unexpected(parse_error_reply(reply));
    }
    return reply;
}

Result<HttpClient::StreamEnd> HttpClient::stream(std::string_view path,
                                                 const std::function<bool(std::span<const std::byte>)>& take,
                                                 int stop_fd) {
    const std::string url = fmt::format("http://localhost{}", path);
    std::array<char, CURL_ERROR_SIZE> message{};
    Stream stream{handle_, take, {}};
    prepare(url, message.data());
    curl_easy_setopt(handle_, CURLOPT_WRITEFUNCTION, pass_on);
    curl_easy_setopt(handle_, CURLOPT_WRITEDATA, &stream);

    const std::unique_ptr<CURLM, FreeMulti> multi(curl_multi_init());
    if (multi == nullptr || curl_multi_add_handle(multi.get(), handle_) != CURLM_OK) {
        return failure(ErrorKind::system, "libcurl cannot be used");
    }
    curl_waitfd stop{stop_fd, CURL_WAIT_POLLIN, 0};
    int running = 1;
    CURLMcode state = CURLM_OK;
    while (true) {
        state = curl_multi_perform(multi.get(), &running);
        if (state != CURLM_OK || running == 0 || stop.revents != 0) {
            break;  // what had come before the order to stop has been taken
        }
        state = curl_multi_poll(multi.get(), &stop, 1, poll_limit_ms, nullptr);
        if (state != CURLM_OK) {
            break;
        }
    }
    CURLcode code = CURLE_OK;
    int left = 0;
    if (const CURLMsg* done = curl_multi_info_read(multi.get(), &left); done != nullptr) {
        code = done->data.result;
    }
    long status = 0;
    curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(multi.get(), handle_);
    if (state != CURLM_OK) {
        return failure(ErrorKind::system, fmt::format("libcurl: {}", curl_multi_strerror(state)));
    }
    if (stream.refused) {
        return StreamEnd::refused;
    }
    if (running != 0) {
        return StreamEnd::stopped;
    }
    if (status >= first_error_status) {
        return tl::unexpected(parse_error_reply(stream.error_body));
    }
    if (code != CURLE_OK) {
        Error error = error_of(code, message.data());
        error.kind = status != 0 ? ErrorKind::closed : error.kind;
        return tl::unexpected(std::move(error));
    }
    return StreamEnd::complete;
}

}  // namespace sidecore::control
