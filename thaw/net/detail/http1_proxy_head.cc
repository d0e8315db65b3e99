// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <iterator>

#include "thaw/net/detail/http1_head.h"
#include "thaw/net/detail/http1_proxy.h"

namespace thaw::net::detail {

namespace {

// A header that `connection` names is about that connection too.
bool named_by_connection(const Headers& headers, std::string_view name) {
  return has_token(headers, "connection", name);
}

bool asks_for_websocket(const HttpRequest& request) {
  return request.method == "GET" && request.version == "1.1" &&
         has_token(request.headers, "connection", "upgrade") &&
         has_token(request.headers, "upgrade", "websocket");
}

}  // namespace

Result<ProxiedHead> proxied_head(const HttpRequest& request, const ProxyOptions& options) {
  ProxiedHead head;
  head.target = options.target.empty() ? request.target : options.target;
  head.upgrade = asks_for_websocket(request);
  using Body = ProxiedHead::Body;
  if (const auto length = request.headers.find("content-length")) {
    const auto [end, error] =
        std::from_chars(length->data(), length->data() + length->size(), head.length);
    if (error != std::errc() || end != length->data() + length->size()) {
      return Error::invalid_argument("the content-length is not a number");
    }
    head.body = Body::length;
  } else if (request.headers.find("transfer-encoding")) {
    head.body = Body::chunked;
  } else if (request.version == "2") {
    head.body = Body::unknown;
  }
  const bool names_others = request.headers.find("connection").has_value();
  head.headers.fields.reserve(request.headers.fields.size() + options.add_headers.fields.size() +
                              4);
  head.headers.add("host", request.authority);
  for (const auto& [name, value] : request.headers.fields) {
    // `expect` is answered by our own side; what the caller adds replaces what the client claims.
    if (is_hop_by_hop(name) || name == "host" || name == "expect" || name == "content-length" ||
        (names_others && named_by_connection(request.headers, name)) ||
        options.add_headers.find(name) || (options.withholds && options.withholds(name))) {
      continue;
    }
    head.headers.add(name, value);
  }
  for (const auto& [name, value] : options.add_headers.fields) {
    head.headers.add(name, value);
  }
  if (head.upgrade) {
    head.headers.add("connection", "upgrade");
    head.headers.add("upgrade", "websocket");
  }
  return head;
}

Result<std::string> render(const ProxiedHead& head, const HttpRequest& request) {
  THAW_TRY_VOID(check_request_line(request.method, head.target));
  HeadWriter text(request.method, head.target);
  for (const auto& [name, value] : head.headers.fields) {
    THAW_TRY_VOID(text.add_checked(name, value));
  }
  if (head.body == ProxiedHead::Body::length) {
    text.add("content-length", std::to_string(head.length));
  } else if (head.body == ProxiedHead::Body::chunked) {
    text.add("transfer-encoding", "chunked");
  }
  return std::move(text).end();
}

std::string last_chunk(const Headers& trailers) {
  // What decides how a message is framed, routed or trusted has been decided by then (RFC 9110,
  // 6.5.1).
  constexpr std::string_view too_late[] = {"content-length", "content-type",  "content-encoding",
                                           "content-range",  "host",          "authorization",
                                           "cookie",         "cache-control", "expect",
                                           "max-forwards",   "range",         "set-cookie"};
  HeadWriter text(std::string_view("0\r\n"));
  for (const auto& [name, value] : trailers.fields) {
    if (!is_hop_by_hop(name) && !name.starts_with("x-forwarded-") && name != "forwarded" &&
        std::find(std::begin(too_late), std::end(too_late), name) == std::end(too_late)) {
      (void)text.add_checked(name, value);
    }
  }
  return std::move(text).end();
}

Headers proxied_answer(Headers headers) {
  Headers kept;
  kept.fields.reserve(headers.fields.size());
  const bool names_others = headers.find("connection").has_value();
  for (auto& [name, value] : headers.fields) {
    if (!is_hop_by_hop(name) && !(names_others && named_by_connection(headers, name))) {
      kept.add(std::move(name), std::move(value));
    }
  }
  return kept;
}

}  // namespace thaw::net::detail
