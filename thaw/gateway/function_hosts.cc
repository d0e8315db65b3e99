// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/function_hosts.h"

#include <algorithm>
#include <array>

namespace thaw::gateway {

namespace {

constexpr std::size_t longest_label = 63;
constexpr std::size_t longest_domain = 190;  // with a label and dots it is still a host name
// First parts of the names that servers are reached by, behind proxies too.
constexpr std::array<std::string_view, 6> reserved = {"thaw",  "localhost", "www",
                                                      "admin", "console",   "broadcasthost"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Of host names: letters, digits and dashes, with a letter or digit at both ends.
bool is_dns_label(std::string_view text) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-'; };
  return !text.empty() && text.size() <= longest_label && text.front() != '-' &&
         text.back() != '-' && std::all_of(text.begin(), text.end(), fits);
}

// Without the port and the dot of the root: "A.example.com.:80" is "a.example.com".
std::string host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    return {};  // an IPv6 address
  }
  std::string_view host = authority.substr(0, authority.find(':'));
  if (host.ends_with('.')) {
    host.remove_suffix(1);
  }
  return lower_case(host);
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

Result<void> check_label(const std::string& label) {
  const std::string shown = "'" + label.substr(0, 80) + "' ";
  if (!is_dns_label(label) || label.find("--") != std::string::npos) {
    return Error::invalid_argument(
        shown +
        "cannot be a part of a host name: give 1 to 63 letters, digits and "
        "single dashes, with a letter or digit at both ends");
  }
  if (std::all_of(label.begin(), label.end(), is_digit)) {
    return Error::invalid_argument(shown +
                                   "is a number and could be part of an address; give a name");
  }
  if (std::find(reserved.begin(), reserved.end(), label) != reserved.end()) {
    return Error::invalid_argument(shown + "is reserved for the server itself; give another name");
  }
  return ok();
}

Result<void> check_domain(const std::string& domain) {
  const Error refused = Error::invalid_argument(
      "'" + domain.substr(0, 80) +
      "' cannot be the domain of functions: give a name of lower-case letters, digits, dashes and "
      "dots, such as fn.example.com");
  std::string_view rest = domain;
  std::string_view last;
  while (!rest.empty()) {
    last = rest.substr(0, rest.find('.'));
    if (!is_dns_label(last)) {
      return refused;
    }
    rest.remove_prefix(last.size());
    if (rest == ".") {
      return refused;
    }
    rest.remove_prefix(rest.empty() ? 0 : 1);
  }
  const bool is_number = std::all_of(last.begin(), last.end(), is_digit);  // an address ends so
  return domain.empty() || domain.size() > longest_domain || is_number ? Result<void>(refused)
                                                                       : ok();
}

FunctionHosts::FunctionHosts(std::string_view own_authority, const std::string& domain)
    : own_host_(host_of(own_authority)), domains_{"localhost"} {
  if (!domain.empty() && domain != "localhost") {
    domains_.push_back(domain);
  }
}

std::optional<std::string> FunctionHosts::label_of(std::string_view authority) const {
  const std::string host = host_of(authority);
  if (host == own_host_) {
    return std::nullopt;
  }
  const std::size_t dot = host.find('.');
  if (dot == std::string::npos) {
    return std::nullopt;
  }
  std::string label = host.substr(0, dot);
  const std::string domain = host.substr(dot + 1);
  const bool is_reserved = std::find(reserved.begin(), reserved.end(), label) != reserved.end();
  if (is_reserved || !is_dns_label(label) ||
      std::find(domains_.begin(), domains_.end(), domain) == domains_.end()) {
    return std::nullopt;
  }
  return label;
}

}  // namespace thaw::gateway
