// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/model_aliases.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/fields.h"
#include "thaw/codec/json.h"

namespace thaw::gateway {

namespace {

constexpr std::size_t most_aliases = 1'000;  // in one workspace
constexpr std::size_t longest_task = 63;
constexpr std::string_view letters_of_names =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@/.-_:";

// They are no dialect's own: every one that asks for models by name may look here.
model::DocumentPlace place_in(const model::WorkspaceId& workspace) {
  return {workspace, "models", "alias"};
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= longest_model_alias &&
         text.find_first_not_of(letters_of_names) == std::string_view::npos &&
         text.front() != '/' && text.back() != '/' && text.find("//") == std::string_view::npos;
}

std::optional<ModelAlias> read_alias(const model::Document& document) {
  const auto json = codec::parse_json(document.text);
  if (!json || !json->is_object()) {
    return std::nullopt;
  }
  ModelAlias alias{document.name, {}, {}, document.created_at};
  codec::Fields fields(*json);
  fields.read("target", alias.target);
  fields.read("task", alias.task);
  return fields.outcome() && check(alias) ? std::optional(std::move(alias)) : std::nullopt;
}

}  // namespace

Result<void> check(const ModelAlias& alias) {
  if (!is_name(alias.name)) {
    return Error::invalid_argument("alias: has 1 to " + std::to_string(longest_model_alias) +
                                   " letters, digits and @ / . - _ : such as "
                                   "@cf/meta/llama-3.1-8b-instruct");
  }
  if (!is_name(alias.target) || std::count(alias.target.begin(), alias.target.end(), '/') > 1) {
    return Error::invalid_argument(
        "target: is OWNER/MODEL, or the name of a pushed function that serves chats");
  }
  if (alias.task.size() > longest_task ||
      alias.task.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") != std::string::npos) {
    return Error::invalid_argument("task: is a word such as text-generation");
  }
  return ok();
}

std::optional<ModelAlias> ModelAliases::find(const model::WorkspaceId& workspace,
                                             const std::string& name) const {
  const auto found = documents_.find(place_in(workspace), name);
  return found ? read_alias(*found) : std::nullopt;
}

std::vector<ModelAlias> ModelAliases::list(const model::WorkspaceId& workspace) const {
  std::vector<ModelAlias> all;
  for (const auto& document : documents_.list(place_in(workspace))) {
    if (auto alias = read_alias(*document)) {
      all.push_back(std::move(*alias));
    }
  }
  std::sort(all.begin(), all.end(),
            [](const ModelAlias& a, const ModelAlias& b) { return a.name < b.name; });
  return all;
}

async::Task<ModelAlias> ModelAliases::set(model::WorkspaceId workspace, ModelAlias alias) {
  THAW_CO_TRY_VOID(check(alias));
  const model::DocumentPlace place = place_in(workspace);
  if (!documents_.find(place, alias.name) && documents_.list(place).size() >= most_aliases) {
    co_return Error::resource_exhausted("the workspace has " + std::to_string(most_aliases) +
                                        " aliases of models; remove some first");
  }
  alias.created_at = wall_now();
  model::Document document;
  document.place = place;
  document.name = alias.name;
  document.text = codec::dump_json({{"target", alias.target}, {"task", alias.task}});
  document.created_at = alias.created_at;
  THAW_CO_TRY([[maybe_unused]] const auto stored, co_await documents_.put(std::move(document)));
  co_return alias;
}

async::Task<void> ModelAliases::remove(model::WorkspaceId workspace, std::string name) {
  const auto found = documents_.find(place_in(workspace), name);
  if (!found) {
    co_return Error::not_found("no model alias '" + name.substr(0, longest_model_alias) +
                               "' is here; `thaw model alias` lists them");
  }
  model::Document document = *found;
  co_return co_await documents_.erase(std::move(document));
}

}  // namespace thaw::gateway
