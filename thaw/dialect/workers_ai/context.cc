// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/context.h"

namespace thaw::dialect::workers_ai {

namespace {

constexpr std::size_t most_known = 1'000;

}  // namespace

Result<gateway::Identity> identify(const Context& cx, const net::HttpRequest& request) {
  THAW_TRY(gateway::Identity who, cx.owners.access.from_request(request));
  if (who.kind == gateway::Identity::Kind::container) {
    return Error::permission_denied("containers have no access to this API");
  }
  return who;
}

std::shared_ptr<const KnownModel> known_model(Context& cx,
                                              const std::shared_ptr<const model::ModelCard>& card) {
  if (const auto found = cx.known.find(card); found != cx.known.end()) {
    return found->second;
  }
  if (cx.known.size() >= most_known) {
    cx.known.clear();
  }
  return cx.known.emplace(card, std::make_shared<const KnownModel>(card->schema)).first->second;
}

}  // namespace thaw::dialect::workers_ai
