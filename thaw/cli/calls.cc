// SPDX-License-Identifier: Apache-2.0
// thaw call list | show | result | cancel
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/answer_output.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

namespace {

// What the server waits at most.
constexpr double longest_wait_s = 60;

std::string target_of(const std::string& call) { return "/api/v1/calls/" + percent_encoded(call); }

async::Task<void> print_result(ServerClient& client, std::string call, double wait_s) {
  // Its state is asked for first: a function may answer with the status that means "not yet".
  const Instant until =
      monotonic_now() + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(wait_s));
  while (true) {
    const double left = to_seconds(until - monotonic_now());
    const double wait = std::ceil(std::clamp(left, 0.0, longest_wait_s));
    AdminRequest state;
    state.target = target_of(call) + "?wait_s=" + std::to_string(static_cast<int>(wait));
    THAW_CO_TRY(const codec::Json view, co_await client.ask(std::move(state), 120s));
    if (view.value("state", "") == "finished") {
      break;
    }
    if (left <= 0) {
      co_return Error::unavailable("call " + call +
                                   " is not finished; --wait SECONDS waits for its result");
    }
  }
  net::ClientRequest request;
  request.target = target_of(call) + "/result";
  THAW_CO_TRY(const std::unique_ptr<net::ClientResponse> response,
              co_await client.send(std::move(request), std::chrono::hours(1)));
  co_return co_await print_answer(*response, "call " + call);
}

void print_callbacks(const codec::Json& view) {
  std::vector<TableRow> rows;
  for (const auto& one : view.value("callbacks", codec::Json::array())) {
    std::string on;
    for (const auto& word : one.value("on", codec::Json::array())) {
      on += (on.empty() ? "" : ",") + word.get<std::string>();
    }
    rows.push_back({one.value("address", ""), on, one.value("state", ""),
                    std::to_string(one.value("told", 0)), std::to_string(one.value("tries", 0)),
                    local_time(one.value("next_try_at", 0.0)), one.value("why", "")});
  }
  if (!rows.empty()) {
    std::puts("");
    std::fputs(aligned_table({"CALLBACK", "ON", "STATE", "TOLD", "TRIES", "NEXT TRY", "WHY"}, rows)
                   .c_str(),
               stdout);
  }
}

}  // namespace

int list_calls(const Where& where, const std::string& function) {
  const std::string filter = function.empty() ? "" : "?function=" + percent_encoded(function);
  return ask_and_show(where, {"GET", "/api/v1/calls" + filter}, [&](const codec::Json& answer) {
    std::vector<TableRow> rows;
    for (const auto& call : answer["calls"]) {
      const auto& end = call["finished_at"];
      rows.push_back({call.value("call", ""), call.value("function", ""), call.value("state", ""),
                      local_time(call.value("created_at", 0.0)),
                      local_time(end.is_number() ? end.get<double>() : 0.0)});
    }
    std::fputs(aligned_table({"CALL", "FUNCTION", "STATE", "CREATED", "FINISHED"}, rows).c_str(),
               stdout);
    if (!answer.value("next", "").empty()) {
      std::puts("There are more; name a function to see its calls only.");
    }
  });
}

int show_function_call(const Where& where, const std::string& call) {
  return ask_and_show(where, {"GET", target_of(call)}, [&](const codec::Json& view) {
    const std::string version = view.value("version", "");
    std::printf("call %s  function %s  version %s  %s  created %s\n",
                view.value("call", "").c_str(), view.value("function", "").c_str(),
                version.empty() ? "(the live one)" : version.c_str(),
                view.value("state", "").c_str(), local_time(view.value("created_at", 0.0)).c_str());
    std::vector<TableRow> rows;
    for (const auto& output : view["outputs"]) {
      rows.push_back({std::to_string(output.value("index", 0)), output.value("outcome", ""),
                      std::to_string(output.value("attempts", 0)), output.value("error", "")});
    }
    std::fputs(aligned_table({"INDEX", "OUTCOME", "ATTEMPTS", "ERROR"}, rows).c_str(), stdout);
    print_callbacks(view);
  });
}

int show_result(const Where& where, const std::string& call, double wait_s) {
  auto server = choose_server(where);
  if (!server) {
    return fail(server.error());
  }
  async::Loop loop;
  ServerClient client(loop, std::move(*server));
  const Result<void> done = loop.run_task(print_result(client, call, wait_s));
  return done ? 0 : fail(done.error());
}

int cancel_call(const Where& where, const std::string& call) {
  return ask_and_show(where, {"DELETE", target_of(call)},
                      [&](const codec::Json&) { std::printf("cancelled %s\n", call.c_str()); });
}

int show_callback_secret(const Where& where) {
  return ask_and_show(where, {"GET", "/api/v1/callback-secret"}, [&](const codec::Json& answer) {
    std::printf("%s\n", answer.value("secret", "").c_str());
  });
}

}  // namespace thaw::cli
