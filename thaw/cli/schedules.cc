// SPDX-License-Identifier: Apache-2.0
// thaw schedule list | run
#include <cstdio>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

namespace {

std::string last_run(const codec::Json& runs) {
  if (runs.empty()) {
    return "-";
  }
  const codec::Json& run = runs.front();
  const std::string when = local_time(run.value("tick", 0.0));
  return run.contains("call") ? when + "  " + run.value("call", "") + " " + run.value("state", "")
                              : when + "  left out: " + run.value("left_out", "");
}

// The id of the function that has a schedule and this name, "app/name" or this id.
Result<std::string> find_id(const Where& where, const std::string& name) {
  THAW_TRY(const codec::Json all, ask_server(where, {"GET", "/api/v1/schedules"}));
  std::string found;
  for (const auto& one : all["schedules"]) {
    const std::string own = one.value("name", "");
    const std::string whole = one.value("app", "") + "/" + own;
    if (one.value("function", "") == name || whole == name) {
      return one.value("function", "");
    }
    if (own == name) {
      if (!found.empty()) {
        return Error::invalid_argument("several functions with schedules are called '" + name +
                                       "'; say APP/" + name);
      }
      found = one.value("function", "");
    }
  }
  if (found.empty()) {
    return Error::not_found("no function '" + name +
                            "' has a schedule here; thaw schedule list tells which have");
  }
  return found;
}

Result<void> run(const Where& where, const std::string& name) {
  THAW_TRY(const std::string id, find_id(where, name));
  AdminRequest request;
  request.method = "POST";
  request.target = "/api/v1/schedules/" + percent_encoded(id) + "/runs";
  THAW_TRY(const codec::Json made, ask_server(where, request));
  const std::string call = made.value("call", "");
  if (where.output == Output::json) {
    std::printf("%s\n", made.dump(2).c_str());
  } else {
    std::printf("call %s; thaw ps --call %s tells how it goes\n", call.c_str(), call.c_str());
  }
  return ok();
}

}  // namespace

int list_schedules(const Where& where) {
  return ask_and_show(where, {"GET", "/api/v1/schedules"}, [](const codec::Json& answer) {
    std::vector<TableRow> rows;
    for (const auto& one : answer["schedules"]) {
      const auto& next = one["next"];
      rows.push_back({one.value("app", ""), one.value("name", ""), one.value("schedule", ""),
                      next.empty() ? "never" : local_time(next.front().get<double>()),
                      last_run(one["runs"])});
    }
    std::fputs(aligned_table({"APP", "FUNCTION", "SCHEDULE", "NEXT", "LAST"}, rows).c_str(),
               stdout);
  });
}

int run_schedule(const Where& where, const std::string& name) {
  const Result<void> done = run(where, name);
  return done ? 0 : fail(done.error());
}

}  // namespace thaw::cli
