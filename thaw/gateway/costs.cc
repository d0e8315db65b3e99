// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/costs.h"

namespace thaw::gateway {

async::Task<std::vector<BillRow>> Costs::bill(Identity who, BillAsked asked) {
  meter::UsageFilter filter;
  filter.from = asked.from;
  filter.until = asked.until;
  const auto last_day = std::chrono::floor<std::chrono::days>(asked.until);
  const policy::PriceTable& table = prices_.on(last_day.time_since_epoch().count());
  filter.rounding = asked.rounding.value_or(meter::Rounding{table.round_to_us, table.minimum_us});
  const bool is_admin = who.kind == Identity::Kind::admin;
  if (!is_admin && !asked.workspace.empty()) {
    const auto own = catalog_.workspaces.find(who.workspace.str());
    if (!own || own->name != asked.workspace) {
      // Whether there is one of that name is not for this asker.
      co_return Error::permission_denied(
          "a token sees the bill of its own workspace only; leave out `workspace`");
    }
  }
  if (!is_admin) {
    filter.workspaces = {who.workspace};
  } else if (!asked.workspace.empty()) {
    THAW_CO_TRY(const auto found, access_.workspace_named(asked.workspace));
    filter.workspaces = {found->id};
  } else {
    for (const auto& [id, workspace] : catalog_.workspaces.all()) {
      filter.workspaces.push_back(workspace->id);
    }
  }
  THAW_CO_TRY(const meter::Usage usage, co_await ledger_.read(std::move(filter)));
  co_return make_bill(usage, prices_, asked.by);
}

}  // namespace thaw::gateway
