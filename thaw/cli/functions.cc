// SPDX-License-Identifier: Apache-2.0
// thaw function list | show | rm
#include <cstdio>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

namespace {

std::string target_of(const std::string& name) {
  return "/api/v1/functions/" + percent_encoded(name);
}

// A setting as it is told; "-": it is not.
std::string cell(const codec::Json& view, const char* key) {
  if (!view.contains(key) || view[key].is_null()) {
    return "-";
  }
  const codec::Json& value = view[key];
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void print_versions(const codec::Json& view) {
  std::vector<TableRow> rows;
  for (const auto& one : view.value("versions", codec::Json::array())) {
    const std::string version = cell(one, "version");
    std::string names = one.value("live", false) ? "(live)" : "";
    for (const auto& [alias, versions] : view["aliases"].items()) {
      if (versions.contains(version)) {
        names += (names.empty() ? "" : ", ") + alias + "=" + versions[version].dump();
      }
    }
    rows.push_back({version, cell(one, "number"), local_time(one.value("published_at", 0.0)),
                    cell(one, "containers"), names});
  }
  std::printf(
      "\n%s",
      aligned_table({"VERSION", "NUMBER", "PUBLISHED", "CONTAINERS", "ALIASES"}, rows).c_str());
}

}  // namespace

int list_pushed(const Where& where) {
  return ask_and_show(where, {"GET", "/api/v1/functions"}, [&](const codec::Json& answer) {
    std::vector<TableRow> rows;
    for (const auto& view : answer["functions"]) {
      rows.push_back({cell(view, "name"), cell(view, "preset"), cell(view, "callers"),
                      cell(view, "containers"), cell(view, "min"), cell(view, "max"),
                      local_time(view.value("published_at", 0.0)), cell(view, "url")});
    }
    std::fputs(
        aligned_table(
            {"NAME", "PRESET", "CALLERS", "CONTAINERS", "MIN", "MAX", "PUBLISHED", "ADDRESS"}, rows)
            .c_str(),
        stdout);
  });
}

int show_pushed(const Where& where, const std::string& name) {
  return ask_and_show(where, {"GET", target_of(name)}, [&](const codec::Json& view) {
    std::vector<TableRow> rows;
    for (const auto& [key, value] : view.items()) {
      if (value.is_array() || value.is_object()) {
        continue;  // tables of their own
      }
      rows.push_back({key, key == "published_at" && value.is_number()
                               ? local_time(value.get<double>())
                               : cell(view, key.c_str())});
    }
    std::fputs(aligned_table({"SETTING", "VALUE"}, rows).c_str(), stdout);
    print_versions(view);
  });
}

int remove_pushed(const Where& where, const std::string& name) {
  return ask_and_show(where, {"DELETE", target_of(name)},
                      [&](const codec::Json&) { std::printf("removed %s\n", name.c_str()); });
}

}  // namespace thaw::cli
