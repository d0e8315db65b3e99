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
  return ask_and_show(where, {"GET", "/admin/env", ""}, [&](const codec::Json& variables) {
    for (const auto& [name, value] : variables.items()) {
      std::printf("export %s=%s\n", name.c_str(), shell_quoted(value.get<std::string>()).c_str());
    }
  });
}

}  // namespace thaw::cli
