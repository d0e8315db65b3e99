// SPDX-License-Identifier: Apache-2.0
// thaw model alias
#include "thaw/cli/model_aliases.h"

#include <cstdio>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

int list_model_aliases(const Where& where) {
  return ask_and_show(where, {"GET", "/api/v1/model-aliases"}, [](const codec::Json& answer) {
    std::vector<TableRow> rows;
    for (const auto& one : answer.value("aliases", codec::Json::array())) {
      rows.push_back({one.value("alias", ""), one.value("target", ""), one.value("task", ""),
                      local_time(one.value("created_at", 0.0))});
    }
    std::fputs(aligned_table({"ALIAS", "TARGET", "TASK", "SET"}, rows).c_str(), stdout);
  });
}

int set_model_alias(const Where& where, const ModelAliasOptions& options) {
  AdminRequest request;
  request.method = "PUT";
  request.target = "/api/v1/model-aliases/" + percent_encoded(options.name);
  request.body = codec::dump_json({{"target", options.target}, {"task", options.task}});
  return ask_and_show(where, request, [](const codec::Json& view) {
    std::printf("%s is answered by %s\n", view.value("alias", "").c_str(),
                view.value("target", "").c_str());
  });
}

int remove_model_alias(const Where& where, const std::string& name) {
  return ask_and_show(
      where, {"DELETE", "/api/v1/model-aliases/" + percent_encoded(name)},
      [&](const codec::Json&) { std::printf("nothing answers to %s any more\n", name.c_str()); });
}

}  // namespace thaw::cli
