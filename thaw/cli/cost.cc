// SPDX-License-Identifier: Apache-2.0
// thaw cost | cost estimate | cost compare
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/price_file.h"
#include "thaw/cli/table.h"
#include "thaw/policy/cost_estimate.h"

namespace thaw::cli {

namespace {

using codec::Json;
using policy::Money;
using policy::money_text;

constexpr double us_per_ms = 1'000;

std::string seconds_cell(const Json& part) {
  return short_duration(static_cast<double>(part.value("us", std::int64_t{0})) / us_per_ms);
}

std::string cost_cell(const Json& cost, const char* key) {
  const auto money = policy::parse_money(cost.value(key, std::string("0")));
  return money ? money_text(*money) : "-";
}

std::string who_of(const Json& row, const std::string& by) {
  if (!row.value("of_calls", true)) {
    return "(no call)";
  }
  if (by == "function" || by == "token") {
    const std::string name = row.value("name", "");
    const std::string id = row.value(by, "");
    return !name.empty() ? name : !id.empty() ? id : "(no token)";
  }
  return row.value(by, "-");
}

// Commas and quotes as spreadsheets have them; what would be a formula there is text.
std::string csv_cell(std::string text) {
  if (!text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos) {
    text.insert(text.begin(), '\'');
  }
  if (text.find_first_of(",\"\n\r") == std::string::npos) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) {
    out += c == '"' ? "\"\"" : std::string(1, c);
  }
  return out + "\"";
}

void print_csv(const Json& answer, const std::string& by) {
  std::printf(
      "workspace,%s,calls,failures,cold_calls,calls_us,cold_us,kept_warm_us,background_us,"
      "under_way_us,cpu_us,byte_seconds,frozen_byte_seconds,gpu_us,tokens_in,tokens_out,"
      "calls_not_counted,cost_calls,cost_cold,cost_kept_warm,cost_background,cost,currency\n",
      by.c_str());
  for (const Json& row : answer["rows"]) {
    std::int64_t cpu = 0;
    std::int64_t bytes = 0;
    std::int64_t frozen = 0;
    std::int64_t gpu = 0;
    for (const auto& [name, part] : row["parts"].items()) {
      cpu += part.value("cpu_us", std::int64_t{0});
      bytes += part.value("byte_seconds", std::int64_t{0});
      frozen += part.value("frozen_byte_seconds", std::int64_t{0});
      gpu += part.value("gpu_us", std::int64_t{0});
    }
    const auto us = [&row](const char* part) {
      return std::to_string(row["parts"][part].value("us", std::int64_t{0}));
    };
    const auto count = [](const Json& from, const char* key) {
      return std::to_string(from.value(key, std::int64_t{0}));
    };
    const Json& cost = row["cost"];
    const std::vector<std::string> cells = {csv_cell(row.value("workspace", "")),
                                            csv_cell(who_of(row, by)),
                                            count(row, "calls"),
                                            count(row, "failures"),
                                            count(row, "cold_calls"),
                                            us("calls"),
                                            us("cold"),
                                            us("kept_warm"),
                                            us("background"),
                                            us("under_way"),
                                            std::to_string(cpu),
                                            std::to_string(bytes),
                                            std::to_string(frozen),
                                            std::to_string(gpu),
                                            count(row["tokens"], "in"),
                                            count(row["tokens"], "out"),
                                            count(row["tokens"], "calls_not_counted"),
                                            cost.value("calls", ""),
                                            cost.value("cold", ""),
                                            cost.value("kept_warm", ""),
                                            cost.value("background", ""),
                                            cost.value("all", ""),
                                            csv_cell(answer.value("currency", ""))};
    for (std::size_t i = 0; i < cells.size(); ++i) {
      std::printf("%s%s", i == 0 ? "" : ",", cells[i].c_str());
    }
    std::printf("\n");
  }
}

void print_table(const Json& answer, const std::string& by) {
  std::vector<TableRow> rows;
  for (const Json& row : answer["rows"]) {
    const Json& parts = row["parts"];
    const Json& cost = row["cost"];
    rows.push_back({who_of(row, by), row.value("workspace", "-"),
                    std::to_string(row.value("calls", std::int64_t{0})),
                    std::to_string(row.value("cold_calls", std::int64_t{0})),
                    seconds_cell(parts["calls"]), seconds_cell(parts["cold"]),
                    seconds_cell(parts["kept_warm"]), seconds_cell(parts["background"]),
                    cost_cell(cost, "calls"), cost_cell(cost, "cold"), cost_cell(cost, "kept_warm"),
                    cost_cell(cost, "all")});
  }
  std::string what = by;
  std::transform(what.begin(), what.end(), what.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  std::fputs(aligned_table({what, "WORKSPACE", "CALLS", "COLD", "WORKED", "STARTED", "KEPT WARM",
                            "BACKGROUND", "COST CALLS", "COST COLD", "COST WARM", "COST"},
                           rows)
                 .c_str(),
             stdout);
  if (answer.value("has_prices", false)) {
    std::printf("%s %s in all\n", cost_cell(answer, "cost").c_str(),
                answer.value("currency", "").c_str());
  } else {
    std::printf(
        "Nothing has a price: [prices] of the configuration sets them, for the past too "
        "(docs/guides/cost.md).\n");
  }
}

std::string target_of(const CostOptions& options, const std::string& by) {
  std::string target = "/api/v1/cost?by=" + percent_encoded(by);
  for (const auto& [key, value] :
       {std::pair{"from", &options.from}, std::pair{"until", &options.until},
        std::pair{"workspace", &options.workspace}}) {
    target += value->empty() ? "" : std::string("&") + key + "=" + percent_encoded(*value);
  }
  return target;
}

// What another cloud would take for a row.
Money price_elsewhere(const Json& row, const CloudPrices& cloud) {
  const auto part_as = [&row, &cloud](const char* name, policy::Used::As as) {
    const Json& part = row["parts"][name];
    policy::Used used;
    used.as = as;
    used.us = part.value("us", std::int64_t{0});
    used.cpu_us = part.value("cpu_us", std::int64_t{0});
    used.byte_seconds = part.value("byte_seconds", std::int64_t{0});
    used.frozen_byte_seconds = part.value("frozen_byte_seconds", std::int64_t{0});
    used.gpu_us = part.value("gpu_us", std::int64_t{0});
    used.gpu = cloud.table.gpu_second.size() == 1 ? cloud.table.gpu_second.begin()->first : "";
    return used;
  };
  using As = policy::Used::As;
  policy::Used calls = part_as("calls", As::calls);
  calls.calls = row.value("calls", std::int64_t{0});
  const bool rounds = cloud.table.round_to_us > 0 || cloud.table.minimum_us > 0;
  if (rounds && cloud.bills == CloudPrices::Bills::calls) {
    calls.us = row.value("billed_us", std::int64_t{0});
  }
  Money sum = policy::price(calls, cloud.table);
  if (cloud.bills_starts) {
    sum += policy::price(part_as("cold", As::cold), cloud.table);
  }
  if (cloud.bills == CloudPrices::Bills::containers) {
    for (const char* name : {"kept_warm", "background"}) {
      policy::Used used = part_as(name, As::kept_warm);
      sum += policy::price(used, cloud.table);
      used = {.as = As::cold, .us = used.us};  // the plain price of time
      sum += policy::price(used, cloud.table);
    }
  }
  return sum;
}

Result<std::string> text_of_file(const std::string& path) {
  constexpr std::size_t most = 256u << 10;
  std::ifstream file(path, std::ios::binary);
  std::string text(most + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || !file.eof()) {
    return Error::invalid_argument("the price file " + path +
                                   " cannot be read, or has more than 256 KiB");
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

Result<void> compare(const Where& where, const CostOptions& options, const std::string& path) {
  THAW_TRY(const std::string text, text_of_file(path));
  THAW_TRY(const std::vector<CloudPrices> clouds, read_price_file(text));
  Json out = Json::array();
  std::vector<TableRow> table;
  for (const CloudPrices& cloud : clouds) {
    std::string target = target_of(options, "function");
    if (cloud.table.round_to_us > 0 || cloud.table.minimum_us > 0) {
      target += "&round_us=" + std::to_string(cloud.table.round_to_us) +
                "&minimum_us=" + std::to_string(cloud.table.minimum_us);
    }
    THAW_TRY(const Json answer, ask_server(where, {"GET", target}));
    Money sum = 0;
    std::int64_t calls = 0;
    std::int64_t billed = 0;
    for (const Json& row : answer["rows"]) {
      sum += price_elsewhere(row, cloud);
      calls += row.value("calls", std::int64_t{0});
      billed += row.value("billed_calls", std::int64_t{0});
    }
    if (table.empty()) {
      table.push_back({"this server", std::to_string(calls), cost_cell(answer, "cost"),
                       answer.value("has_prices", false) ? "" : "no prices are set here"});
      out.push_back({{"name", "this server"}, {"calls", calls}, {"cost", answer["cost"]}});
    }
    const bool is_partial = target.find("round_us") != std::string::npos && billed < calls;
    table.push_back(
        {cloud.name, std::to_string(calls), money_text(sum),
         is_partial ? std::to_string(calls - billed) + " calls are too old to be rounded one by one"
                    : ""});
    out.push_back({{"name", cloud.name},
                   {"calls", calls},
                   {"cost", money_text(sum, 9)},
                   {"calls_not_rounded", is_partial ? calls - billed : 0}});
  }
  if (where.output == Output::json) {
    std::printf("%s\n", out.dump(2).c_str());
  } else {
    std::fputs(aligned_table({"CLOUD", "CALLS", "COST", "NOTE"}, table).c_str(), stdout);
  }
  return ok();
}

Result<std::int64_t> micros_of(const std::string& text) {
  THAW_TRY(const Money billionths, policy::parse_price(text));
  return billionths / 1'000;
}

Json json_of(std::int64_t calls_a_day, const policy::Estimate& one) {
  return {
      {"calls_a_day", calls_a_day},
      {"seconds", money_text(one.seconds, 9)},
      {"cold", money_text(one.cold, 9)},
      {"fees", money_text(one.fees, 9)},
      {"serverless", money_text(one.serverless, 9)},
      {"dedicated", money_text(one.dedicated, 9)},
      {"crossover_calls_a_day", one.crossover_a_day ? Json(*one.crossover_a_day) : Json(nullptr)}};
}

Result<void> print_estimate(const Where& where, const EstimateOptions& options) {
  policy::EstimateAsked asked;
  THAW_TRY(asked.call_us, micros_of(options.seconds));
  THAW_TRY(asked.per_second, policy::parse_price(options.price));
  THAW_TRY(asked.per_call, policy::parse_price(options.fee));
  THAW_TRY(asked.cold, policy::parse_share(options.cold_share));
  THAW_TRY(asked.dedicated_hour, policy::parse_price(options.dedicated));
  asked.machines = options.machines;
  constexpr std::int64_t days = 30;
  asked.calls_a_month =
      options.calls_a_month > 0 ? options.calls_a_month : options.calls_a_day * days;
  const policy::Estimate one = policy::estimate(asked);
  std::vector<TableRow> rows;
  Json table = Json::array();
  const auto add = [&](std::int64_t calls_a_month, const policy::Estimate& of) {
    rows.push_back({std::to_string(calls_a_month), money_text(of.seconds, 2),
                    money_text(of.cold, 2), money_text(of.fees, 2), money_text(of.serverless, 2),
                    asked.dedicated_hour > 0 ? money_text(of.dedicated, 2) : "-",
                    asked.dedicated_hour == 0       ? "-"
                    : of.serverless <= of.dedicated ? "serverless"
                                                    : "dedicated"});
  };
  add(asked.calls_a_month, one);
  for (const std::int64_t a_day : {100, 1'000, 10'000, 100'000, 1'000'000}) {
    policy::EstimateAsked other = asked;
    other.calls_a_month = a_day * days;
    const policy::Estimate of = policy::estimate(other);
    table.push_back(json_of(a_day, of));
    if (other.calls_a_month != asked.calls_a_month) {
      add(other.calls_a_month, of);
    }
  }
  if (where.output == Output::json) {
    Json out = json_of(asked.calls_a_month / days, one);
    out["calls_a_month"] = asked.calls_a_month;
    out["volumes"] = std::move(table);
    std::printf("%s\n", out.dump(2).c_str());
    return ok();
  }
  std::fputs(aligned_table({"CALLS A MONTH", "SECONDS", "COLD STARTS", "FEES", "SERVERLESS",
                            "DEDICATED", "CHEAPER"},
                           rows)
                 .c_str(),
             stdout);
  if (one.crossover_a_day) {
    std::printf("The dedicated %s cheaper from %lld calls a day on.\n",
                asked.machines == 1 ? "machine is" : "machines are",
                static_cast<long long>(*one.crossover_a_day));
  }
  return ok();
}

}  // namespace

int show_cost(const Where& where, const CostOptions& options) {
  const bool is_csv = options.format == CostOptions::Format::csv;
  return ask_and_show(where, {"GET", target_of(options, options.by)}, [&](const Json& answer) {
    is_csv ? print_csv(answer, options.by) : print_table(answer, options.by);
  });
}

int estimate_cost(const Where& where, const EstimateOptions& options) {
  const Result<void> done = print_estimate(where, options);
  return done ? 0 : fail(done.error());
}

int compare_cost(const Where& where, const CostOptions& options, const std::string& file) {
  const Result<void> done = compare(where, options, file);
  return done ? 0 : fail(done.error());
}

}  // namespace thaw::cli
