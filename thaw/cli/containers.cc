// SPDX-License-Identifier: Apache-2.0
// thaw ps, thaw logs --starts, thaw ps --call: containers and what became of a call.
#include <cstdio>
#include <set>
#include <string>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

namespace {

std::string stage(const codec::Json& view, const char* name) {
  const auto& value = view["stages_ms"][name];
  return short_duration(value.is_number() ? value.get<double>() : -1);
}

TableRow stage_cells(const codec::Json& view) {
  TableRow cells;
  for (const char* name :
       {"queue", "sandbox", "interpreter", "imports", "user_code", "call", "total"}) {
    cells.push_back(stage(view, name));
  }
  return cells;
}

}  // namespace

int show_containers(const Where& where) {
  return ask_and_show(where, {"GET", "/admin/ps", ""}, [&](const codec::Json& views) {
    std::vector<TableRow> rows;
    for (const auto& view : views) {
      TableRow row = {view.value("container", ""),
                      view.value("workspace", ""),
                      view.value("app", ""),
                      view.value("function", ""),
                      view.value("status", ""),
                      view.value("level_name", ""),
                      short_duration(view.value("age_s", 0.0) * 1000),
                      std::to_string(view.value("inputs", 0)),
                      std::to_string(view.value("calls", 0)),
                      short_bytes(view.value("memory_bytes", 0.0))};
      const TableRow cells = stage_cells(view);
      row.insert(row.end(), cells.begin(), cells.end() - 2);
      rows.push_back(std::move(row));
    }
    std::fputs(aligned_table(
                   {"CONTAINER", "WORKSPACE", "APP", "FUNCTION", "STATUS", "LEVEL", "AGE", "INPUTS",
                    "CALLS", "MEMORY", "QUEUE", "SANDBOX", "INTERPRETER", "IMPORTS", "USER CODE"},
                   rows)
                   .c_str(),
               stdout);
  });
}

int show_functions(const Where& where) {
  const auto views = ask_server(where, {"GET", "/admin/functions", ""});
  if (!views) {
    return fail(views.error());
  }
  if (where.output == Output::json) {
    std::printf("%s\n", views->dump(2).c_str());
    return 0;
  }
  const auto ms = [](double value) { return value > 0 ? short_duration(value) : std::string("-"); };
  std::vector<TableRow> rows;
  for (const auto& view : *views) {
    std::string levels;
    for (const auto& level : view["tries"]) {
      levels += (levels.empty() ? "" : " ") + level.get<std::string>();
    }
    const double ahead = view.value("ahead_in_s", 0.0);
    rows.push_back({view.value("workspace", ""), view.value("app", ""), view.value("function", ""),
                    std::to_string(view.value("containers", 0)),
                    ms(view.value("idle_s", 0.0) * 1000), ms(view.value("window_s", 0.0) * 1000),
                    ms(ahead * 1000), view.value("because", ""), ms(view.value("start_ms", 0.0)),
                    ms(view.value("call_ms", 0.0)), levels});
  }
  std::fputs(aligned_table({"WORKSPACE", "APP", "FUNCTION", "CONTAINERS", "IDLE", "WINDOW",
                            "AHEAD IN", "BECAUSE", "START", "CALL", "TRIES"},
                           rows)
                 .c_str(),
             stdout);
  return 0;
}

int show_starts(const Where& where, const std::string& app) {
  // First those that live: one that ends meanwhile is then among those that have ended.
  const auto living = ask_server(where, {"GET", "/admin/ps", ""});
  if (!living) {
    return fail(living.error());
  }
  auto views = ask_server(where, {"GET", "/admin/starts", ""});
  if (!views) {
    return fail(views.error());
  }
  std::set<std::string> ended;
  for (const auto& view : *views) {
    ended.insert(view.value("container", ""));
  }
  for (const auto& view : *living) {
    if (!ended.contains(view.value("container", ""))) {
      views->push_back(view);
    }
  }
  codec::Json chosen = codec::Json::array();
  for (const auto& view : *views) {
    if (app.empty() || view.value("app", "") == app || view.value("app_id", "") == app) {
      chosen.push_back(view);
    }
  }
  if (where.output == Output::json) {
    std::printf("%s\n", chosen.dump(2).c_str());
    return 0;
  }
  std::vector<TableRow> rows;
  for (const auto& view : chosen) {
    TableRow row = {view.value("container", ""), view.value("workspace", ""), view.value("app", ""),
                    view.value("function", ""), view.value("level_name", "")};
    const TableRow cells = stage_cells(view);
    row.insert(row.end(), cells.begin(), cells.end());
    row.push_back(std::to_string(view.value("calls", 0)));
    std::string fell_from;
    for (const auto& fallback : view["fell_from"]) {
      fell_from += (fell_from.empty() ? "" : ", ") + fallback.value("level", "") + " " +
                   fallback.value("reason", "");
    }
    row.push_back(std::move(fell_from));
    row.push_back(view.value("end", "").empty() ? view.value("status", "") : view.value("end", ""));
    rows.push_back(std::move(row));
  }
  std::fputs(aligned_table({"CONTAINER", "WORKSPACE", "APP", "FUNCTION", "LEVEL", "QUEUE",
                            "SANDBOX", "INTERPRETER", "IMPORTS", "USER CODE", "CALL", "TOTAL",
                            "CALLS", "FELL FROM", "END"},
                           rows)
                 .c_str(),
             stdout);
  return 0;
}

int show_call(const Where& where, const std::string& call) {
  return ask_and_show(
      where, {"GET", "/admin/calls/" + percent_encoded(call), ""}, [&](const codec::Json& info) {
        std::printf("call %s  inputs %d  unfinished %d\n", info.value("call", "").c_str(),
                    info.value("inputs", 0), info.value("unfinished", 0));
        std::vector<TableRow> rows;
        for (const auto& output : info["outputs"]) {
          rows.push_back({std::to_string(output.value("index", 0)), output.value("outcome", ""),
                          std::to_string(output.value("attempts", 0)),
                          output.value("container", "")});
        }
        std::fputs(aligned_table({"INDEX", "OUTCOME", "ATTEMPTS", "CONTAINER"}, rows).c_str(),
                   stdout);
      });
}

}  // namespace thaw::cli
