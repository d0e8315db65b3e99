// SPDX-License-Identifier: Apache-2.0
// thaw token create | approve | list | rotate | revoke
#include <cstdio>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/table.h"
#include "thaw/cli/time_spans.h"

namespace thaw::cli {

namespace {

std::string text_in(const codec::Json& from, const char* field) {
  const auto found = from.find(field);
  return found != from.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string moment_in(const codec::Json& from, const char* field) {
  const auto found = from.find(field);
  return local_time(found != from.end() && found->is_number() ? found->get<double>() : 0);
}

std::string or_dash(std::string text) { return text.empty() ? "-" : text; }

// What is shown once: one text for all clouds, its two halves, and the pair of keys to sign with.
void show_secret(const codec::Json& made) {
  const std::vector<std::pair<const char*, std::string>> lines = {
      {"workspace", text_in(made, "workspace")},
      {"scopes", text_in(made, "scopes")},
      {"functions", text_in(made, "functions")},
      {"expires", moment_in(made, "expires_at")},
      {"token", text_in(made, "token")},
      {"secret", text_in(made, "secret")},
      {"key", text_in(made, "key")},
      {"secret access key", text_in(made, "secret_access_key")},
      {"old secret until", moment_in(made, "old_secret_until")}};
  for (const auto& [name, value] : lines) {
    if (!value.empty() && value != "-") {
      std::printf("%-18s %s\n", name, value.c_str());
    }
  }
  std::printf("The secret is shown this once; Thaw keeps only its hash.\n");
}

}  // namespace

int create_token(const Where& where, const TokenOptions& options) {
  codec::Json request = {{"name", options.name},
                         {"workspace", options.workspace},
                         {"scopes", options.scopes},
                         {"functions", options.functions},
                         {"prefix", options.prefix}};
  if (!options.span.empty()) {
    const auto seconds = parse_time_span(options.span);
    if (!seconds || *seconds == 0) {
      return fail(seconds ? Error::invalid_argument("a token is to be good for some time")
                          : seconds.error());
    }
    request["seconds"] = *seconds;
  }
  return ask_and_show(where, {"POST", "/admin/tokens", codec::dump_json(request)}, show_secret);
}

int approve_token(const Where& where, const std::string& code, const std::string& name,
                  const std::string& workspace) {
  const codec::Json request = {{"code", code}, {"name", name}, {"workspace", workspace}};
  return ask_and_show(
      where, {"POST", "/admin/logins", codec::dump_json(request)}, [](const codec::Json& login) {
        std::printf("Who asked from %s gets a token that may do everything in the workspace %s.\n",
                    login.value("from", "").c_str(), login.value("workspace", "").c_str());
      });
}

int list_tokens(const Where& where) {
  return ask_and_show(where, {"GET", "/admin/tokens", ""}, [&](const codec::Json& tokens) {
    std::vector<TableRow> rows;
    for (const auto& token : tokens) {
      const bool is_over = token.value("expired", false);
      rows.push_back({text_in(token, "token"), or_dash(text_in(token, "name")),
                      text_in(token, "workspace"), text_in(token, "scopes"),
                      or_dash(text_in(token, "functions")), moment_in(token, "created_at"),
                      is_over ? "expired" : moment_in(token, "expires_at"),
                      moment_in(token, "last_used_at")});
    }
    const TableRow heading = {"TOKEN",     "NAME",    "WORKSPACE", "SCOPES",
                              "FUNCTIONS", "CREATED", "EXPIRES",   "LAST USE"};
    std::fputs(aligned_table(heading, rows).c_str(), stdout);
  });
}

int rotate_token(const Where& where, const TokenOptions& options) {
  const auto grace = parse_time_span(options.span);
  if (!grace) {
    return fail(grace.error());
  }
  const codec::Json request = {{"prefix", options.prefix}, {"seconds", *grace}};
  return ask_and_show(where,
                      {"POST", "/admin/tokens/" + percent_encoded(options.name) + "/rotation",
                       codec::dump_json(request)},
                      show_secret);
}

int revoke_token(const Where& where, const std::string& token) {
  return ask_and_show(where, {"DELETE", "/admin/tokens/" + percent_encoded(token), ""},
                      [&](const codec::Json&) { std::printf("revoked %s\n", token.c_str()); });
}

}  // namespace thaw::cli
