// SPDX-License-Identifier: Apache-2.0
// thaw env: shell exports, so that `eval "$(thaw env)"` points the clouds' clients at Thaw.
#include <cstdio>

#include "thaw/cli/admin_client.h"

namespace thaw::cli {

namespace {

std::string shell_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return out + "'";
}

}  // namespace

int show_environment(const Where& where) {
  const auto variables = ask_server(where, {"GET", "/admin/env", ""});
  if (!variables) {
    return fail(variables.error());
  }
  if (where.output == Output::json) {
    std::printf("%s\n", variables->dump(2).c_str());
    return 0;
  }
  for (const auto& [name, value] : variables->items()) {
    std::printf("export %s=%s\n", name.c_str(), shell_quoted(value.get<std::string>()).c_str());
  }
  return 0;
}

}  // namespace thaw::cli
