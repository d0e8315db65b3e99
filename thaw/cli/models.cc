// SPDX-License-Identifier: Apache-2.0
// thaw model list | show | rollback
#include <algorithm>
#include <cstdio>
#include <utility>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

namespace {

constexpr std::size_t short_id = 12;  // digits that tell versions apart for people

// "-" in the place of an owner is the workspace's own name.
std::string target_of(const std::string& model) {
  const std::size_t slash = model.find('/');
  const std::string owner = slash == std::string::npos ? "-" : model.substr(0, slash);
  const std::string name = slash == std::string::npos ? model : model.substr(slash + 1);
  return "/api/v1/models/" + percent_encoded(owner) + "/" + percent_encoded(name);
}

std::string full_name(const codec::Json& view) {
  return view.value("owner", "") + "/" + view.value("name", "");
}

std::string words_of(const codec::Json& type) {
  std::string words = type.value("type", type.contains("allOf") ? "a choice" : "any");
  for (const auto& [key, word] : {std::pair("default", "default"),
                                  {"minimum", "at least"},
                                  {"maximum", "at most"},
                                  {"format", "as"}}) {
    if (type.contains(key)) {
      words += std::string(", ") + word + " " +
               (type[key].is_string() ? type[key].get<std::string>() : type[key].dump());
    }
  }
  return words;
}

// What goes in, in the order in which its predictor names it.
void print_inputs(const codec::Json& schema) {
  const codec::Json::json_pointer place("/components/schemas/Input");
  if (!schema.is_object() || !schema.contains(place) || !schema.at(place).is_object()) {
    return;
  }
  const codec::Json& input = schema.at(place);
  const codec::Json properties = input.value("properties", codec::Json::object());
  const codec::Json required = input.value("required", codec::Json::array());
  std::vector<std::pair<int, TableRow>> rows;
  for (const auto& [name, type] : properties.items()) {
    if (!type.is_object()) {
      continue;
    }
    const bool is_needed = std::find(required.begin(), required.end(), name) != required.end();
    rows.push_back({type.value("x-order", 0),
                    {name, words_of(type), is_needed ? "yes" : "", type.value("description", "")}});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<TableRow> sorted;
  for (auto& [order, row] : rows) {
    sorted.push_back(std::move(row));
  }
  std::printf("\n%s", aligned_table({"INPUT", "TYPE", "NEEDED", "DESCRIPTION"}, sorted).c_str());
}

void print_model(const codec::Json& view) {
  std::printf("model        %s\n", full_name(view).c_str());
  std::printf("function     %s\n", view.value("function", "").c_str());
  std::printf("visibility   %s\n", view.value("visibility", "").c_str());
  if (const std::string text = view.value("description", ""); !text.empty()) {
    std::printf("description  %s\n", text.c_str());
  }
  const codec::Json latest = view.value("latest_version", codec::Json::object());
  std::printf("output       %s\n", latest.value("streams", false) ? "piece by piece" : "at once");
  print_inputs(latest.value("schema", codec::Json::object()));
  std::vector<TableRow> rows;
  for (const auto& one : view.value("versions", codec::Json::array())) {
    rows.push_back({one.value("id", "").substr(0, short_id), one.value("version", ""),
                    one.contains("number") ? one["number"].dump() : "-",
                    local_time(one.value("published_at", 0.0)),
                    one.value("latest", false) ? "(latest)" : ""});
  }
  std::printf("\n%s", aligned_table({"ID", "VERSION", "NUMBER", "PUBLISHED", ""}, rows).c_str());
}

}  // namespace

int list_models(const Where& where) {
  return ask_and_show(where, {"GET", "/api/v1/models"}, [](const codec::Json& answer) {
    std::vector<TableRow> rows;
    for (const auto& view : answer["models"]) {
      const codec::Json latest = view.value("latest_version", codec::Json::object());
      rows.push_back({full_name(view), latest.value("id", "").substr(0, short_id),
                      view.value("visibility", ""), local_time(latest.value("published_at", 0.0)),
                      view.value("function", ""), view.value("description", "")});
    }
    std::fputs(aligned_table(
                   {"MODEL", "LATEST", "VISIBILITY", "PUBLISHED", "FUNCTION", "DESCRIPTION"}, rows)
                   .c_str(),
               stdout);
  });
}

int show_model(const Where& where, const std::string& model) {
  return ask_and_show(where, {"GET", target_of(model)}, print_model);
}

int roll_back_model(const Where& where, const std::string& model, const std::string& version) {
  AdminRequest request;
  request.method = "PUT";
  request.target = target_of(model) + "/latest";
  request.body = codec::dump_json({{"version", version}});
  return ask_and_show(where, request, [](const codec::Json& view) {
    const codec::Json latest = view.value("latest_version", codec::Json::object());
    std::printf("the latest version of %s is %s again\n", full_name(view).c_str(),
                latest.value("id", "").substr(0, short_id).c_str());
  });
}

}  // namespace thaw::cli
