// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/price.h"

#include <doctest/doctest.h>

#include "thaw/policy/cost_estimate.h"

namespace thaw::policy {

namespace {

Money money(std::string_view text) {
  const auto parsed = parse_money(text);
  REQUIRE(parsed);
  return *parsed;
}

}  // namespace

TEST_CASE("a price is read to the billionth, and what is no price is refused") {
  CHECK(money("0.0000131") == 13'100);
  CHECK(money("32") == 32'000'000'000);
  CHECK(money("0.0000000019") == 1);
  CHECK(parse_price("999999.9"));
  CHECK(!parse_price("1000000"));
  for (const char* wrong : {"", ".5", "1.", "-1", "1e3", "0x1", "1234567890", "1,5", "nan"}) {
    CHECK_MESSAGE(!parse_money(wrong), wrong);
  }
}

TEST_CASE("money is told with two decimals, or with as many as it has") {
  CHECK(money_text(money("23040")) == "23040.00");
  CHECK(money_text(money("0.0001")) == "0.0001");
  CHECK(money_text(1) == "0.00");
  CHECK(money_text(1, 9) == "0.000000001");
  CHECK(money_text(money("0.999999999"), 2) == "1.00");
}

TEST_CASE("each thing that was used has its price, and a sum is rounded once") {
  PriceTable table;
  table.per_call = money("0.0000002");
  table.second = money("0.001");
  table.cpu_second = money("0.00001");
  table.gb_second = money("0.000002");
  table.frozen_gb_second = money("0.0000001");
  table.gpu_second["A100"] = money("0.0006");
  table.keep_warm_hour = money("0.01");
  Used used;
  used.calls = 10;
  used.us = 5'000'000;
  CHECK(money_text(price(used, table), 9) == "0.005002");
  used = {.as = Used::As::background, .calls = 10, .us = 5'000'000, .cpu_us = 2'000'000};
  CHECK(money_text(price(used, table), 9) == "0.00002");
  used = {.as = Used::As::kept_warm, .us = 3'600'000'000LL, .byte_seconds = 3'600LL << 30};
  CHECK(money_text(price(used, table), 9) == "0.0172");
  used = {.as = Used::As::kept_warm, .us = 0, .frozen_byte_seconds = 10LL << 30};
  CHECK(money_text(price(used, table), 9) == "0.000001");
  used = {.as = Used::As::cold, .us = 1'000'000, .gpu = "A100", .gpu_us = 2'000'000};
  CHECK(money_text(price(used, table), 9) == "0.0022");
  table.percent = 30;
  CHECK(money_text(price(used, table), 9) == "0.00066");
}

TEST_CASE("a table holds from its day until the next one's") {
  Prices prices;
  PriceTable first;
  first.per_call = 1;
  PriceTable later;
  later.from_day = *parse_day("2026-12-01");
  later.per_call = 2;
  prices.tables = {first, later};
  CHECK(prices.on(*parse_day("2026-11-30")).per_call == 1);
  CHECK(prices.on(*parse_day("2026-12-01")).per_call == 2);
  CHECK(Prices{}.on(0).per_call == 0);
  CHECK(Prices{}.is_free());
  CHECK(!prices.is_free());
  CHECK(day_text(*parse_day("2028-02-29")) == "2028-02-29");
  for (const char* wrong : {"2026-02-29", "2026-13-01", "26-1-1 ", "yesterday", "2026-12-01T00"}) {
    CHECK_MESSAGE(!parse_day(wrong), wrong);
  }
}

TEST_CASE("a thousand calls a day of 5 s cost 150 a month, and a server of 32 an hour 23,040") {
  EstimateAsked asked;
  asked.calls_a_month = 1'000 * 30;
  asked.call_us = 5'000'000;
  asked.per_second = money("0.001");
  asked.dedicated_hour = money("32");
  Estimate out = estimate(asked);
  CHECK(money_text(out.serverless) == "150.00");
  CHECK(money_text(out.dedicated) == "23040.00");
  CHECK(out.crossover_a_day == 153'600);

  asked.cold = *parse_share("1/3");
  out = estimate(asked);
  CHECK(money_text(out.seconds) == "150.00");
  CHECK(money_text(out.cold) == "50.00");
  CHECK(money_text(out.serverless) == "200.00");
  CHECK(out.crossover_a_day == 115'200);

  asked.cold = {};
  asked.per_second = money("0.0023");
  out = estimate(asked);
  CHECK(money_text(out.serverless) == "345.00");
  CHECK(out.crossover_a_day == 66'782);
}

TEST_CASE("calls with a fee, beside small machines") {
  EstimateAsked asked;
  asked.calls_a_month = 10'000;
  asked.call_us = 2'000'000;
  asked.per_second = money("0.0005");
  asked.per_call = money("0.0001");
  asked.dedicated_hour = money("0.5");
  Estimate out = estimate(asked);
  CHECK(money_text(out.serverless) == "11.00");
  CHECK(money_text(out.dedicated) == "360.00");

  asked.calls_a_month = 10'000'000;
  asked.machines = 5;
  out = estimate(asked);
  CHECK(money_text(out.seconds) == "10000.00");
  CHECK(money_text(out.fees) == "1000.00");
  CHECK(money_text(out.dedicated) == "1800.00");
}

TEST_CASE("the crossover is where both cost the same, whatever the inputs are") {
  for (const std::int64_t us : {1LL, 999LL, 5'000'000LL, 86'400'000'000LL}) {
    for (const char* per_second : {"0.000001", "0.0023", "7"}) {
      for (const char* cold : {"0", "1/3", "250%"}) {
        EstimateAsked asked;
        asked.call_us = us;
        asked.per_second = money(per_second);
        asked.per_call = money("0.000003");
        asked.cold = *parse_share(cold);
        asked.dedicated_hour = money("32");
        const auto crossover = estimate(asked).crossover_a_day;
        REQUIRE(crossover);
        asked.calls_a_month = *crossover * 30;
        CHECK(estimate(asked).serverless <= estimate(asked).dedicated + 2);
        asked.calls_a_month = (*crossover + 1) * 30;
        CHECK(estimate(asked).serverless >= estimate(asked).dedicated - 2);
      }
    }
  }
  EstimateAsked free;
  free.dedicated_hour = money("1");
  CHECK(!estimate(free).crossover_a_day);
}

TEST_CASE("amounts that are too large end at the most there is") {
  EstimateAsked asked;
  asked.calls_a_month = 1'000'000'000'000;
  asked.call_us = 86'400'000'000;
  asked.per_second = money("999999");
  CHECK(estimate(asked).serverless > 0);
  Used used;
  used.us = std::int64_t{1} << 53;
  PriceTable table;
  table.second = money("999999999");
  CHECK(price(used, table) > 0);
}

}  // namespace thaw::policy
