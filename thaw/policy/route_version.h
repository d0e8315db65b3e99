// SPDX-License-Identifier: Apache-2.0
//
// Which version a request to an alias gets, and how an alias gives a part of its requests to a
// version that is new. Pure: chance comes as an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "thaw/model/alias.h"

namespace thaw::policy {

// `random`: any of its values is as likely as any other. Each version gets its weight's part of
// them; one without weight gets none. nullptr: none has weight.
const model::WeightedVersion* route_version(const std::vector<model::WeightedVersion>& versions,
                                            std::uint64_t random);

// `version` gets `percent` (1 to 100) of the requests; those that were there share the rest as they
// did. Where there is nobody to share with, it gets all of them. Weights come from the range of
// aliases; whose part is less than the smallest weight leaves, and so does the first of them where
// an alias would name more versions than it may.
std::vector<model::WeightedVersion> give_share(const std::vector<model::WeightedVersion>& before,
                                               const std::string& version, unsigned percent);

// Of `all` containers that are kept without a call, how many each version keeps: those that get
// requests have one each, as far as there are so many, those with more weight first; the others go
// by weight. In the order of `versions`.
std::vector<std::size_t> spread(const std::vector<model::WeightedVersion>& versions,
                                std::size_t all);

}  // namespace thaw::policy
