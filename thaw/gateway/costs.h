// SPDX-License-Identifier: Apache-2.0
//
// Costs: bills for who may see them: a workspace its own, the administrator of this machine all.
// Loop thread only.
#pragma once

#include <optional>
#include <string>

#include "thaw/catalog/catalog.h"
#include "thaw/gateway/access.h"
#include "thaw/gateway/bill.h"
#include "thaw/meter/stored_ledger.h"

namespace thaw::gateway {

struct BillAsked {
  BillBy by = BillBy::function;
  WallTime from{};
  WallTime until{};
  std::string workspace;  // its name; empty: all that `who` may see
  // Instead of that of the server's own prices.
  std::optional<meter::Rounding> rounding = {};
};

class Costs {
 public:
  // All outlive it.
  Costs(const catalog::Catalog& catalog, const Access& access, meter::StoredLedger& ledger,
        const policy::Prices& prices)
      : catalog_(catalog), access_(access), ledger_(ledger), prices_(prices) {}

  // permission_denied: another workspace's; not_found: there is none of that name.
  async::Task<std::vector<BillRow>> bill(Identity who, BillAsked asked);
  const policy::Prices& prices() const { return prices_; }

 private:
  const catalog::Catalog& catalog_;
  const Access& access_;
  meter::StoredLedger& ledger_;
  const policy::Prices& prices_;
};

}  // namespace thaw::gateway
