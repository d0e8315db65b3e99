// SPDX-License-Identifier: Apache-2.0
//
// CogPlan: how a Cog folder becomes an image: the lines of a Dockerfile that make of its cog.yaml
// what `python -m cog.server.http` of the cog package serves, with the schema of its inputs made as
// a step of the build. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thaw/cli/cog_file.h"

namespace thaw::cli {

// Where the build leaves the schema, in the image.
inline constexpr const char* cog_schema_path = "/src/.cog/openapi_schema.json";

// `paths`: of the folder's files, "/predict.py". `requirements`: the text of the file of that name,
// if there is one. invalid_argument: a file that cog.yaml names is not sent.
Result<std::string> cog_dockerfile(const CogFile& file, const std::vector<std::string>& paths,
                                   std::string_view requirements);

// Whose model it is to be, as `thaw push` is told: "owner/name:tag"; owner and tag may be empty.
struct ModelName {
  std::string owner;
  std::string name;
  std::string tag;
};
// `given`, or if that is empty what cog.yaml calls its image, or else the folder.
Result<ModelName> cog_model_name(const std::string& given, const CogFile& file,
                                 std::string_view folder_name);

}  // namespace thaw::cli
