// SPDX-License-Identifier: Apache-2.0
// thaw workspace create | list
#include <cstdio>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

int create_workspace(const Where& where, const std::string& name) {
  const codec::Json request = {{"name", name}};
  return ask_and_show(
      where, {"POST", "/admin/workspaces", codec::dump_json(request)},
      [&](const codec::Json& made) {
        const std::string shown = made.value("name", "");
        std::printf("workspace %s; `thaw token create --workspace %s` makes a token of it\n",
                    shown.c_str(), shown.c_str());
      });
}

int list_workspaces(const Where& where) {
  return ask_and_show(where, {"GET", "/admin/workspaces", ""}, [&](const codec::Json& workspaces) {
    std::vector<TableRow> rows;
    for (const auto& workspace : workspaces) {
      rows.push_back({workspace.value("name", ""), workspace.value("workspace", "")});
    }
    std::fputs(aligned_table({"NAME", "ID"}, rows).c_str(), stdout);
  });
}

}  // namespace thaw::cli
