// SPDX-License-Identifier: Apache-2.0
//
// ModelAliases: names by which a workspace's clients ask for models that they know from elsewhere
// ("@cf/meta/llama-3.1-8b-instruct"), and which of its own answers. They are documents of the
// workspace, so that they are durable, bounded and in its share; one that cannot be read costs
// itself. Whether the target is there is known when somebody asks for it. Loop thread only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/gateway/documents.h"

namespace thaw::gateway {

struct ModelAlias {
  std::string name;
  std::string target;  // "owner/name" of a model, or a pushed function's name
  std::string task;    // what it does, in its clients' words: "text-generation"; empty: unsaid
  WallTime created_at{};
};

constexpr std::size_t longest_model_alias = 200;

// invalid_argument names the field. A name has letters, digits and @ / . - _ : and no empty part.
Result<void> check(const ModelAlias& alias);

class ModelAliases {
 public:
  // Outlives it.
  explicit ModelAliases(Documents& documents) : documents_(documents) {}

  std::optional<ModelAlias> find(const model::WorkspaceId& workspace,
                                 const std::string& name) const;
  // By name.
  std::vector<ModelAlias> list(const model::WorkspaceId& workspace) const;
  // In the place of one of that name. resource_exhausted: the workspace has too many.
  async::Task<ModelAlias> set(model::WorkspaceId workspace, ModelAlias alias);
  // not_found
  async::Task<void> remove(model::WorkspaceId workspace, std::string name);

 private:
  Documents& documents_;
};

}  // namespace thaw::gateway
