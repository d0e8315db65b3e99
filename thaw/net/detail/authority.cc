// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/authority.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

namespace thaw::net::detail {

namespace {

// Longer than any name that can be resolved, with its port.
constexpr std::size_t longest_authority = 270;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// "_" is in no host's name by the book and in many by use.
bool is_name_char(char c) {
  return is_letter_or_digit(c) || c == '.' || c == '-' || c == '_' || c == '~';
}

bool is_port(std::string_view text) {
  constexpr std::size_t most_digits = 5;
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return text.size() <= most_digits && error == std::errc() && end == text.data() + text.size() &&
         port <= 65535;
}

bool is_ipv6(std::string_view text) {
  in6_addr bits{};
  // The call reads no further than to a NUL.
  return text.find('\0') == std::string_view::npos &&
         inet_pton(AF_INET6, std::string(text).c_str(), &bits) == 1;
}

// How long "http://" or "https://" is in front of it; 0 if neither is (RFC 9110, 4.2.3: in any
// case).
std::size_t scheme_size(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    const std::string_view front = target.substr(0, scheme.size());
    const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
    if (std::equal(front.begin(), front.end(), scheme.begin(), scheme.end(), same)) {
      return scheme.size();
    }
  }
  return 0;
}

// What an absolute target names; nullopt of another one.
std::optional<std::string_view> absolute_authority(std::string_view target) {
  const std::size_t start = scheme_size(target);
  if (start == 0) {
    return std::nullopt;
  }
  return target.substr(start, std::min(target.find_first_of("/?", start), target.size()) - start);
}

}  // namespace

Result<void> check_authority(std::string_view text, std::string_view what) {
  const auto refusal = [what](std::string_view why) {
    return Error::invalid_argument(std::string(what) + " " + std::string(why));
  };
  if (text.empty()) {
    return refusal("is empty");
  }
  if (text.size() > longest_authority) {
    return refusal("is longer than any host");
  }
  if (text.find('@') != std::string_view::npos) {
    return refusal("has a user in front of its host");
  }
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos || !is_ipv6(text.substr(1, end - 1))) {
      return refusal("has brackets around what is no IPv6 address");
    }
    port = text.substr(end + 1);
  } else {
    const std::string_view name = text.substr(0, text.find(':'));
    if (name.empty()) {
      return refusal("has a port and no host");
    }
    if (!std::all_of(name.begin(), name.end(), is_name_char)) {
      return refusal("has characters that no host has");
    }
    port = text.substr(name.size());
  }
  // "host:" is a host without a port (RFC 3986, 3.2.3).
  if (port.empty() || port == ":") {
    return ok();
  }
  if (!port.starts_with(':') || !is_port(port.substr(1))) {
    return refusal("has a port that is no number up to 65535");
  }
  return ok();
}

Result<void> check_target(std::string_view method, std::string_view target) {
  if (target.starts_with('/') || method == "CONNECT" || (target == "*" && method == "OPTIONS")) {
    return ok();
  }
  if (const auto authority = absolute_authority(target)) {
    return check_authority(*authority, "the authority of the request's target");
  }
  return Error::invalid_argument("the request's target is neither a path nor an http address");
}

void take_absolute_target(HttpRequest& request) {
  const std::string_view target = request.target;
  const auto authority = absolute_authority(target);
  if (!authority) {
    return;
  }
  request.authority = *authority;
  const auto path = static_cast<std::size_t>(authority->data() + authority->size() - target.data());
  std::string rest(target.substr(path));
  request.target = rest.starts_with('/') ? std::move(rest) : "/" + rest;
}

}  // namespace thaw::net::detail
