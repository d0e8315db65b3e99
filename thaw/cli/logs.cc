// SPDX-License-Identifier: Apache-2.0
// thaw logs: what an app's containers printed, up to now or followed.
#include <cstdio>

#include "thaw/cli/admin_client.h"

namespace thaw::cli {

namespace {

void print(const codec::Json& line, Output output) {
  if (output == Output::json) {
    std::printf("%s\n", codec::dump_json(line).c_str());
    return;
  }
  FILE* stream = line.value("channel", "") == "stdout" ? stdout : stderr;
  std::fputs(line.value("text", "").c_str(), stream);
  std::fflush(stream);
}

}  // namespace

int show_logs(const Where& where, const LogOptions& options) {
  std::uint64_t after = 0;
  std::string app = options.app;
  const bool follow = options.follow == LogOptions::Follow::yes;
  while (true) {
    const std::string target = "/admin/logs?app=" + percent_encoded(app) +
                               "&workspace=" + percent_encoded(options.workspace) +
                               "&after=" + std::to_string(after) + (follow ? "&follow=1" : "");
    const auto answer = ask_server(where, {"GET", target, ""});
    if (!answer) {
      return fail(answer.error());
    }
    for (const auto& line : (*answer)["lines"]) {
      print(line, where.output);
    }
    app = answer->value("app", app);
    after = answer->value("after", after);
    const bool more = !(*answer)["lines"].empty();
    if ((!follow && !more) || (follow && answer->value("ended", false))) {
      return 0;
    }
  }
}

}  // namespace thaw::cli
