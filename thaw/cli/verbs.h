// SPDX-License-Identifier: Apache-2.0
//
// The verbs of the `thaw` command, but for `serve`. Each returns the exit code of the process: 0,
// or 1 after an error that it has told on stderr.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace thaw::cli {

enum class Output { table, json };

struct Where {
  std::string data;  // data folder of the server; empty: the newest running one
  Output output = Output::table;
};

int show_environment(const Where& where);
// `workspace`: its name; empty: the default one
int create_token(const Where& where, const std::string& name, const std::string& workspace);
int create_workspace(const Where& where, const std::string& name);
int list_workspaces(const Where& where);
int list_tokens(const Where& where);
int revoke_token(const Where& where, const std::string& token);
int show_containers(const Where& where);  // thaw ps
int show_functions(const Where& where);   // thaw functions
int show_call(const Where& where, const std::string& call);

struct LogOptions {
  std::string app;        // name or id; empty: the newest
  std::string workspace;  // where a name is looked for; empty: in all
  enum class Follow { no, yes } follow = Follow::no;
};
int show_logs(const Where& where, const LogOptions& options);
// thaw logs --starts; `app`: name or id, empty: all
int show_starts(const Where& where, const std::string& app);
// thaw doctor, of all servers that run here or of the one of `where`. `lacks_own_ids`: why
// containers cannot have user ids of their own; empty: they can.
int diagnose(const Where& where, const std::function<std::string()>& lacks_own_ids);
int show_version(Output output);

}  // namespace thaw::cli
