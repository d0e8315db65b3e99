// SPDX-License-Identifier: Apache-2.0
//
// CogLabels: what an image that Cog has built says in its labels of the model in it. They are their
// maker's: bounded, and taken for nothing but what they say. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::dialect::native {

struct CogLabels {
  std::string schema;     // JSON; empty: it is in a file of the image, if at all
  std::string made_with;  // version of Cog; empty: not said
  std::uint32_t inputs = 1;
  bool needs_gpu = false;
  bool trains = false;
};

// Where Cog's builds put the schema in an image.
inline constexpr const char* cog_schema_path = "/src/.cog/openapi_schema.json";

// nullopt: the labels are of no image of Cog. invalid_argument names the label that is wrong.
// `env`: variables of the image, "NAME=value", which say more than the labels where they differ.
Result<std::optional<CogLabels>> read_cog_labels(const std::map<std::string, std::string>& labels,
                                                 const std::vector<std::string>& env);

}  // namespace thaw::dialect::native
