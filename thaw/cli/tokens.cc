// SPDX-License-Identifier: Apache-2.0
// thaw token create | list | revoke
#include <cstdio>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

int create_token(const Where& where, const std::string& name, const std::string& workspace) {
  const codec::Json request = {{"name", name}, {"workspace", workspace}};
  const auto made = ask_server(where, {"POST", "/admin/tokens", codec::dump_json(request)});
  if (!made) {
    return fail(made.error());
  }
  if (where.output == Output::json) {
    std::printf("%s\n", made->dump(2).c_str());
    return 0;
  }
  std::printf(
      "workspace  %s\ntoken      %s\nsecret     %s\nThe secret is shown this once; Thaw keeps only "
      "its hash.\n",
      made->value("workspace", "").c_str(), made->value("token", "").c_str(),
      made->value("secret", "").c_str());
  return 0;
}

int list_tokens(const Where& where) {
  const auto tokens = ask_server(where, {"GET", "/admin/tokens", ""});
  if (!tokens) {
    return fail(tokens.error());
  }
  if (where.output == Output::json) {
    std::printf("%s\n", tokens->dump(2).c_str());
    return 0;
  }
  std::vector<TableRow> rows;
  for (const auto& token : *tokens) {
    rows.push_back({token.value("token", ""), token.value("name", ""), token.value("workspace", ""),
                    local_time(token.value("created_at", 0.0))});
  }
  std::fputs(aligned_table({"TOKEN", "NAME", "WORKSPACE", "CREATED"}, rows).c_str(), stdout);
  return 0;
}

int revoke_token(const Where& where, const std::string& token) {
  const auto gone = ask_server(where, {"DELETE", "/admin/tokens/" + percent_encoded(token), ""});
  if (!gone) {
    return fail(gone.error());
  }
  if (where.output == Output::json) {
    std::printf("%s\n", gone->dump(2).c_str());
    return 0;
  }
  std::printf("revoked %s\n", token.c_str());
  return 0;
}

}  // namespace thaw::cli
