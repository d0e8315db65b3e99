// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/web_origin.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "thaw/gateway/function_hosts.h"

namespace thaw::gateway {

namespace {

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) {
    text.remove_prefix(1);
  }
  while (text.ends_with(' ') || text.ends_with('\t')) {
    text.remove_suffix(1);
  }
  return text;
}

struct Address {
  int family = 0;  // 0: none
  std::array<std::uint8_t, 16> bytes{};
};

Address address_from(std::string_view text) {
  Address address;
  if (text.find('\0') != std::string_view::npos) {
    return address;  // the calls below read no further
  }
  const std::string copy(text);
  if (::inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) {
    address.family = AF_INET;
  } else if (::inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) {
    address.family = AF_INET6;
  }
  return address;
}

// "1.2.3.4:80", "1.2.3.4", "[::1]:80" and "::1" without the port and the brackets.
std::string_view without_port(std::string_view text) {
  if (text.starts_with('[')) {
    return text.substr(1, text.find(']') - 1);
  }
  const std::size_t first = text.find(':');
  const bool has_port = first != std::string_view::npos && first == text.rfind(':');
  return has_port ? text.substr(0, first) : text;
}

// The last one that the nearest proxy has written.
std::string_view last_of(const net::Headers& headers, std::string_view name) {
  std::string_view found;
  for (const auto& [field, value] : headers.fields) {
    found = field == name ? std::string_view(value) : found;
  }
  return trimmed(found.substr(found.rfind(',') + 1));
}

bool same_prefix(const std::array<std::uint8_t, 16>& a, const std::array<std::uint8_t, 16>& b,
                 int bits) {
  for (int i = 0; i < bits; ++i) {
    const auto at = static_cast<std::size_t>(i / 8);
    if (((a[at] ^ b[at]) >> (7 - i % 8) & 1) != 0) {
      return false;
    }
  }
  return true;
}

// Nothing but what a host and a port are made of, so that no proxy is talked into a header.
bool is_authority(std::string_view text) {
  return !text.empty() && text.size() <= 255 &&
         text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
             "-.:[]_") == std::string_view::npos;
}

// "https:" and the like.
bool is_scheme(std::string_view text) {
  constexpr std::string_view letters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";
  return text.size() > 1 && text.ends_with(':') &&
         text.find_first_not_of(letters) == text.size() - 1;
}

bool is_below(std::string_view path, std::string_view root) {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/' ||
                                    path[root.size()] == '?' || path[root.size()] == '#');
}

}  // namespace

Result<TrustedProxies> TrustedProxies::parse(const std::vector<std::string>& networks) {
  TrustedProxies proxies;
  for (const std::string& text : networks) {
    const std::size_t slash = text.find('/');
    const Address address = address_from(text.substr(0, slash));
    const int most = address.family == AF_INET ? 32 : 128;
    int bits = most;
    bool is_number = true;
    if (slash != std::string::npos) {
      const char* end = text.data() + text.size();
      const auto [rest, failure] = std::from_chars(text.data() + slash + 1, end, bits);
      is_number = failure == std::errc() && rest == end;
    }
    if (address.family == 0 || !is_number || bits < 0 || bits > most) {
      return Error::invalid_argument("'" + text.substr(0, 100) +
                                     "' is no address and no network such as " + "10.0.0.0/8");
    }
    proxies.networks_.push_back({address.family, address.bytes, bits});
  }
  return proxies;
}

bool TrustedProxies::trusts(std::string_view text) const {
  const Address address = address_from(text);
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
    return address.family == network.family &&
           same_prefix(address.bytes, network.bytes, network.bits);
  });
}

WebOrigin TrustedProxies::origin_of(const net::HttpRequest& request) const {
  return origin_of(request.peer, {request.scheme, request.authority, request.peer.address},
                   request.headers);
}

WebOrigin TrustedProxies::origin_of(const net::Peer& peer, WebOrigin origin,
                                    const net::Headers& headers) const {
  if (peer.transport != net::Peer::Transport::tcp || !trusts(without_port(peer.address))) {
    return origin;
  }
  const std::string proto = lower_case(last_of(headers, "x-forwarded-proto"));
  if (proto == "https" || proto == "wss") {
    origin.scheme = "https";
  } else if (proto == "http" || proto == "ws") {
    origin.scheme = "http";
  }
  if (const std::string_view host = last_of(headers, "x-forwarded-host"); is_authority(host)) {
    origin.authority = host;
  }
  // From the nearest outwards: the first that no trusted proxy is.
  std::string chain;
  for (const auto& [name, value] : headers.fields) {
    chain += name == "x-forwarded-for" ? (chain.empty() ? value : "," + value) : std::string();
  }
  std::string_view rest = chain;
  while (!rest.empty()) {
    const std::size_t comma = rest.rfind(',');
    const std::string_view one =
        without_port(trimmed(comma == std::string_view::npos ? rest : rest.substr(comma + 1)));
    if (address_from(one).family == 0) {
      break;  // nobody further out can be believed
    }
    origin.client = one.find(':') == std::string_view::npos ? std::string(one) + ":0"
                                                            : "[" + std::string(one) + "]:0";
    if (!trusts(one) || comma == std::string_view::npos) {
      break;
    }
    rest = rest.substr(0, comma);
  }
  return origin;
}

bool is_forwarded_header(std::string_view name) {
  return name == "x-forwarded-for" || name == "x-forwarded-proto" || name == "x-forwarded-host" ||
         name == "x-forwarded-port" || name == "x-real-ip" || name == "forwarded";
}

net::Headers forwarded_headers(const WebOrigin& origin) {
  net::Headers headers;
  const std::string_view client =
      std::string_view(origin.client).substr(0, origin.client.rfind(':'));
  headers.add("x-forwarded-for", std::string(without_port(client)));
  headers.add("x-forwarded-proto", origin.scheme);
  headers.add("x-forwarded-host", origin.authority);
  return headers;
}

void keep_below(const WebOrigin& origin, const std::string& root_path, net::Headers& headers) {
  if (root_path.empty()) {
    return;
  }
  for (auto& [name, value] : headers.fields) {
    if (name != "location" && name != "content-location") {
      continue;
    }
    // SCHEME://HOST/PATH, //HOST/PATH or /PATH; a path that begins elsewhere is relative already.
    std::size_t path = 0;
    const std::size_t slashes = value.find("//");
    const bool has_host = slashes == 0 || (slashes != std::string::npos &&
                                           is_scheme(std::string_view(value).substr(0, slashes)));
    if (has_host) {
      path = std::min(value.find_first_of("/?#", slashes + 2), value.size());
      const std::string host = value.substr(slashes + 2, path - slashes - 2);
      if (lower_case(host) != lower_case(origin.authority)) {
        continue;
      }
    } else if (!value.starts_with('/')) {
      continue;
    }
    const std::string_view at = std::string_view(value).substr(path);
    // Another function's path is another's, and not a path of this application.
    const std::string_view above = std::string_view(root_path).substr(0, root_path.rfind('/') + 1);
    if (!is_below(at, root_path) && (above.size() < 2 || !at.starts_with(above))) {
      value.insert(path, at.starts_with('/') ? root_path : root_path + "/");
    }
  }
}

}  // namespace thaw::gateway
