// SPDX-License-Identifier: Apache-2.0
//
// What every operation works with: the owners, where this server stands, and what is read once and
// kept. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "thaw/catalog/scope.h"
#include "thaw/dialect/replicate/cog_talk.h"
#include "thaw/gateway/dialect.h"
#include "thaw/gateway/input_schema.h"
#include "thaw/gateway/models.h"
#include "thaw/gateway/signed_url.h"
#include "thaw/net/http.h"

namespace thaw::dialect::replicate {

// Of callbacks and documents of this dialect; its models are functions of whoever published them.
inline constexpr const char* dialect_name = "replicate";
inline constexpr const char* api_prefix = "/replicate/v1";
// Files that this server has signed an address of.
inline constexpr const char* signed_files_prefix = "/replicate/files";

struct Options {
  Duration keep_data = std::chrono::hours(1);  // what went into a prediction and came out of it
  Duration keep_files = std::chrono::hours(24);
  std::uint64_t most_file_bytes = 1ull << 30;
};

struct Context {
  Context(const gateway::Owners& given, Options chosen)
      : owners(given),
        options(chosen),
        talk(owners.pool, owners.blobs),
        file_urls(owners.secrets, "replicate-file", chosen.keep_files) {}

  gateway::Owners owners;
  Options options;
  gateway::Surroundings place;  // once the server listens
  gateway::Models models;
  CogTalk talk;
  gateway::SignedUrls file_urls;

  using Schemas = std::map<std::weak_ptr<const model::ModelCard>,
                           std::shared_ptr<const gateway::InputSchema>, std::owner_less<>>;
  Schemas schemas;
};

// Who asks, by a token. unauthenticated says how to show one; a container is nobody here.
Result<gateway::Identity> identify(const Context& cx, const net::HttpRequest& request);

// As the asker reaches this server: "http://127.0.0.1:8700", without a path.
gateway::BaseUrl origin_of(const Context& cx, const net::HttpRequest& request);
// Below it, this API: "http://127.0.0.1:8700/replicate/v1".
std::string base_of(const Context& cx, const net::HttpRequest& request);

// Of a version, read once.
std::shared_ptr<const gateway::InputSchema> schema_of(
    Context& cx, const std::shared_ptr<const model::ModelCard>& card);

// Where all that has some bytes is done: not on the loop.
inline constexpr std::size_t most_json_on_loop = 64u << 10;

}  // namespace thaw::dialect::replicate
