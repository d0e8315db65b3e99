// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/url_variants.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace thaw;
using namespace thaw::dialect::modal;

TEST_CASE("of variants that were made by an address the one asked for longest ago makes room") {
  const model::FunctionId base("fu-base");
  const model::FunctionId a("fu-a");
  const model::FunctionId b("fu-b");
  const model::FunctionId c("fu-c");
  std::set<model::FunctionId> busy;
  const auto may_go = [&busy](const model::FunctionId& id) { return !busy.contains(id); };
  UrlVariants variants;
  CHECK(!variants.oldest(base, may_go));
  variants.asked(base, a, true);
  variants.asked(base, b, true);
  variants.asked(base, c, false);  // a client has made it, and may hold it
  CHECK(variants.size() == 2);
  CHECK(variants.oldest(base, may_go) == a);
  variants.asked(base, a, false);
  CHECK(variants.oldest(base, may_go) == b);
  busy.insert(b);
  CHECK(variants.oldest(base, may_go) == a);
  busy.insert(a);
  CHECK(!variants.oldest(base, may_go));
  busy.clear();
  CHECK(!variants.oldest(model::FunctionId("fu-other"), may_go));
  variants.forget(base, b);  // a client has asked for it, too
  CHECK(variants.oldest(base, may_go) == a);
  variants.asked(base, b, false);
  CHECK(variants.size() == 1);
  variants.keep_only([&a](const model::FunctionId& id) { return id != a; });
  CHECK(variants.size() == 0);
}
