// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/cost.h"

#include <charconv>

#include "thaw/codec/encoding.h"
#include "thaw/codec/json.h"
#include "thaw/gateway/costs.h"

namespace thaw::dialect::native {

using async::Task;
using codec::Json;

namespace {

constexpr std::chrono::days usual_span{30};
constexpr int all_decimals = 9;

std::string query_of(const net::HttpExchange& exchange, const char* name) {
  return codec::query_value(exchange.request().query(), name);
}

// A day, or seconds since the epoch.
Result<WallTime> moment_of(const std::string& text) {
  std::int64_t seconds = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, seconds);
  if (error == std::errc() && rest == end && seconds >= 0 && seconds < 253'402'300'800) {
    return WallTime(std::chrono::seconds(seconds));
  }
  THAW_TRY(const std::int64_t day, policy::parse_day(text));
  return WallTime(std::chrono::days(day));
}

Result<std::int64_t> micros_of(const net::HttpExchange& exchange, const char* name) {
  const std::string text = query_of(exchange, name);
  std::int64_t micros = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, micros);
  if (!text.empty() &&
      (error != std::errc() || rest != end || micros < 0 || micros > 86'400'000'000)) {
    return Error::invalid_argument(std::string(name) +
                                   " is a whole number of microseconds, a day at most");
  }
  return micros;
}

Result<gateway::BillAsked> asked_of(const net::HttpExchange& exchange) {
  gateway::BillAsked asked;
  if (const std::string by = query_of(exchange, "by"); !by.empty()) {
    THAW_TRY(asked.by, gateway::parse_bill_by(by));
  }
  // What has just ended is in this minute.
  asked.until = wall_now() + std::chrono::minutes(1);
  if (const std::string until = query_of(exchange, "until"); !until.empty()) {
    THAW_TRY(asked.until, moment_of(until));
  }
  asked.from = asked.until - usual_span;
  if (const std::string from = query_of(exchange, "from"); !from.empty()) {
    THAW_TRY(asked.from, moment_of(from));
  }
  asked.workspace = query_of(exchange, "workspace");
  meter::Rounding rounding;
  THAW_TRY(rounding.to_us, micros_of(exchange, "round_us"));
  THAW_TRY(rounding.least_us, micros_of(exchange, "minimum_us"));
  if (rounding.is_asked_for()) {
    asked.rounding = rounding;
  }
  return asked;
}

std::string text_of(policy::Money money) { return policy::money_text(money, all_decimals); }

Json parts_of(const gateway::BillRow& row) {
  Json out = Json::object();
  for (std::size_t i = 0; i < meter::parts; ++i) {
    const meter::Amount& amount = row.parts[i];
    out[std::string(meter::part_name(static_cast<meter::Part>(i)))] = {
        {"us", amount.us},
        {"cpu_us", amount.cpu_us},
        {"byte_seconds", amount.byte_seconds},
        {"frozen_byte_seconds", amount.frozen_byte_seconds},
        {"gpu_us", row.gpu_us[i]}};
  }
  return out;
}

Json json_of(const catalog::Catalog& catalog, const gateway::BillRow& row) {
  const meter::CallSums& sums = row.sums;
  Json out = {{"calls", sums.calls},
              {"failures", sums.failures},
              {"cold_calls", row.cold_calls},
              {"queued_us", sums.queued_us},
              {"run_us", sums.run_us},
              {"share_us", sums.share_us},
              {"cold_us", sums.cold_us},
              {"billed_us", sums.billed_us},
              {"billed_calls", sums.billed_calls},
              {"bytes_in", sums.bytes_in},
              {"bytes_out", sums.bytes_out},
              {"tokens",
               {{"calls_not_counted", sums.uncounted},
                {"in", sums.tokens_in},
                {"out", sums.tokens_out},
                {"cached", sums.tokens_cached}}},
              {"parts", parts_of(row)},
              {"cost",
               {{"calls", text_of(row.calls_cost)},
                {"cold", text_of(row.cold_cost)},
                {"kept_warm", text_of(row.kept_warm_cost)},
                {"background", text_of(row.background_cost)},
                {"all", text_of(row.cost())}}}};
  if (!row.workspace.empty()) {
    // all workspaces: of a row that is the asker's to see
    const auto workspace = catalog.workspaces.find(row.workspace.str());
    out["workspace"] = workspace ? workspace->name : row.workspace.str();
  }
  if (!row.function.empty()) {
    out["function"] = row.function;
    out["name"] = row.function_name;
  }
  if (!row.token.empty()) {
    // all workspaces: of a row that is the asker's to see
    const auto token = catalog.tokens.find(row.token.str());
    out["token"] = row.token;
    out["name"] = token ? token->name : "";
  }
  for (const auto& [name, text] : {std::pair{"front", &row.front}, std::pair{"day", &row.day},
                                   std::pair{"level", &row.level}}) {
    if (!text->empty()) {
      out[name] = *text;
    }
  }
  out["of_calls"] = row.is_of_calls;
  return out;
}

}  // namespace

Task<void> serve_cost(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  THAW_CO_TRY(gateway::BillAsked asked, asked_of(exchange));
  const WallTime from = asked.from;
  const WallTime until = asked.until;
  THAW_CO_TRY(const std::vector<gateway::BillRow> rows,
              co_await cx.owners.costs.bill(std::move(who), std::move(asked)));
  const policy::Prices& prices = cx.owners.costs.prices();
  Json list = Json::array();
  policy::Money all = 0;
  for (const gateway::BillRow& row : rows) {
    list.push_back(json_of(cx.owners.catalog, row));
    all += row.cost();
  }
  const Json out = {{"from", to_seconds(from)},    {"until", to_seconds(until)},
                    {"currency", prices.currency}, {"has_prices", !prices.is_free()},
                    {"cost", text_of(all)},        {"rows", std::move(list)}};
  co_return co_await exchange.answer(200, "application/json", codec::dump_json(out) + "\n");
}

}  // namespace thaw::dialect::native
