// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/bill.h"

#include <doctest/doctest.h>

namespace thaw::gateway {

namespace {

using meter::Part;

meter::CallRow call_row(const char* token, std::int64_t share_us, std::int64_t calls) {
  meter::CallRow row;
  row.day = 20'000;
  row.workspace = model::WorkspaceId("ac-1");
  row.function = model::FunctionId("fu-1");
  row.token = model::TokenId(token);
  row.front = "native";
  row.level = model::Level::warm;
  row.sums.calls = calls;
  row.sums.share_us = share_us;
  return row;
}

meter::PartRow part_row(Part part, meter::Amount amount) {
  meter::PartRow row;
  row.day = 20'000;
  row.workspace = model::WorkspaceId("ac-1");
  row.function = model::FunctionId("fu-1");
  row.part = part;
  row.amount = amount;
  return row;
}

meter::Usage usage() {
  meter::Usage out;
  out.calls = {call_row("one", 3'000'000, 3), call_row("two", 1'000'000, 1)};
  out.calls[1].level = model::Level::booted;
  out.calls[1].sums.cold_us = 2'000'000;
  out.spans = {part_row(Part::calls, {4'000'000, 400'000, 40, 0}),
               part_row(Part::cold, {2'000'000, 100'000, 20, 0}),
               part_row(Part::kept_warm, {5'000'000, 0, 50, 500}),
               part_row(Part::background, {1'000'000, 7, 0, 0}),
               part_row(Part::under_way, {9'000'000, 0, 0, 0})};
  out.names[model::FunctionId("fu-1")] = "square";
  return out;
}

policy::Prices prices() {
  policy::PriceTable table;
  table.per_call = 1'000;
  table.second = 100;
  table.cpu_second = 10'000;
  table.keep_warm_hour = 3'600'000;
  policy::Prices out;
  out.tables = {table};
  return out;
}

}  // namespace

TEST_CASE("a bill says what calls, cold starts, keeping warm and the background cost") {
  const auto rows = make_bill(usage(), prices(), BillBy::function);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].function_name == "square");
  CHECK(rows[0].sums.calls == 4);
  CHECK(rows[0].cold_calls == 1);
  CHECK(rows[0].calls_cost == 4 * 1'000 + 4 * 100 + 4'000);
  CHECK(rows[0].cold_cost == 2 * 100 + 1'000);
  CHECK(rows[0].kept_warm_cost == 5'000);
  CHECK(rows[0].background_cost == 0);  // less than half a billionth
  CHECK(meter::of(rows[0].parts, Part::under_way).us == 9'000'000);
}

TEST_CASE("whatever the rows are, they are the same calls, time and money") {
  const auto whole = make_bill(usage(), prices(), BillBy::function);
  for (const char* by : {"token", "front", "day", "level"}) {
    policy::Money cost = 0;
    std::int64_t us = 0;
    std::int64_t calls = 0;
    for (const BillRow& row : make_bill(usage(), prices(), *parse_bill_by(by))) {
      cost += row.cost();
      calls += row.sums.calls;
      for (const meter::Amount& amount : row.parts) {
        us += amount.us;
      }
    }
    CHECK_MESSAGE(cost == whole[0].cost(), by);
    CHECK_MESSAGE(us == 21'000'000, by);
    CHECK_MESSAGE(calls == 4, by);
  }
  CHECK(!parse_bill_by("secret"));
}

TEST_CASE("by token each has its part of what calls used, and what is of no call is nobody's") {
  const auto rows = make_bill(usage(), prices(), BillBy::token);
  REQUIRE(rows.size() == 3);
  for (const BillRow& row : rows) {
    if (!row.is_of_calls) {
      CHECK(row.sums.calls == 0);
      CHECK(row.kept_warm_cost == 5'000);
    } else if (row.token.str() == "one") {
      CHECK(meter::of(row.parts, Part::calls).cpu_us == 300'000);
      CHECK(row.cold_cost == 0);
    } else {
      CHECK(meter::of(row.parts, Part::calls).cpu_us == 100'000);
      CHECK(row.cold_cost == 1'200);
    }
  }
}

TEST_CASE("rounded time is billed where a table rounds; calls too old for it are as the others") {
  meter::Usage rounded = usage();
  rounded.calls[0].sums.billed_calls = 2;
  rounded.calls[0].sums.billed_us = 10'000'000;
  const auto rows = make_bill(rounded, prices(), BillBy::token);
  for (const BillRow& row : rows) {
    if (row.token.str() == "one") {
      CHECK(row.calls_cost == 3 * 1'000 + 15 * 100 + 3'000);
    }
  }
}

TEST_CASE("without prices nothing costs anything") {
  for (const BillRow& row : make_bill(usage(), {}, BillBy::day)) {
    CHECK(row.cost() == 0);
    CHECK(row.day == "2024-10-04");
  }
}

}  // namespace thaw::gateway
