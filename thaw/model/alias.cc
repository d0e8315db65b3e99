// SPDX-License-Identifier: Apache-2.0
#include "thaw/model/alias.h"

#include <set>

namespace thaw::model {

namespace {

constexpr std::size_t longest_name = 63;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

AliasId alias_id(const FunctionId& function, const std::string& name) {
  return AliasId(function.str() + "/" + name);
}

Result<void> check_alias_name(const std::string& name) {
  const bool has_ends =
      !name.empty() && is_letter_or_digit(name.front()) && is_letter_or_digit(name.back());
  const bool has_letters =
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  if (!has_ends || !has_letters || name.size() > longest_name) {
    return Error::invalid_argument("'" + name.substr(0, 80) +
                                   "' cannot be the name of an alias: give 1 to 63 lower-case "
                                   "letters, digits and dashes, with no dash at its ends");
  }
  if (name.starts_with(version_prefix)) {
    return Error::invalid_argument("'" + name +
                                   "' cannot be the name of an alias: names of versions begin "
                                   "with " +
                                   std::string(version_prefix));
  }
  return ok();
}

Result<void> check(const Alias& alias) {
  THAW_TRY_VOID(check_alias_name(alias.name));
  if (alias.versions.empty() || alias.versions.size() > most_versions_of_an_alias) {
    return Error::invalid_argument("the alias " + alias.name + " needs 1 to " +
                                   std::to_string(most_versions_of_an_alias) +
                                   " versions, and got " + std::to_string(alias.versions.size()));
  }
  std::set<std::string> seen;
  for (const WeightedVersion& one : alias.versions) {
    if (one.weight < 1 || one.weight > largest_weight) {
      return Error::invalid_argument(
          "the weight of " + one.version.substr(0, 80) + " in the alias " + alias.name +
          " is a whole number from 1 to " + std::to_string(largest_weight));
    }
    if (one.version.empty() || !seen.insert(one.version).second) {
      return Error::invalid_argument("the alias " + alias.name + " names the version '" +
                                     one.version.substr(0, 80) + "' twice, or one without a name");
    }
  }
  return ok();
}

}  // namespace thaw::model
