// SPDX-License-Identifier: Apache-2.0
// thaw workspace create | list
#include <cstdio>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

int create_workspace(const Where& where, const std::string& name) {
  const codec::Json request = {{"name", name}};
  const auto made = ask_server(where, {"POST", "/admin/workspaces", codec::dump_json(request)});
  if (!made) {
    return fail(made.error());
  }
  if (where.output == Output::json) {
    std::printf("%s\n", made->dump(2).c_str());
    return 0;
  }
  const std::string shown = made->value("name", "");
  std::printf("workspace %s; `thaw token create --workspace %s` makes a token of it\n",
              shown.c_str(), shown.c_str());
  return 0;
}

int list_workspaces(const Where& where) {
  const auto workspaces = ask_server(where, {"GET", "/admin/workspaces", ""});
  if (!workspaces) {
    return fail(workspaces.error());
  }
  if (where.output == Output::json) {
    std::printf("%s\n", workspaces->dump(2).c_str());
    return 0;
  }
  std::vector<TableRow> rows;
  for (const auto& workspace : *workspaces) {
    rows.push_back({workspace.value("name", ""), workspace.value("workspace", "")});
  }
  std::fputs(aligned_table({"NAME", "ID"}, rows).c_str(), stdout);
  return 0;
}

}  // namespace thaw::cli
