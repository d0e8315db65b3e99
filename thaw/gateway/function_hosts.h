// SPDX-License-Identifier: Apache-2.0
//
// FunctionHosts: which hosts are functions' own. They are LABEL.DOMAIN with one of the domains that
// this server has for functions, and nothing else: a host name that the server itself is reached
// by, or an address, is never taken for a function's, whatever its users name things. Values only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::gateway {

// A label is the first part of a host name, and what a user may choose of it: one DNS label of
// lower-case letters, digits and single dashes, that is no number (which could be part of an
// address) and no name that servers are reached by. invalid_argument says which of it fails.
Result<void> check_label(const std::string& label);
// Names of hosts are the same in all cases.
std::string lower_case(std::string_view text);

class FunctionHosts {
 public:
  FunctionHosts() = default;
  // `own_authority`: host:port at which the server itself is reached. `domain`: empty for none;
  // "localhost" always is one, since its names never leave a machine.
  FunctionHosts(std::string_view own_authority, const std::string& domain);

  // The label of a function's own host; nullopt for every other host. It need not exist.
  std::optional<std::string> label_of(std::string_view authority) const;

 private:
  std::string own_host_;
  std::vector<std::string> domains_;
};

// invalid_argument for what cannot be the domain of functions, such as an address.
Result<void> check_domain(const std::string& domain);

}  // namespace thaw::gateway
