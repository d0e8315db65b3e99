// SPDX-License-Identifier: Apache-2.0
// One thread drives a multi handle: it takes new transfers from a queue, and each that has ended
// goes back to the loop. A transfer belongs to that thread from its beginning to its end.
#include "thaw/net/web_client.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>

#include "thaw/async/event.h"
#include "thaw/base/check.h"
#include "thaw/base/log.h"

namespace thaw::net {

namespace {

constexpr long connect_limit_ms = 10'000;
constexpr long least_bytes_per_second = 1024;
constexpr std::size_t most_header_bytes = 64u << 10;
constexpr long most_kept_connections = 16;
constexpr int longest_poll_ms = 60'000;

using CurlUrl = std::unique_ptr<CURLU, decltype([](CURLU* url) { ::curl_url_cleanup(url); })>;
using CurlList =
    std::unique_ptr<curl_slist, decltype([](curl_slist* list) { ::curl_slist_free_all(list); })>;

void append(CurlList& list, const std::string& text) {
  curl_slist* longer = ::curl_slist_append(list.get(), text.c_str());
  THAW_CHECK(longer != nullptr);
  std::ignore = list.release();  // it is the head of the longer one, or was empty
  list.reset(longer);
}

Result<std::string> part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  const CURLUcode failure = ::curl_url_get(url, part, &text, flags);
  if (failure != CURLUE_OK) {
    return Error::not_found(::curl_url_strerror(failure));
  }
  std::string out = text;
  ::curl_free(text);
  return out;
}

// Shared by the task that waits and the thread that works.
struct Pending {
  std::atomic<bool> is_abandoned = false;
  // Loop thread.
  async::Event done;
  std::optional<Result<WebAnswer>> result;
};

struct Transfer {
  WebRequest request;
  bool is_post = true;
  std::shared_ptr<Pending> pending;
  CURL* easy = nullptr;
  CurlList headers;
  CurlList resolved;
  WebAnswer answer;
  std::size_t header_bytes = 0;
  bool is_enough = false;  // of the answer's body
  bool has_sink_begun = false;
  bool has_too_many_headers = false;
  std::string refused;  // the address
  char error[CURL_ERROR_SIZE] = {};

  ~Transfer() { ::curl_easy_cleanup(easy); }
};

// Of an answer with a body; the sink of one without any begins when the transfer ends.
bool begin_sink(Transfer& transfer) {
  if (transfer.has_sink_begun) {
    return true;
  }
  transfer.has_sink_begun = true;
  long status = 0;
  ::curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  return transfer.request.sink->begin(static_cast<int>(status), transfer.answer.headers);
}

bool has_succeeded(const Transfer& transfer) {
  long status = 0;
  ::curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  return status >= 200 && status < 300;
}

std::size_t take_body(char* data, std::size_t, std::size_t count, void* self) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  if (transfer.request.sink && has_succeeded(transfer)) {
    const bool wants_more =
        begin_sink(transfer) && transfer.request.sink->take(std::string_view(data, count));
    transfer.is_enough = !wants_more;
    return wants_more ? count : 0;
  }
  const std::size_t room = transfer.request.answer_bytes - transfer.answer.body.size();
  transfer.answer.body.append(data, std::min(room, count));
  transfer.is_enough = count > room;
  return transfer.is_enough ? 0 : count;
}

std::size_t take_header(char* data, std::size_t, std::size_t count, void* self) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  transfer.header_bytes += count;
  if (transfer.header_bytes > most_header_bytes) {
    transfer.has_too_many_headers = true;
    return 0;
  }
  const std::string_view line(data, count);
  const std::size_t colon = line.find(':');
  if (line.starts_with("HTTP/")) {
    transfer.answer.headers = {};  // of an interim answer
  } else if (colon != std::string_view::npos) {
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    std::string_view value = line.substr(colon + 1);
    const std::size_t first = std::min(value.find_first_not_of(" \t"), value.size());
    const std::size_t last = value.find_last_not_of(" \t\r\n");
    value = last == std::string_view::npos ? "" : value.substr(first, last + 1 - first);
    transfer.answer.headers.add(std::move(name), std::string(value));
  }
  return count;
}

int look_at_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(self)->pending->is_abandoned ? 1 : 0;
}

// Also what libcurl would find by itself comes through here.
curl_socket_t open_socket(void* self, curlsocktype, curl_sockaddr* address) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  const auto target = IpAddress::of(address->addr);
  if (!target || !transfer.request.may_connect || !transfer.request.may_connect(*target)) {
    transfer.refused = target ? target->str() : "an address of another kind";
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

template <class Value>
void set(CURL* easy, CURLoption option, Value value) {
  const CURLcode failure = ::curl_easy_setopt(easy, option, value);
  THAW_CHECK(failure == CURLE_OK);
}

void prepare(Transfer& transfer, const std::string& authorities_file) {
  CURL* easy = transfer.easy = ::curl_easy_init();
  THAW_CHECK(easy != nullptr);
  const WebRequest& request = transfer.request;
  set(easy, CURLOPT_URL, request.url.text.c_str());
  set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  set(easy, CURLOPT_PROXY, "");
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  set(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!authorities_file.empty()) {
    // The machine's own are found in their folder still.
    set(easy, CURLOPT_CAINFO, authorities_file.c_str());
  }
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(request.limit);
  set(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(limit.count(), 1)));
  set(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_limit_ms);
  set(easy, CURLOPT_ERRORBUFFER, static_cast<char*>(transfer.error));
  set(easy, CURLOPT_PRIVATE, &transfer);
  set(easy, CURLOPT_WRITEFUNCTION, &take_body);
  set(easy, CURLOPT_WRITEDATA, &transfer);
  set(easy, CURLOPT_HEADERFUNCTION, &take_header);
  set(easy, CURLOPT_HEADERDATA, &transfer);
  set(easy, CURLOPT_XFERINFOFUNCTION, &look_at_progress);
  set(easy, CURLOPT_XFERINFODATA, &transfer);
  set(easy, CURLOPT_NOPROGRESS, 0L);
  set(easy, CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  set(easy, CURLOPT_OPENSOCKETDATA, &transfer);
  if (request.connection == WebRequest::Connection::own) {
    set(easy, CURLOPT_FRESH_CONNECT, 1L);
    set(easy, CURLOPT_FORBID_REUSE, 1L);
  }
  if (transfer.is_post) {
    set(easy, CURLOPT_POST, 1L);
    set(easy, CURLOPT_POSTFIELDS, request.body.data());
    set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    append(transfer.headers, "Expect:");
  }
  if (request.silence > Duration::zero()) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(request.silence);
    set(easy, CURLOPT_LOW_SPEED_LIMIT, least_bytes_per_second);
    set(easy, CURLOPT_LOW_SPEED_TIME,
        static_cast<long>(std::max<std::int64_t>(seconds.count(), 1)));
  }
  for (const auto& [name, value] : request.headers) {
    append(transfer.headers, name + (value.empty() ? ";" : ": " + value));
  }
  if (transfer.headers) {
    set(easy, CURLOPT_HTTPHEADER, transfer.headers.get());
  }
  std::string addresses;
  for (const IpAddress& address : request.addresses) {
    addresses += (addresses.empty() ? "" : ",") +
                 (address.is_v4() ? address.str() : "[" + address.str() + "]");
  }
  if (!addresses.empty() && !IpAddress::parse(request.url.host)) {
    // "+": it is forgotten after a minute.
    append(transfer.resolved,
           "+" + request.url.host + ":" + std::to_string(request.url.port) + ":" + addresses);
    set(easy, CURLOPT_RESOLVE, transfer.resolved.get());
  }
}

Result<WebAnswer> outcome_of(Transfer& transfer, CURLcode code) {
  long status = 0;
  ::curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  transfer.answer.status = static_cast<int>(status);
  char* peer = nullptr;
  if (::curl_easy_getinfo(transfer.easy, CURLINFO_PRIMARY_IP, &peer) == CURLE_OK && peer) {
    transfer.answer.peer = IpAddress::parse(peer);
  }
  const std::string where = transfer.request.url.origin();
  const char* said = transfer.error[0] != '\0' ? transfer.error : ::curl_easy_strerror(code);
  if (transfer.has_too_many_headers) {
    return Error::unavailable(where + " answers with more than " +
                              std::to_string(most_header_bytes) + " bytes of headers");
  }
  if (code == CURLE_OK || (transfer.is_enough && status >= 200)) {
    if (transfer.request.sink && has_succeeded(transfer)) {
      (void)begin_sink(transfer);
    }
    return std::move(transfer.answer);
  }
  if (!transfer.refused.empty()) {
    return Error::permission_denied(where + " leads to " + transfer.refused +
                                    ", which may not be connected to");
  }
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return Error::deadline_exceeded(where + " has not answered in time: " + said);
    case CURLE_SSL_CACERT_BADFILE:
      log_error("the file of certificates to trust cannot be read; nothing is sent to https://",
                {{"error", said}});
      return Error::unavailable("cannot send to " + where +
                                ": this server cannot read the certificates that it trusts; its "
                                "log says why");
    case CURLE_PEER_FAILED_VERIFICATION:
      return Error::permission_denied("the certificate of " + where + " is not accepted: " + said);
    case CURLE_ABORTED_BY_CALLBACK:
      return Error::cancelled("the request to " + where + " was given up");
    default: return Error::unavailable("cannot send to " + where + ": " + said);
  }
}

}  // namespace

std::string WebUrl::origin() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return scheme + "://" + (is_v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<WebUrl> parse_web_url(std::string_view text) {
  const auto refuse = [text](const std::string& why) {
    return Error::invalid_argument("'" + std::string(text.substr(0, 200)) +
                                   "' is no address of the kind http://host/path or "
                                   "https://host/path: " +
                                   why);
  };
  const auto is_odd = [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '\\'; };
  if (std::any_of(text.begin(), text.end(), is_odd)) {
    return refuse("it has blanks or other bytes that must be percent-encoded");
  }
  const CurlUrl url(::curl_url());
  THAW_CHECK(url != nullptr);
  const std::string whole(text);
  if (const CURLUcode bad =
          ::curl_url_set(url.get(), CURLUPART_URL, whole.c_str(), CURLU_NON_SUPPORT_SCHEME);
      bad != CURLUE_OK) {
    return refuse(::curl_url_strerror(bad));
  }
  WebUrl out;
  out.scheme = part_of(url.get(), CURLUPART_SCHEME).value_or("");
  if (out.scheme != "http" && out.scheme != "https") {
    return refuse("only http and https are spoken");
  }
  if (part_of(url.get(), CURLUPART_USER) || part_of(url.get(), CURLUPART_PASSWORD)) {
    return refuse("a user's name or password in it is not taken");
  }
  out.host = part_of(url.get(), CURLUPART_HOST).value_or("");
  std::transform(out.host.begin(), out.host.end(), out.host.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  ::curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
  if (out.host.ends_with('.')) {
    out.host.pop_back();
    // One dot stands for the root. Without it the host may be an address in another writing.
    if (!out.host.empty() && !out.host.ends_with('.') &&
        ::curl_url_set(url.get(), CURLUPART_HOST, out.host.c_str(), 0) == CURLUE_OK) {
      THAW_TRY(const std::string without, part_of(url.get(), CURLUPART_URL));
      return parse_web_url(without);
    }
    return refuse("it has no host that can be reached");
  }
  ::curl_url_set(url.get(), CURLUPART_HOST, out.host.c_str(), 0);
  // A host that was percent-encoded may be a number once it is read: who judges is to see the
  // address that who connects does.
  const std::string written = part_of(url.get(), CURLUPART_URL).value_or("");
  const CurlUrl read_again(::curl_url());
  if (::curl_url_set(read_again.get(), CURLUPART_URL, written.c_str(), 0) != CURLUE_OK ||
      part_of(read_again.get(), CURLUPART_HOST).value_or("") != out.host) {
    return refuse("its host means another one when it is read again");
  }
  if (out.host.starts_with('[')) {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  if (out.host.empty() || out.host.size() > 253 || out.host.find('%') != std::string::npos ||
      std::any_of(out.host.begin(), out.host.end(), is_odd)) {
    return refuse("it has no host that can be reached");
  }
  const std::string port = part_of(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT).value_or("0");
  out.port = static_cast<std::uint16_t>(std::stoi(port));
  if (out.port == 0) {
    return refuse("there is no port 0");
  }
  THAW_TRY(out.text, part_of(url.get(), CURLUPART_URL));
  return out;
}

Result<WebUrl> join_web_url(const WebUrl& base, std::string_view location) {
  const CurlUrl url(::curl_url());
  THAW_CHECK(url != nullptr);
  const std::string relative(location);
  const bool has_odd_bytes = std::any_of(location.begin(), location.end(),
                                         [](unsigned char c) { return c <= ' ' || c >= 0x7f; });
  if (has_odd_bytes || location.empty() || location.size() > most_header_bytes ||
      ::curl_url_set(url.get(), CURLUPART_URL, base.text.c_str(), 0) != CURLUE_OK ||
      ::curl_url_set(url.get(), CURLUPART_URL, relative.c_str(), CURLU_NON_SUPPORT_SCHEME) !=
          CURLUE_OK) {
    return Error::invalid_argument("'" + relative.substr(0, 200) + "' leads nowhere from " +
                                   base.origin());
  }
  THAW_TRY(const std::string whole, part_of(url.get(), CURLUPART_URL));
  return parse_web_url(whole);
}

class WebClient::Worker {
 public:
  Worker(async::Loop& loop, std::string authorities_file)
      : loop_(loop), authorities_file_(std::move(authorities_file)) {
    static const CURLcode ready = ::curl_global_init(CURL_GLOBAL_DEFAULT);
    THAW_CHECK(ready == CURLE_OK);
    multi_ = ::curl_multi_init();
    THAW_CHECK(multi_ != nullptr);
    ::curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, most_kept_connections);
    thread_ = std::thread([this] { work(); });
  }
  ~Worker() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    ::curl_multi_wakeup(multi_);
    thread_.join();
    ::curl_multi_cleanup(multi_);
  }

  void start(std::unique_ptr<Transfer> transfer) {
    {
      const std::lock_guard lock(mutex_);
      fresh_.push_back(std::move(transfer));
    }
    ::curl_multi_wakeup(multi_);
  }
  void wake() { ::curl_multi_wakeup(multi_); }

 private:
  void work() {
    while (take_fresh()) {
      int running = 0;
      ::curl_multi_perform(multi_, &running);
      finish_ended();
      drop_abandoned();
      ::curl_multi_poll(multi_, nullptr, 0, longest_poll_ms, nullptr);
    }
    while (!transfers_.empty()) {
      end(*transfers_.begin()->first, Error::cancelled("the server ends"));
    }
  }

  bool take_fresh() {
    std::vector<std::unique_ptr<Transfer>> fresh;
    {
      const std::lock_guard lock(mutex_);
      if (is_ending_) {
        return false;
      }
      fresh.swap(fresh_);
    }
    for (auto& transfer : fresh) {
      prepare(*transfer, authorities_file_);
      ::curl_multi_add_handle(multi_, transfer->easy);
      Transfer* key = transfer.get();
      transfers_.emplace(key, std::move(transfer));
    }
    return true;
  }

  void finish_ended() {
    int left = 0;
    while (const CURLMsg* message = ::curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) {
        continue;
      }
      const CURLcode code = message->data.result;
      char* self = nullptr;
      ::curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &self);
      Transfer& transfer = *reinterpret_cast<Transfer*>(self);
      Result<WebAnswer> outcome = outcome_of(transfer, code);
      end(transfer, std::move(outcome));
    }
  }

  void drop_abandoned() {
    std::vector<Transfer*> gone;
    for (const auto& [key, transfer] : transfers_) {
      if (transfer->pending->is_abandoned) {
        gone.push_back(key);
      }
    }
    for (Transfer* transfer : gone) {
      end(*transfer, Error::cancelled("given up"));
    }
  }

  void end(Transfer& transfer, Result<WebAnswer> outcome) {
    ::curl_multi_remove_handle(multi_, transfer.easy);
    loop_.post([pending = transfer.pending, outcome = std::move(outcome)]() mutable {
      pending->result.emplace(std::move(outcome));
      pending->done.notify_all();
    });
    transfers_.erase(&transfer);
  }

  async::Loop& loop_;
  const std::string authorities_file_;
  CURLM* multi_ = nullptr;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Transfer>> fresh_;
  bool is_ending_ = false;
  // The thread's own.
  std::map<Transfer*, std::unique_ptr<Transfer>> transfers_;
  std::thread thread_;
};

WebClient::WebClient(async::Loop& loop, Options options)
    : loop_(loop), worker_(std::make_unique<Worker>(loop, std::move(options.authorities_file))) {}

WebClient::~WebClient() = default;

async::Task<WebAnswer> WebClient::post(WebRequest request) {
  co_return co_await ask(Method::post, std::move(request));
}

async::Task<WebAnswer> WebClient::get(WebRequest request) {
  co_return co_await ask(Method::get, std::move(request));
}

async::Task<WebAnswer> WebClient::ask(Method method, WebRequest request) {
  for (const auto& [name, value] : request.headers) {
    if ((name + value).find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
      co_return Error::invalid_argument("a header has bytes that no header may have");
    }
  }
  auto pending = std::make_shared<Pending>();
  auto transfer = std::make_unique<Transfer>();
  transfer->pending = pending;
  transfer->is_post = method == Method::post;
  transfer->request = std::move(request);
  worker_->start(std::move(transfer));
  while (!pending->result) {
    const Result<bool> woken = co_await pending->done.wait(Instant::max());
    if (!woken) {
      pending->is_abandoned = true;
      worker_->wake();
      co_return woken.error();
    }
  }
  co_return std::move(*pending->result);
}

}  // namespace thaw::net
