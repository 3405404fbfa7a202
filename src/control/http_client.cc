// SPDX-License-Identifier: Apache-2.0
#include "control/http_client.hh"

#include <array>
#include <curl/curl.h>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "control/info.hh"

namespace sidecore::control {

namespace {

constexpr long connect_timeout_s = 5;
constexpr long total_timeout_s = 60;
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

    curl_easy_reset(handle_);
    curl_easy_setopt(handle_, CURLOPT_UNIX_SOCKET_PATH, socket_path_.c_str());
    curl_easy_setopt(handle_, CURLOPT_URL, url.c_str());
    curl_easy_setopt(handle_, CURLOPT_CUSTOMREQUEST, method_text.c_str());
    curl_easy_setopt(handle_, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(handle_, CURLOPT_WRITEFUNCTION, append_reply);
    curl_easy_setopt(handle_, CURLOPT_WRITEDATA, &reply);
    curl_easy_setopt(handle_, CURLOPT_ERRORBUFFER, message.data());
    curl_easy_setopt(handle_, CURLOPT_CONNECTTIMEOUT, connect_timeout_s);
    curl_easy_setopt(handle_, CURLOPT_TIMEOUT, total_timeout_s);
    curl_easy_setopt(handle_, CURLOPT_NOSIGNAL, 1L);
    // A proxy from the environment has no business between a tool and a socket of the same host.
    curl_easy_setopt(handle_, CURLOPT_NOPROXY, "*");
    if (body) {
        curl_easy_setopt(handle_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
        curl_easy_setopt(handle_, CURLOPT_POSTFIELDS, body->c_str());
    }

    const CURLcode code = curl_easy_perform(handle_);
    if (code != CURLE_OK) {
        long os_error = 0;
        curl_easy_getinfo(handle_, CURLINFO_OS_ERRNO, &os_error);
        const std::string_view reason = message[0] != '\0' ? message.data() : curl_easy_strerror(code);
        const std::string what = fmt::format("asking the daemon at {}", socket_path_);
        if (code == CURLE_COULDNT_CONNECT && os_error != 0) {
            return failure_from_errno(what, static_cast<int>(os_error));
        }
        return failure(code == CURLE_OPERATION_TIMEDOUT ? ErrorKind::timed_out : ErrorKind::system,
                       fmt::format("{}: {}", what, reason));
    }
    long status = 0;
    curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
    constexpr long first_error_status = 300;
    if (status >= first_error_status) {
        return tl::unexpected(parse_error_reply(reply));
    }
    return reply;
}

}  // namespace sidecore::control
