// SPDX-License-Identifier: Apache-2.0
// thaw token create | approve | list | revoke
#include <cstdio>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

int create_token(const Where& where, const std::string& name, const std::string& workspace) {
  const codec::Json request = {{"name", name}, {"workspace", workspace}};
  return ask_and_show(where, {"POST", "/admin/tokens", codec::dump_json(request)},
                      [&](const codec::Json& made) {
                        std::printf(
                            "workspace  %s\ntoken      %s\nsecret     %s\nThe secret is shown this "
                            "once; Thaw keeps only "
                            "its hash.\n",
                            made.value("workspace", "").c_str(), made.value("token", "").c_str(),
                            made.value("secret", "").c_str());
                      });
}

int approve_token(const Where& where, const std::string& code, const std::string& name,
                  const std::string& workspace) {
  const codec::Json request = {{"code", code}, {"name", name}, {"workspace", workspace}};
  return ask_and_show(
      where, {"POST", "/admin/logins", codec::dump_json(request)}, [](const codec::Json& login) {
        std::printf("Who asked from %s gets a token of the workspace %s.\n",
                    login.value("from", "").c_str(), login.value("workspace", "").c_str());
      });
}

int list_tokens(const Where& where) {
  return ask_and_show(where, {"GET", "/admin/tokens", ""}, [&](const codec::Json& tokens) {
    std::vector<TableRow> rows;
    for (const auto& token : tokens) {
      rows.push_back({token.value("token", ""), token.value("name", ""),
                      token.value("workspace", ""), local_time(token.value("created_at", 0.0))});
    }
    std::fputs(aligned_table({"TOKEN", "NAME", "WORKSPACE", "CREATED"}, rows).c_str(), stdout);
  });
}

int revoke_token(const Where& where, const std::string& token) {
  return ask_and_show(where, {"DELETE", "/admin/tokens/" + percent_encoded(token), ""},
                      [&](const codec::Json&) { std::printf("revoked %s\n", token.c_str()); });
}

}  // namespace thaw::cli
