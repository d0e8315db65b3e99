// SPDX-License-Identifier: Apache-2.0
//
// A folder that says by a file of its own what is to be built of it, and has no Dockerfile, as
// `thaw push` takes it: the Dockerfile that is made for it, what it says of itself as options, and
// the model that it is to be. So far these are Cog's, with a cog.yaml.
#pragma once

#include <string>

#include "thaw/cli/push_folder.h"
#include "thaw/cli/verbs.h"
#include "thaw/codec/json.h"

namespace thaw::cli {

// Says so if the folder has both files: then its Dockerfile is built. Blocks.
bool is_model_folder(const PushOptions& options);

struct ModelPush {
  std::string dockerfile;
  codec::Json model;  // "model" of the definition
};
// Fills in what the options leave open, and prints what the folder asks for in vain. Blocks.
Result<ModelPush> plan_model(PushOptions& options, const FolderContents& contents,
                             const std::string& folder_name);

// Of a model that somebody calls "OWNER/NAME:TAG", where owner and tag may be left out.
struct NamedModel {
  std::string owner;
  std::string name;
  std::string tag;
};
Result<NamedModel> named_model(const std::string& given);

}  // namespace thaw::cli
