// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/aliases.h"

#include "thaw/codec/fields.h"
#include "thaw/dialect/native/functions.h"

namespace thaw::dialect::native {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t most_body_bytes = 64u << 10;

Result<std::vector<model::WeightedVersion>> versions_in(std::string_view body) {
  THAW_TRY(const Json json, codec::parse_json(body));
  codec::Fields fields(json);
  std::vector<model::WeightedVersion> versions;
  for (const auto& [version, weight] : fields.object("versions").items()) {
    const bool is_weight =
        weight.is_number_unsigned() && weight.get<std::uint64_t>() <= model::largest_weight;
    if (!is_weight) {
      return Error::invalid_argument("versions: the weight of " + version.substr(0, 80) +
                                     " is a whole number from 1 to " +
                                     std::to_string(model::largest_weight));
    }
    versions.push_back({version, weight.get<std::uint32_t>()});
  }
  if (const Result<void> read = fields.outcome(); !read) {
    return Error::invalid_argument(read.error().message());
  }
  return versions;
}

}  // namespace

Task<void> serve_aliases(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                         std::string function) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(const Published published, find_published(cx, scope, function));
  Json list = Json::array();
  for (const auto& alias : scope.aliases_of(published.function->id)) {
    list.push_back(json_of(*alias, function));
  }
  co_return co_await exchange.answer(200, "application/json",
                                     codec::dump_json({{"aliases", list}}) + "\n");
}

Task<void> serve_alias(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                       std::string function, std::string name) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(most_body_bytes));
  THAW_CO_TRY(const Published published, find_published(cx, scope, function));
  const model::FunctionId id = published.function->id;
  if (exchange.request().method == "DELETE") {
    THAW_CO_TRY_VOID(co_await cx.owners.versions.remove_alias(scope, id, name));
    co_return co_await exchange.answer(200, "application/json",
                                       codec::dump_json({{"removed", name}}) + "\n");
  }
  THAW_CO_TRY(std::vector<model::WeightedVersion> versions, versions_in(body));
  THAW_CO_TRY(const model::Alias alias,
              co_await cx.owners.versions.set_alias(scope, id, name, std::move(versions)));
  co_return co_await exchange.answer(200, "application/json",
                                     codec::dump_json(json_of(alias, function)) + "\n");
}

}  // namespace thaw::dialect::native
