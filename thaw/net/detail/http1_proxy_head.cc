// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/content_length.h"
#include "thaw/net/detail/http1_head.h"
#include "thaw/net/detail/http1_proxy.h"

namespace thaw::net::detail {

namespace {

// A header that `connection` names is about that connection too. Both may be thousands: the names
// are put in order once, and not gone through for each header.
class NamedByConnection {
 public:
  explicit NamedByConnection(const Headers& headers) : names_(tokens_of(headers, "connection")) {}
  bool has(std::string_view name) const {
    return std::binary_search(names_.begin(), names_.end(), name);
  }

 private:
  std::vector<std::string> names_;
};

bool asks_for_websocket(const HttpRequest& request) {
  return request.method == "GET" && request.version == "1.1" &&
         has_token(request.headers, "connection", "upgrade") &&
         has_token(request.headers, "upgrade", "websocket");
}

}  // namespace

bool hides_its_body(const HttpRequest& request) {
  return request.version == "2" && !request.headers.find("content-length") &&
         !request.headers.find("transfer-encoding");
}

Result<ProxiedHead> proxied_head(const HttpRequest& request, const ProxyOptions& options) {
  ProxiedHead head;
  head.target = options.target.empty() ? std::string_view(request.target) : options.target;
  head.upgrade = asks_for_websocket(request);
  using Body = ProxiedHead::Body;
  THAW_TRY(const std::optional<std::uint64_t> length, content_length_of(request.headers));
  if (length) {
    head.length = *length;
    head.body = Body::length;
  } else if (request.headers.find("transfer-encoding")) {
    head.body = Body::chunked;
  } else if (hides_its_body(request)) {
    head.body = Body::unknown;
  }
  const NamedByConnection hops(request.headers);
  head.headers.reserve(request.headers.fields.size() + options.add_headers.fields.size() + 4);
  head.headers.emplace_back("host", request.authority);
  for (const auto& [name, value] : request.headers.fields) {
    // `expect` is answered by our own side; what the caller adds replaces what the client claims.
    if (is_hop_by_hop(name) || name == "host" || name == "expect" || name == "content-length" ||
        hops.has(name) || options.add_headers.find(name) ||
        (options.withholds && options.withholds(name))) {
      continue;
    }
    head.headers.emplace_back(name, value);
  }
  for (const auto& [name, value] : options.add_headers.fields) {
    head.headers.emplace_back(name, value);
  }
  if (head.upgrade) {
    head.headers.emplace_back("connection", "upgrade");
    head.headers.emplace_back("upgrade", "websocket");
  }
  return head;
}

Result<std::string> render(const ProxiedHead& head, const HttpRequest& request) {
  THAW_TRY_VOID(check_request_line(request.method, head.target));
  HeadWriter text(request.method, head.target);
  for (const auto& [name, value] : head.headers) {
    THAW_TRY_VOID(text.add_checked(name, value));
  }
  if (head.body == ProxiedHead::Body::length) {
    text.add("content-length", std::to_string(head.length));
  } else if (head.body == ProxiedHead::Body::chunked) {
    text.add("transfer-encoding", "chunked");
  }
  return std::move(text).end();
}

Headers proxied_answer(Headers headers) {
  const NamedByConnection hops(headers);
  std::erase_if(headers.fields, [&hops](const auto& field) {
    return hops.has(field.first) || is_hop_by_hop(field.first);
  });
  return headers;
}

}  // namespace thaw::net::detail
