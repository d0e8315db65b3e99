// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "thaw/cli/verbs.h"
#include "thaw/main/serve.h"
#include "thaw/sandbox/sandbox.h"

using namespace thaw;

namespace {

// `--data` and `--json`, as most verbs have them.
void add_where(CLI::App& verb, cli::Where& where) {
  verb.add_option("--data", where.data, "data folder of the server (default: the newest running)");
  verb.add_flag_callback(
      "--json", [&where] { where.output = cli::Output::json; }, "print JSON for machines");
}

// The first word that should be a verb and is none; empty if all are.
std::string unknown_verb(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  for (int i = 1; i < argc && argv[i][0] != '-'; ++i) {
    const auto verbs = at->get_subcommands([](const CLI::App*) { return true; });
    const auto found = std::find_if(verbs.begin(), verbs.end(), [&](const CLI::App* verb) {
      return verb->get_name() == argv[i];
    });
    if (found == verbs.end()) {
      return verbs.empty() ? std::string() : argv[i];
    }
    at = *found;
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (sandbox::is_to_be_spawner(argc, argv)) {
    return sandbox::run_as_spawner();
  }
  CLI::App app("Thaw: the serverless AI cloud on your own machine", "thaw");
  app.require_subcommand(1);
  app.set_version_flag("--version", "thaw " THAW_VERSION);
  cli::Where where;
  int exit_code = 0;

  main_program::ServeOptions serve_options;
  bool serving = false;
  auto* serve = app.add_subcommand("serve", "run gateway, control and one worker");
  serve->add_option("--listen", serve_options.listen, "HOST:PORT; port 0 picks a free one")
      ->capture_default_str();
  serve->add_option("--data", serve_options.data, "data folder, made if missing")
      ->capture_default_str();
  serve->add_option("--config", serve_options.configuration, "configuration file (TOML)");
  serve->add_flag_callback(
      "--accept-loss", [&] { serve_options.loss = main_program::ServeOptions::Loss::accept; },
      "start although stored commits or the key of stored secrets are gone, without them");
  serve->callback([&] { serving = true; });

  auto* env = app.add_subcommand("env", "shell exports for the clients: eval \"$(thaw env)\"");
  add_where(*env, where);
  env->callback([&] { exit_code = cli::show_environment(where); });

  auto* token = app.add_subcommand("token", "create, list and revoke tokens");
  token->require_subcommand(1);
  std::string token_text;
  auto* create = token->add_subcommand("create", "make a token; its secret is shown once");
  create->add_option("name", token_text, "a name for people");
  std::string workspace_name;
  create->add_option("--workspace", workspace_name, "whose (default: the server's first)");
  add_where(*create, where);
  create->callback([&] { exit_code = cli::create_token(where, token_text, workspace_name); });
  auto* list = token->add_subcommand("list", "all tokens, without their secrets");
  add_where(*list, where);
  list->callback([&] { exit_code = cli::list_tokens(where); });
  auto* revoke = token->add_subcommand("revoke", "end a token at once");
  revoke->add_option("token", token_text, "its id, ak-…")->required();
  add_where(*revoke, where);
  revoke->callback([&] { exit_code = cli::revoke_token(where, token_text); });

  auto* workspace = app.add_subcommand("workspace", "create and list workspaces");
  workspace->require_subcommand(1);
  auto* create_workspace =
      workspace->add_subcommand("create", "make one, which sees nothing of the others");
  create_workspace->add_option("name", workspace_name, "letters, digits and dashes")->required();
  add_where(*create_workspace, where);
  create_workspace->callback([&] { exit_code = cli::create_workspace(where, workspace_name); });
  auto* list_workspaces = workspace->add_subcommand("list", "all workspaces");
  add_where(*list_workspaces, where);
  list_workspaces->callback([&] { exit_code = cli::list_workspaces(where); });

  std::string call;
  auto* ps = app.add_subcommand("ps", "containers, with the stages of their start");
  ps->add_option("--call", call, "show this function call instead: outcomes and attempts");
  add_where(*ps, where);
  ps->callback([&] {
    exit_code = call.empty() ? cli::show_containers(where) : cli::show_call(where, call);
  });

  auto* functions = app.add_subcommand(
      "functions",
      "functions in use: how long a container is kept, when one is started ahead, why");
  add_where(*functions, where);
  functions->callback([&] { exit_code = cli::show_functions(where); });

  cli::LogOptions log_options;
  bool starts = false;
  auto* logs = app.add_subcommand("logs", "what an app's containers printed");
  logs->add_option("app", log_options.app, "name or id of the app (default: the newest)");
  logs->add_option("--workspace", log_options.workspace, "where the app is looked for");
  logs->add_flag_callback(
      "-f,--follow", [&] { log_options.follow = cli::LogOptions::Follow::yes; },
      "go on until the app ends");
  logs->add_flag("--starts", starts, "container starts with their stages instead");
  add_where(*logs, where);
  logs->callback([&] {
    exit_code =
        starts ? cli::show_starts(where, log_options.app) : cli::show_logs(where, log_options);
  });

  auto* doctor = app.add_subcommand("doctor", "what this machine lacks, and what to do about it");
  doctor->add_option("--data", where.data, "data folder of one server (default: all that run)");
  doctor->add_flag_callback(
      "--json", [&] { where.output = cli::Output::json; }, "print JSON for machines");
  doctor->callback([&] { exit_code = cli::diagnose(where, main_program::lacks_own_ids); });

  auto* version = app.add_subcommand("version", "the version of this program");
  version->add_flag_callback(
      "--json", [&] { where.output = cli::Output::json; }, "print JSON for machines");
  version->callback([&] { exit_code = cli::show_version(where.output); });

  if (const std::string word = unknown_verb(app, argc, argv); !word.empty()) {
    std::fprintf(stderr, "thaw: there is no verb '%s'; `thaw --help` lists them\n", word.c_str());
    return 2;
  }
  CLI11_PARSE(app, argc, argv);
  return serving ? main_program::serve(serve_options) : exit_code;
}
