// SPDX-License-Identifier: Apache-2.0
//
// What every operation works with: the owners, where this server stands, and what is read once and
// kept. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "thaw/dialect/workers_ai/completion_talk.h"
#include "thaw/dialect/workers_ai/contract.h"
#include "thaw/gateway/dialect.h"
#include "thaw/gateway/input_schema.h"
#include "thaw/gateway/model_aliases.h"
#include "thaw/gateway/models.h"
#include "thaw/net/http.h"

namespace thaw::dialect::workers_ai {

inline constexpr const char* dialect_name = "workers_ai";
inline constexpr const char* api_prefix = "/client/v4";

// Of a version of a model, read once.
struct KnownModel {
  explicit KnownModel(const std::string& document)
      : contract(read_contract(document)), schema(document) {}

  Contract contract;
  gateway::InputSchema schema;
};

struct Context {
  explicit Context(const gateway::Owners& given) : owners(given), aliases(owners.documents) {}

  gateway::Owners owners;
  gateway::Surroundings place;  // once the server listens
  gateway::Models models;
  gateway::ModelAliases aliases;
  CompletionTalk talk;

  using Known = std::map<std::weak_ptr<const model::ModelCard>, std::shared_ptr<const KnownModel>,
                         std::owner_less<>>;
  Known known;
};

// Who asks, by a token. unauthenticated says how to show one; a container is nobody here.
Result<gateway::Identity> identify(const Context& cx, const net::HttpRequest& request);

std::shared_ptr<const KnownModel> known_model(Context& cx,
                                              const std::shared_ptr<const model::ModelCard>& card);

// Where all that has some bytes is done: not on the loop.
inline constexpr std::size_t most_json_on_loop = 64u << 10;

}  // namespace thaw::dialect::workers_ai
