// SPDX-License-Identifier: Apache-2.0
//
// thaw model alias: names of other clouds' models, and who answers to them here.
#pragma once

#include <string>

#include "thaw/cli/verbs.h"

namespace thaw::cli {

struct ModelAliasOptions {
  std::string name;    // "@cf/meta/llama-3.1-8b-instruct"
  std::string target;  // "owner/model", or a pushed function's name
  std::string task;    // "text-generation"; empty: by what goes in and comes out
};

int list_model_aliases(const Where& where);
int set_model_alias(const Where& where, const ModelAliasOptions& options);
int remove_model_alias(const Where& where, const std::string& name);

}  // namespace thaw::cli
