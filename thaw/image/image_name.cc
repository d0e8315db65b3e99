// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/image_name.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>

namespace thaw::image {

namespace {

constexpr std::size_t longest_name = 1'000;
constexpr std::size_t longest_path = 255;
constexpr std::size_t longest_tag = 128;

Error bad_name(std::string_view text, const std::string& why) {
  return Error::invalid_argument("\"" + std::string(text.substr(0, 200)) +
                                 "\" is no name of an image: " + why);
}

bool is_lower(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Words of a-z and 0-9 with separators between them: "my_app", "a--b", "x.y".
bool is_component(std::string_view text) {
  return !text.empty() && is_lower(text.front()) && is_lower(text.back()) &&
         text.find("..") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_lower(c) || c == '.' || c == '_' || c == '-'; });
}

bool is_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

// Other tools write these in front of names without a host, in ours those have none.
bool stands_for_none(std::string_view host) {
  return host == "docker.io" || host == "index.docker.io";
}

}  // namespace

std::string ImageName::str() const {
  return (host.empty() ? "" : host + "/") + path + (tag.empty() ? "" : ":" + tag) +
         (digest.empty() ? "" : "@" + digest);
}

bool is_repository_path(std::string_view text) {
  if (text.size() > longest_path) {
    return false;
  }
  while (true) {
    const auto slash = text.find('/');
    if (!is_component(text.substr(0, slash))) {
      return false;
    }
    if (slash == std::string_view::npos) {
      return true;
    }
    text.remove_prefix(slash + 1);
  }
}

bool is_tag(std::string_view text) {
  return !text.empty() && text.size() <= longest_tag && text.front() != '.' &&
         text.front() != '-' && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
         });
}

bool is_registry_host(std::string_view text) {
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) {
      return false;
    }
    host = text.substr(1, close - 1);
    port = text.substr(close + 1);
    const bool is_v6 =
        !host.empty() && host.size() < 46 &&
        std::all_of(host.begin(), host.end(), [](unsigned char c) {
          return (std::isxdigit(c) != 0 && std::isupper(c) == 0) || c == ':' || c == '.';
        });
    return is_v6 && (port.empty() || (port.front() == ':' && is_port(port.substr(1))));
  }
  if (const auto colon = host.find(':'); colon != std::string_view::npos) {
    port = host.substr(colon + 1);
    host = host.substr(0, colon);
    if (!is_port(port)) {
      return false;
    }
  }
  return !host.empty() && host.size() <= 253 && is_lower(host.front()) && is_lower(host.back()) &&
         host.find("..") == std::string_view::npos &&
         std::all_of(host.begin(), host.end(),
                     [](char c) { return is_lower(c) || c == '.' || c == '-'; });
}

bool is_digest(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  return text.starts_with(prefix) && text.size() == prefix.size() + 64 &&
         text.find_first_not_of("0123456789abcdef", prefix.size()) == std::string_view::npos;
}

Result<ImageName> parse_image_name(std::string_view text) {
  if (text.empty() || text.size() > longest_name) {
    return bad_name(text, "it has " + std::to_string(text.size()) + " bytes");
  }
  ImageName name;
  std::string_view rest = text;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    name.digest = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!is_digest(name.digest)) {
      return bad_name(text, "what stands behind @ must be sha256: and 64 hexadecimal digits");
    }
  }
  if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
    std::string host(rest.substr(0, slash));
    std::transform(host.begin(), host.end(), host.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (host == "localhost" || host.find_first_of(".:") != std::string::npos) {
      if (!is_registry_host(host)) {
        return bad_name(text, "\"" + host + "\" is no host with or without a port");
      }
      name.host = stands_for_none(host) ? "" : host;
      rest.remove_prefix(slash + 1);
    }
  }
  if (const auto colon = rest.find(':'); colon != std::string_view::npos) {
    name.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!is_tag(name.tag)) {
      return bad_name(text, "its tag has other bytes than letters, digits, _ . and -");
    }
  } else if (name.digest.empty()) {
    name.tag = "latest";
  }
  name.path = rest;
  if (!is_repository_path(name.path)) {
    return bad_name(text,
                    "its path has other bytes than lower-case letters, digits, and . _ - "
                    "between them");
  }
  return name;
}

}  // namespace thaw::image
