// SPDX-License-Identifier: Apache-2.0
// thaw alias set | list | rm
#include <cstdio>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/alias_shares.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

namespace {

std::string aliases_of(const std::string& function) {
  return "/api/v1/functions/" + percent_encoded(function) + "/aliases";
}

// A row for each version: the name of the alias stands in the first.
void add_rows(const std::string& function, const std::string& alias, const codec::Json& versions,
              std::vector<TableRow>& rows) {
  double sum = 0;
  for (const auto& [version, weight] : versions.items()) {
    sum += weight.is_number() ? weight.get<double>() : 0;
  }
  for (const auto& [version, weight] : versions.items()) {
    const double part = weight.is_number() && sum > 0 ? 100 * weight.get<double>() / sum : 0;
    char percent[32];
    std::snprintf(percent, sizeof percent, "%.1f %%", part);
    rows.push_back({function, alias, version, weight.dump(), percent});
  }
}

void print_rows(const std::vector<TableRow>& rows) {
  std::fputs(aligned_table({"FUNCTION", "ALIAS", "VERSION", "WEIGHT", "PART"}, rows).c_str(),
             stdout);
}

Result<void> set(const Where& where, const AliasOptions& options) {
  THAW_TRY(const auto weights, named_numbers(options.versions, "V=WEIGHT"));
  codec::Json body = {{"versions", codec::Json::object()}};
  for (const auto& [version, weight] : weights) {
    body["versions"][version] = weight;
  }
  AdminRequest request;
  request.method = "PUT";
  request.target = aliases_of(options.function) + "/" + percent_encoded(options.name);
  request.body = codec::dump_json(body);
  THAW_TRY(const codec::Json view, ask_server(where, request));
  if (where.output == Output::json) {
    std::printf("%s\n", view.dump(2).c_str());
    return ok();
  }
  std::vector<TableRow> rows;
  add_rows(options.function, options.name, view["versions"], rows);
  print_rows(rows);
  return ok();
}

Result<void> list(const Where& where, const std::string& function) {
  codec::Json functions = codec::Json::array();
  if (function.empty()) {
    THAW_TRY(const codec::Json all, ask_server(where, {"GET", "/api/v1/functions"}));
    functions = all["functions"];
  } else {
    THAW_TRY(const codec::Json one,
             ask_server(where, {"GET", "/api/v1/functions/" + percent_encoded(function)}));
    functions.push_back(one);
  }
  std::vector<TableRow> rows;
  codec::Json views = codec::Json::array();
  for (const auto& view : functions) {
    for (const auto& [alias, versions] : view["aliases"].items()) {
      add_rows(view.value("name", ""), alias, versions, rows);
      views.push_back(
          {{"function", view.value("name", "")}, {"alias", alias}, {"versions", versions}});
    }
  }
  if (where.output == Output::json) {
    std::printf("%s\n", codec::Json{{"aliases", views}}.dump(2).c_str());
  } else {
    print_rows(rows);
  }
  return ok();
}

}  // namespace

int set_alias(const Where& where, const AliasOptions& options) {
  const Result<void> done = set(where, options);
  return done ? 0 : fail(done.error());
}

int list_aliases(const Where& where, const std::string& function) {
  const Result<void> done = list(where, function);
  return done ? 0 : fail(done.error());
}

int remove_alias(const Where& where, const AliasOptions& options) {
  return ask_and_show(
      where, {"DELETE", aliases_of(options.function) + "/" + percent_encoded(options.name)},
      [&](const codec::Json&) {
        std::printf("removed %s of %s\n", options.name.c_str(), options.function.c_str());
      });
}

}  // namespace thaw::cli
