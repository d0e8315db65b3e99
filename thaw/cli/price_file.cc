// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/price_file.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/yaml.h"

namespace thaw::cli {

namespace {

using codec::YamlNode;

constexpr std::size_t most_clouds = 50;
constexpr std::int64_t million = 1'000'000;

Error wrong(const YamlNode& node, const std::string& what) {
  return Error::invalid_argument("line " + std::to_string(node.line) +
                                 " of the price file: " + what);
}

Result<policy::Money> price_in(const YamlNode& node) {
  const auto price = policy::parse_price(node.text);
  if (!price) {
    return wrong(node, price.error().message());
  }
  return *price;
}

Result<void> read_key(const YamlNode& node, CloudPrices& out) {
  policy::PriceTable& table = out.table;
  const std::pair<std::string_view, policy::Money*> prices[] = {
      {"per_call", &table.per_call},
      {"second", &table.second},
      {"cpu_second", &table.cpu_second},
      {"gb_second", &table.gb_second},
      {"frozen_gb_second", &table.frozen_gb_second},
      {"keep_warm_hour", &table.keep_warm_hour}};
  for (const auto& [key, price] : prices) {
    if (node.key == key) {
      THAW_TRY(*price, price_in(node));
      return ok();
    }
  }
  if (node.key == "name") {
    out.name = node.text;
  } else if (node.key == "round_to_s" || node.key == "minimum_s") {
    THAW_TRY(const policy::Money billionths, price_in(node));
    (node.key == "round_to_s" ? table.round_to_us : table.minimum_us) =
        billionths * million / 1'000'000'000;
  } else if (node.key == "percent") {
    THAW_TRY(const policy::Money percent, price_in(node));
    table.percent = percent / 1'000'000'000;
  } else if (node.key == "gpu_second") {
    for (const YamlNode& kind : node.items) {
      THAW_TRY(table.gpu_second[kind.key], price_in(kind));
    }
  } else if (node.key == "bills" && (node.text == "calls" || node.text == "containers")) {
    out.bills = node.text == "calls" ? CloudPrices::Bills::calls : CloudPrices::Bills::containers;
  } else if (node.key == "bills_starts" && (node.text == "true" || node.text == "false")) {
    out.bills_starts = node.text == "true";
  } else {
    return wrong(node, "'" + node.key.substr(0, 40) +
                           "' is no price, or its value is none; docs/guides/cost.md lists them");
  }
  return ok();
}

}  // namespace

Result<std::vector<CloudPrices>> read_price_file(std::string_view text) {
  THAW_TRY(const YamlNode file, codec::parse_yaml(text));
  const YamlNode* clouds = file.find("clouds");
  if (clouds == nullptr || clouds->kind != YamlNode::Kind::list || clouds->items.empty() ||
      clouds->items.size() > most_clouds) {
    return Error::invalid_argument(
        "a price file has a list `clouds:`, each with a name and prices; docs/guides/cost.md has "
        "an example");
  }
  std::vector<CloudPrices> out;
  for (const YamlNode& node : clouds->items) {
    CloudPrices& one = out.emplace_back();
    for (const YamlNode& key : node.items) {
      THAW_TRY_VOID(read_key(key, one));
    }
    if (one.name.empty()) {
      return wrong(node, "this cloud has no name");
    }
  }
  return out;
}

}  // namespace thaw::cli
