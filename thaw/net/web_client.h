// SPDX-License-Identifier: Apache-2.0
//
// WebClient: single HTTP and HTTPS requests to servers of others, which may be anybody's: an
// address is connected to only if the request allows it, redirects are not followed (who asks may),
// no proxy of the environment is used, certificates are verified with the machine's roots, and time
// and bytes are bounded. libcurl drives them all, on one thread of its own; everything else is on
// the loop's. For requests to this machine's containers there is http_client.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/async/loop.h"
#include "thaw/async/task.h"
#include "thaw/net/http.h"
#include "thaw/net/ip_address.h"

namespace thaw::net {

struct WebUrl {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case, no brackets
  std::uint16_t port = 0;
  std::string text;  // the whole, without a fragment

  // "https://host:443"
  std::string origin() const;
};
// invalid_argument says what is wrong: another scheme, a user's name, bytes that no URL has.
Result<WebUrl> parse_web_url(std::string_view text);
// Where a Location leads that stands in an answer of `base`: a whole URL, or a part of one.
// invalid_argument as above.
Result<WebUrl> join_web_url(const WebUrl& base, std::string_view location);

// Takes the body of an answer of success (2xx) piece by piece, on the client's thread, where it
// must not wait for others. It may be called once more after its request was given up.
class BodySink {
 public:
  virtual ~BodySink() = default;
  // The head, before any piece. false, here and below: that is enough, and no error.
  virtual bool begin(int status, const Headers& headers) = 0;
  virtual bool take(std::string_view piece) = 0;
};

struct WebRequest {
  WebUrl url;
  std::vector<IpAddress> addresses;  // of the host; tried by turns
  // Asked before each connection, on the client's thread, whatever `addresses` has.
  std::function<bool(const IpAddress&)> may_connect;
  // kept: one that an earlier request to the same host has left may do; own: none before and none
  // after, for requests that allow other addresses than those before them.
  enum class Connection { kept, own } connection = Connection::kept;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // of a POST
  Duration limit = std::chrono::seconds(30);
  // So long below 1 KiB a second ends it as deadline_exceeded; 0: only `limit` does. Whole seconds.
  Duration silence{};
  std::size_t answer_bytes = 16u << 10;  // what is read of the answer's body; then it is let go
  std::shared_ptr<BodySink> sink;        // gets the body of a success in the place of WebAnswer
};

struct WebAnswer {
  int status = 0;
  // Who has answered: of a kept connection not one of the request's addresses perhaps.
  std::optional<IpAddress> peer;
  Headers headers;
  std::string body;
};

class WebClient {
 public:
  struct Options {
    // Certificates of authorities, beside the machine's own; empty: none.
    std::string authorities_file;
  };
  WebClient(async::Loop& loop, Options options);
  // Requests under way end as cancelled. Joins the thread.
  ~WebClient();
  WebClient(const WebClient&) = delete;
  WebClient& operator=(const WebClient&) = delete;

  // unavailable: no connection, or what came is no HTTP; permission_denied: its certificate, or an
  // address that may not be connected to; deadline_exceeded.
  async::Task<WebAnswer> post(WebRequest request);
  // The same; a body of `request` is not sent.
  async::Task<WebAnswer> get(WebRequest request);

 private:
  class Worker;
  enum class Method { get, post };
  async::Task<WebAnswer> ask(Method method, WebRequest request);

  async::Loop& loop_;
  std::unique_ptr<Worker> worker_;
};

}  // namespace thaw::net
