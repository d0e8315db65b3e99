// SPDX-License-Identifier: Apache-2.0
//
// An alias is a name for versions of a function, with weights: each request to it gets one of them.
// Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/model/ids.h"

namespace thaw::model {

struct WeightedVersion {
  std::string version;
  std::uint32_t weight = 1;
  friend bool operator==(const WeightedVersion&, const WeightedVersion&) = default;
};

struct Alias {
  AliasId id;  // of its function and its name
  FunctionId function;
  WorkspaceId workspace;
  std::string name;
  std::vector<WeightedVersion> versions;
};

// Where requests go that name neither a version nor an alias; until somebody gives it versions, it
// is whichever version is live.
inline constexpr const char* live_alias = "live";

constexpr std::uint32_t largest_weight = 10'000;
constexpr std::size_t most_aliases = 100;  // of a function
constexpr std::size_t most_versions_of_an_alias = 100;
// What names of versions begin with, and names of aliases do not.
inline constexpr const char* version_prefix = "de-";

AliasId alias_id(const FunctionId& function, const std::string& name);

// invalid_argument names what of it is wrong: a name of 1 to 63 letters [a-z0-9-], which begins and
// ends with a letter or a digit and is no version's; versions that are there once each, with
// weights from 1 to `largest_weight`.
Result<void> check_alias_name(const std::string& name);
Result<void> check(const Alias& alias);

}  // namespace thaw::model
