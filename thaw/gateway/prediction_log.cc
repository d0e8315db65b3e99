// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/prediction_log.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/fields.h"

namespace thaw::gateway {

using codec::Json;

namespace {

const Json& member(const Json& of, const char* name) {
  static const Json none;
  if (!of.is_object()) {
    return none;
  }
  const auto found = of.find(name);
  return found == of.end() ? none : *found;
}

}  // namespace

Result<Ending> read_ending(std::string_view bytes) {
  THAW_TRY(Json json, codec::parse_json(bytes));
  Ending ending;
  codec::Fields fields(json);
  fields.read("status", ending.status);
  fields.read("logs", ending.logs);
  for (const auto& [place, file] : fields.object("files").items()) {
    OutputFile& one = ending.files[place];
    codec::Fields of_file(file);
    of_file.read("sha256", one.sha256_hex);
    of_file.read("size", one.size);
    of_file.read("content_type", one.content_type);
    fields.include(of_file);
  }
  THAW_TRY_VOID(fields.outcome());
  ending.output = member(json, "output");
  ending.error = member(json, "error");
  if (const Json& metrics = member(json, "metrics"); metrics.is_object()) {
    ending.metrics = metrics;
  }
  return ending;
}

std::string write_ending(const Ending& ending) {
  Json files = Json::object();
  for (const auto& [place, file] : ending.files) {
    files[place] = {
        {"sha256", file.sha256_hex}, {"size", file.size}, {"content_type", file.content_type}};
  }
  return codec::dump_json({{"status", ending.status},
                           {"output", ending.output},
                           {"logs", ending.logs},
                           {"error", ending.error},
                           {"metrics", ending.metrics},
                           {"files", std::move(files)}});
}

std::string write_item(const Item& item) {
  const Json json =
      item.kind == Item::Kind::output ? Json{{"o", item.output}} : Json{{"l", item.logs}};
  return codec::dump_json(json) + "\n";
}

std::vector<Item> read_items(std::string_view bytes) {
  std::vector<Item> items;
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    auto json = codec::parse_json(bytes.substr(0, end));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
    if (!json || !json->is_object()) {
      continue;
    }
    if (const auto output = json->find("o"); output != json->end()) {
      items.push_back({Item::Kind::output, std::move(*output), {}});
    } else if (const Json& logs = member(*json, "l"); logs.is_string()) {
      items.push_back({Item::Kind::logs, {}, logs.get<std::string>()});
    }
  }
  return items;
}

}  // namespace thaw::gateway
