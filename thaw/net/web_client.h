// SPDX-License-Identifier: Apache-2.0
//
// WebClient: single HTTP and HTTPS requests to servers of others, which may be anybody's: an
// address is connected to only if the request allows it, redirects are not followed, no proxy of
// the environment is used, certificates are verified with the machine's roots, and time and bytes
// are bounded. libcurl drives them all, on one thread of its own; everything else is on the loop's.
// For requests to this machine's containers there is http_client.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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

struct WebRequest {
  WebUrl url;
  std::vector<IpAddress> addresses;  // of the host; tried by turns
  // Asked before each connection, on the client's thread, whatever `addresses` has.
  std::function<bool(const IpAddress&)> may_connect;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // POST
  Duration limit = std::chrono::seconds(30);
  std::size_t answer_bytes = 16u << 10;  // what is read of the answer's body; then it is let go
};

struct WebAnswer {
  int status = 0;
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

 private:
  class Worker;
  async::Loop& loop_;
  std::unique_ptr<Worker> worker_;
};

}  // namespace thaw::net
