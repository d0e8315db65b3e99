// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "thaw/cli/model_aliases.h"
#include "thaw/cli/push_guess.h"
#include "thaw/cli/verbs.h"
#include "thaw/cli/worker_config.h"
#include "thaw/main/run.h"
#include "thaw/main/serve.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::main_program {

namespace {

// Which server, and `--json`, as most verbs have them. Where `--data` is something else the server
// has its longer name only.
void add_where(CLI::App& verb, cli::Where& where, const char* names = "--server,--data") {
  verb.add_option(names, where.data, "data folder of the server (default: the newest running)");
  verb.add_flag_callback(
      "--json", [&where] { where.output = cli::Output::json; }, "print JSON for machines");
}

void add_push(CLI::App& app, cli::Where& where, cli::PushOptions& options, int& exit_code) {
  auto* push =
      app.add_subcommand("push", "make a function of a folder with a Dockerfile, or of a model");
  push->add_option("folder", options.folder, cli::pushed_folders);
  push->add_option("name", options.name,
                   "of the function (default: the folder's); of a model [OWNER/]NAME[:TAG]");
  push->add_option("--description", options.description, "of a model, for people");
  push->add_option("--visibility", options.visibility,
                   "of a model (default: as it is, at first private)")
      ->check(CLI::IsMember({"public", "private"}));
  push->add_option("--preset", options.preset,
                   "what kind of server it is (default: guessed, and said)");
  push->add_option("--port", options.port, "where it listens (default: EXPOSE, or the preset's)")
      ->check(CLI::Range(1, 65535));
  push->add_option("--wire", options.wire,
                   "what it speaks: http1, or h2c: HTTP/2 without TLS (default: the preset's)")
      ->check(CLI::IsMember({"http1", "h2c"}));
  push->add_option("--ready", options.ready_path, "GET of it succeeds once the server is ready");
  push->add_option("--health", options.health_path, "GET of it succeeds while the server is well");
  push->add_option("--env", options.env, "NAME=value, for the server")->allow_extra_args(false);
  auto* build_args =
      push->add_option("--build-arg", options.build_args, "NAME=value, for ARG of the Dockerfile")
          ->allow_extra_args(false);
  push->add_option("--memory", options.memory, "most that one container may have, as 2GiB");
  push->add_option("--cpu", options.cpu, "processors of one container, as 0.5")
      ->check(CLI::Range(0.001, 1024.0));
  push->add_option("--gpu", options.gpu, "kind of GPU");
  push->add_option("--min", options.min, "containers that are always kept");
  push->add_option("--max", options.max, "most containers at once");
  push->add_option("--idle", options.idle_s, "seconds that an idle container is kept");
  push->add_option("--timeout", options.timeout_s, "most seconds of one request");
  push->add_option("--concurrency", options.concurrency, "requests in one container at once")
      ->check(CLI::Range(1, 10'000));
  push->add_option("--keep-versions", options.keep_versions,
                   "versions that are kept, the live one among them");
  push->add_option("--alias", options.aliases,
                   "NAME=PERCENT: this version's part of an alias; the others share the rest")
      ->allow_extra_args(false);
  auto* schedule = push->add_option(
      "--schedule", options.schedule,
      "when the server calls it: \"0 2 * * *\" (cron), or \"every 300\" (seconds)");
  push->add_option("--schedule-zone", options.schedule_zone, "time zone of a cron schedule")
      ->needs(schedule);
  push->add_option("--schedule-path", options.schedule_path, "path that it is called at then")
      ->needs(schedule);
  auto* snapshot = push->add_flag_callback(
      "--snapshot", [&options] { options.snapshot = cli::PushOptions::Snapshot::at_ready; },
      "later containers go on from the memory of one that was ready (default: models only)");
  push->add_flag_callback(
          "--no-snapshot", [&options] { options.snapshot = cli::PushOptions::Snapshot::no; },
          "all containers start anew")
      ->excludes(snapshot);
  push->add_option("--restored", options.restored_path,
                   "POST to it tells the server that it was restored, before anybody asks it")
      ->needs(snapshot);
  push->add_option("--callers", options.callers, "who may call it")
      ->check(CLI::IsMember({"anyone", "tokens"}));
  auto* dockerfile = push->add_option("--dockerfile", options.dockerfile,
                                      "another file (default: DIR/Dockerfile)");
  push->add_option("--image", options.image,
                   "an image in the place of a folder: NAME[:TAG] of this server's registry, with "
                   "its HOST:PORT, or of another one; what stands alone is then the name")
      ->excludes(dockerfile, build_args);
  add_where(*push, where);
  push->callback([&] {
    if (options.folder.empty() && options.image.empty()) {
      throw CLI::RequiredError("folder, or --image NAME");
    }
    exit_code =
        options.image.empty() ? cli::push_folder(where, options) : cli::push_image(where, options);
  });
}

void add_invoke(CLI::App& app, cli::Where& where, cli::InvokeOptions& options, int& exit_code) {
  auto* invoke = app.add_subcommand("invoke", "send a request to a function, print its answer");
  invoke->add_option("name", options.name, "of the function")->required();
  invoke->add_option("--path", options.path,
                     "path and query (default: /; of --async: the preset's)");
  invoke->add_option("--method", options.method, "default: POST with --data, else GET");
  invoke->add_option("--data", options.data, "the body: text, @FILE, or - for standard input");
  invoke->add_option("--header", options.headers, "'name: value'")->allow_extra_args(false);
  invoke->add_option("--version", options.version, "a version or an alias of it");
  auto* wait = invoke->add_option("--wait", options.wait_s, "most seconds for the whole answer")
                   ->capture_default_str()
                   ->check(CLI::Range(0.001, 1e6));
  invoke
      ->add_flag_callback(
          "--async", [&options] { options.delivery = cli::InvokeOptions::Delivery::asynchronous; },
          "leave it to the server, and print the call's id")
      ->excludes(wait);
  auto* callback = invoke
                       ->add_option("--callback", options.callbacks,
                                    "with --async: an address that is told of the call, or "
                                    "function:NAME (up to 8)")
                       ->allow_extra_args(false);
  invoke
      ->add_option("--callback-on", options.callback_on,
                   "of what: started,output,final (default: final)")
      ->needs(callback);
  invoke
      ->add_option("--callback-for", options.callback_for_s,
                   "seconds after the call's end until it is given up (default: a day)")
      ->needs(callback)
      ->check(CLI::Range(1, 604'800));
  add_where(*invoke, where, "--server");
  invoke->callback([&] { exit_code = cli::invoke(where, options); });
}

void add_alias(CLI::App& app, cli::Where& where, cli::AliasOptions& options, int& exit_code) {
  auto* alias = app.add_subcommand("alias", "names for versions of functions, with weights");
  alias->require_subcommand(1);
  auto* set = alias->add_subcommand("set", "give an alias these versions, and no others");
  auto* list = alias->add_subcommand("list", "aliases and what they name");
  auto* remove = alias->add_subcommand("rm", "remove one; its versions stay as long as others do");
  for (CLI::App* verb : {set, list, remove}) {
    auto* function = verb->add_option("function", options.function, "whose");
    if (verb != list) {
      function->required();
      verb->add_option("alias", options.name, "its name; 'live' is the plain address")->required();
    }
    add_where(*verb, where, "--server");
  }
  set->add_option("versions", options.versions, "V=WEIGHT, weights from 1 to 10000")->required();
  set->callback([&] { exit_code = cli::set_alias(where, options); });
  list->callback([&] { exit_code = cli::list_aliases(where, options.function); });
  remove->callback([&] { exit_code = cli::remove_alias(where, options); });
}

void add_schedule(CLI::App& app, cli::Where& where, std::string& name, int& exit_code) {
  auto* schedule = app.add_subcommand("schedule", "functions that the server calls by the clock");
  schedule->require_subcommand(1);
  auto* list = schedule->add_subcommand("list", "which, when next, and what came of the last tick");
  list->callback([&] { exit_code = cli::list_schedules(where); });
  auto* run = schedule->add_subcommand("run", "call one now, beside its ticks");
  run->add_option("function", name, "its name, APP/NAME or its id")->required();
  run->callback([&] { exit_code = cli::run_schedule(where, name); });
  add_where(*list, where);
  add_where(*run, where);
}

struct CostWords {
  cli::CostOptions cost;
  cli::EstimateOptions estimate;
  std::string file;
};

void add_cost_range(CLI::App& verb, cli::CostOptions& options) {
  verb.add_option("--from", options.from, "a day such as 2026-12-01 (default: 30 days ago)");
  verb.add_option("--until", options.until, "a day, which is not counted any more (default: now)");
  verb.add_option("--workspace", options.workspace, "of this one only (default: all)");
}

void add_cost(CLI::App& app, cli::Where& where, CostWords& words, int& exit_code) {
  auto* cost = app.add_subcommand("cost", "what functions have used, and what that costs");
  cost->require_subcommand(0, 1);
  cost->add_option("--by", words.cost.by, "what the rows are")
      ->check(CLI::IsMember({"function", "token", "front", "day", "level"}));
  cost->add_flag_callback(
      "--csv", [&words] { words.cost.format = cli::CostOptions::Format::csv; },
      "for spreadsheets; all times in microseconds");
  add_cost_range(*cost, words.cost);
  add_where(*cost, where);
  auto* compare = cost->add_subcommand("compare", "the same use by other clouds' prices");
  compare->add_option("file", words.file, "prices, in YAML (docs/guides/cost.md)")->required();
  add_cost_range(*compare, words.cost);
  add_where(*compare, where);
  compare->callback([&] { exit_code = cli::compare_cost(where, words.cost, words.file); });
  auto* estimate = cost->add_subcommand("estimate", "by the second, or machines by the hour");
  cli::EstimateOptions& options = words.estimate;
  constexpr std::int64_t most_calls = 10'000'000'000;
  estimate->add_option("--calls", options.calls_a_day, "calls a day (default: 1000)")
      ->check(CLI::Range(std::int64_t{1}, most_calls));
  estimate->add_option("--calls-a-month", options.calls_a_month, "instead; a month has 30 days")
      ->check(CLI::Range(std::int64_t{1}, most_calls));
  estimate->add_option("--seconds", options.seconds, "that a call takes (default: 1)");
  estimate->add_option("--price", options.price, "of a second")->required();
  estimate->add_option("--fee", options.fee, "of a call (default: 0)");
  estimate->add_option("--cold-share", options.cold_share,
                       "what cold starts add to the seconds: 1/3, 0.1, 25% (default: 0)");
  estimate->add_option("--dedicated", options.dedicated, "price of one machine's hour");
  estimate->add_option("--machines", options.machines, "so many of them (default: 1)")
      ->check(CLI::Range(1, 1'000'000));
  add_where(*estimate, where);
  estimate->callback([&] { exit_code = cli::estimate_cost(where, words.estimate); });
  cost->callback([cost, &where, &words, &exit_code] {
    if (cost->get_subcommands().empty()) {
      exit_code = cli::show_cost(where, words.cost);
    }
  });
}

// What is named in a verb's own words: a call or a function, and how long to wait for it.
struct Named {
  std::string name;
  std::string version;
  double wait_s = 0;
};

void add_call(CLI::App& app, cli::Where& where, Named& named, int& exit_code) {
  auto* call = app.add_subcommand("call", "calls, and what became of them");
  call->require_subcommand(1);
  auto* list = call->add_subcommand("list", "the newest hundred");
  list->add_option("function", named.name, "whose (default: of all)");
  add_where(*list, where);
  list->callback([&] { exit_code = cli::list_calls(where, named.name); });
  auto* show = call->add_subcommand("show", "its state, outcomes, attempts and callbacks");
  show->callback([&] { exit_code = cli::show_function_call(where, named.name); });
  auto* result = call->add_subcommand("result", "what the function answered");
  result->add_option("--wait", named.wait_s, "seconds to wait until it is there")
      ->check(CLI::Range(0.0, 1e6));
  result->callback([&] { exit_code = cli::show_result(where, named.name, named.wait_s); });
  auto* cancel = call->add_subcommand("cancel", "end it");
  cancel->callback([&] { exit_code = cli::cancel_call(where, named.name); });
  auto* secret = call->add_subcommand("secret", "that callbacks' signatures are checked with");
  add_where(*secret, where);
  secret->callback([&] { exit_code = cli::show_callback_secret(where); });
  for (CLI::App* verb : {show, result, cancel}) {
    verb->add_option("call", named.name, "its id")->required();
    add_where(*verb, where);
  }
}

void add_function(CLI::App& app, cli::Where& where, Named& named, int& exit_code) {
  auto* function = app.add_subcommand("function", "functions that `thaw push` made");
  function->require_subcommand(1);
  auto* list = function->add_subcommand("list", "all of them");
  list->callback([&] { exit_code = cli::list_pushed(where); });
  auto* show = function->add_subcommand("show", "one, with its settings");
  show->callback([&] { exit_code = cli::show_pushed(where, named.name); });
  auto* remove = function->add_subcommand("rm", "remove one, and end its containers");
  remove->callback([&] { exit_code = cli::remove_pushed(where, named.name); });
  for (CLI::App* verb : {list, show, remove}) {
    if (verb != list) {
      verb->add_option("name", named.name, "of the function")->required();
    }
    add_where(*verb, where);
  }
}

struct ModelAliasArguments {
  cli::ModelAliasOptions options;
  bool removes = false;
};

void add_model_alias(CLI::App& model, cli::Where& where, ModelAliasArguments& arguments,
                     int& exit_code) {
  auto* alias = model.add_subcommand("alias", "names of other clouds' models, for one's own");
  alias->add_option("name", arguments.options.name, "such as @cf/meta/llama-3.1-8b-instruct");
  alias->add_option("target", arguments.options.target,
                    "who answers: OWNER/MODEL, or a pushed function (default: list them)");
  alias->add_option("--task", arguments.options.task,
                    "what it does, such as text-generation (default: as it looks)");
  alias->add_flag("--rm", arguments.removes, "nothing answers to this name any more");
  add_where(*alias, where);
  alias->callback([&] {
    const cli::ModelAliasOptions& options = arguments.options;
    exit_code = arguments.removes        ? cli::remove_model_alias(where, options.name)
                : options.target.empty() ? cli::list_model_aliases(where)
                                         : cli::set_model_alias(where, options);
  });
}

void add_model(CLI::App& app, cli::Where& where, Named& named, ModelAliasArguments& alias,
               int& exit_code) {
  auto* model =
      app.add_subcommand("model", "models: functions that say what goes in and comes out");
  model->require_subcommand(1);
  auto* list = model->add_subcommand("list", "all of them");
  list->callback([&] { exit_code = cli::list_models(where); });
  auto* show = model->add_subcommand("show", "one, with its inputs and its versions");
  show->callback([&] { exit_code = cli::show_model(where, named.name); });
  auto* back = model->add_subcommand("rollback", "an older version is the latest again");
  back->callback([&] { exit_code = cli::roll_back_model(where, named.name, named.version); });
  for (CLI::App* verb : {list, show, back}) {
    if (verb != list) {
      verb->add_option("model", named.name, "[OWNER/]NAME")->required();
    }
    add_where(*verb, where);
  }
  back->add_option("version", named.version,
                   "its id, or how that begins (default: the one before)");
  add_model_alias(*model, where, alias, exit_code);
}

struct ImageArguments {
  std::string path;
  std::string name;
};

void add_image(CLI::App& app, cli::Where& where, ImageArguments& image, int& exit_code) {
  auto* verbs = app.add_subcommand("image", "import, list and remove images that FROM finds");
  verbs->require_subcommand(1);
  auto* read = verbs->add_subcommand(
      "import",
      "read one: an archive or folder in OCI's form, what docker save writes, or a root "
      "file system as a tar or a folder");
  read->add_option("path", image.path, "on this machine")->required();
  read->add_option("name", image.name, "name[:tag] (default: as the archive calls it)");
  read->callback([&] { exit_code = cli::import_image(where, image.path, image.name); });
  auto* list = verbs->add_subcommand("list", "those that were imported");
  list->callback([&] { exit_code = cli::list_images(where); });
  auto* remove = verbs->add_subcommand("rm", "forget a name; what was built on it stays");
  remove->add_option("name", image.name, "name[:tag]")->required();
  remove->callback([&] { exit_code = cli::remove_image(where, image.name); });
  for (CLI::App* verb : {read, list, remove}) {
    add_where(*verb, where);
  }
}

void add_tls(CLI::App& app, cli::TlsOptions& options, int& exit_code) {
  auto* tls = app.add_subcommand("tls", "an authority of your own, and a certificate of it");
  tls->require_subcommand(1);
  auto* init = tls->add_subcommand("init", "make both, and say what the configuration needs");
  init->callback([&] { exit_code = cli::make_authority(options); });
  auto* renew = tls->add_subcommand("renew", "make a new certificate of the same authority");
  renew->callback([&] { exit_code = cli::renew_certificate(options); });
  for (CLI::App* verb : {init, renew}) {
    verb->add_option("--folder", options.folder, "where they are")->capture_default_str();
    verb->add_option("--name", options.hosts,
                     "a host or address that clients know the server by, with the hosts below it")
        ->allow_extra_args(false);
  }
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

void add_token(CLI::App& app, cli::Where& where, cli::TokenOptions& options,
               std::string& login_code, int& exit_code) {
  auto* token = app.add_subcommand("token", "create, approve, list, rotate and revoke tokens");
  token->require_subcommand(1);
  auto* create = token->add_subcommand("create", "make a token; its secret is shown once");
  auto* approve = token->add_subcommand("approve", "give a token to who was shown this code");
  auto* list = token->add_subcommand("list", "all tokens, without their secrets");
  auto* rotate = token->add_subcommand("rotate", "a new secret; the old one is good for a while");
  auto* revoke = token->add_subcommand("revoke", "end a token at once");
  create->add_option("name", options.name, "a name for people");
  create->add_option("--scope", options.scopes,
                     "what it may do: invoke, read, deploy, admin, with commas (default: all)");
  create->add_option("--function", options.functions,
                     "for these only: APP or APP/FUNCTION, * for any letters");
  create->add_option("--expires", options.span, "after this long: 12h, 30d (default: never)");
  approve->add_option("code", login_code, "as the terminal shows it that asks: XXXX-XXXX")
      ->required();
  approve->add_option("--name", options.name, "of the token, for people");
  for (CLI::App* verb : {create, approve}) {
    verb->add_option("--workspace", options.workspace, "whose (default: the server's first)");
  }
  for (CLI::App* verb : {rotate, revoke}) {
    verb->add_option("token", options.name, "its id, ak-…")->required();
  }
  rotate->add_option("--grace", options.span, "for which the old secret is good: 0s to 30d (24h)");
  for (CLI::App* verb : {create, rotate}) {
    verb->add_option("--prefix", options.prefix, "what the key begins with: r8_, sk-, hf_ …");
  }
  for (CLI::App* verb : {create, approve, list, rotate, revoke}) {
    add_where(*verb, where);
  }
  create->callback([&] { exit_code = cli::create_token(where, options); });
  approve->callback(
      [&] { exit_code = cli::approve_token(where, login_code, options.name, options.workspace); });
  list->callback([&] { exit_code = cli::list_tokens(where); });
  rotate->callback([&] {
    options.span = options.span.empty() ? "24h" : options.span;
    exit_code = cli::rotate_token(where, options);
  });
  revoke->callback([&] { exit_code = cli::revoke_token(where, options.name); });
}

}  // namespace

int run(int argc, char** argv, const MakeDialects& make_dialects) {
  if (sandbox::is_to_be_spawner(argc, argv)) {
    return sandbox::run_as_spawner();
  }
  CLI::App app("Thaw: the serverless AI cloud on your own machine", "thaw");
  app.require_subcommand(1);
  app.set_version_flag("--version", "thaw " THAW_VERSION);
  cli::Where where;
  int exit_code = 0;

  ServeOptions serve_options;
  bool serving = false;
  auto* serve_verb = app.add_subcommand("serve", "run gateway, control and one worker");
  serve_verb->add_option("--listen", serve_options.listen, "HOST:PORT; port 0 picks a free one")
      ->capture_default_str();
  serve_verb->add_option("--data", serve_options.data, "data folder, made if missing")
      ->capture_default_str();
  serve_verb->add_option("--config", serve_options.configuration, "configuration file (TOML)");
  serve_verb->add_flag_callback(
      "--accept-loss", [&] { serve_options.loss = ServeOptions::Loss::accept; },
      "start although stored commits or the key of stored secrets are gone, without them");
  serve_verb->callback([&] { serving = true; });

  auto* env = app.add_subcommand("env", "shell exports for the clients: eval \"$(thaw env)\"");
  add_where(*env, where);
  env->callback([&] { exit_code = cli::show_environment(where); });

  std::string worker_token;
  auto* worker = app.add_subcommand("worker-config", "a configuration of workerd, for env.AI");
  worker->add_option("--token", worker_token, "the key in it (default: that of `thaw env`)");
  add_where(*worker, where);
  worker->callback([&] { exit_code = cli::show_worker_config(where, worker_token); });

  cli::TokenOptions token_options;
  cli::TlsOptions tls_options;
  add_tls(app, tls_options, exit_code);
  std::string login_code;
  add_token(app, where, token_options, login_code, exit_code);

  std::string workspace_name;
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

  cli::PushOptions push_options;
  add_push(app, where, push_options, exit_code);
  cli::InvokeOptions invoke_options;
  add_invoke(app, where, invoke_options, exit_code);
  Named named;
  add_call(app, where, named, exit_code);
  add_function(app, where, named, exit_code);
  ModelAliasArguments model_alias;
  add_model(app, where, named, model_alias, exit_code);
  ImageArguments image;
  add_image(app, where, image, exit_code);
  cli::AliasOptions alias_options;
  add_alias(app, where, alias_options, exit_code);
  std::string scheduled;
  add_schedule(app, where, scheduled, exit_code);
  CostWords cost;
  add_cost(app, where, cost, exit_code);

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
  doctor->callback([&] { exit_code = cli::diagnose(where, lacks_own_ids); });

  auto* version = app.add_subcommand("version", "the version of this program");
  version->add_flag_callback(
      "--json", [&] { where.output = cli::Output::json; }, "print JSON for machines");
  version->callback([&] { exit_code = cli::show_version(where.output); });

  if (const std::string word = unknown_verb(app, argc, argv); !word.empty()) {
    std::fprintf(stderr, "thaw: there is no verb '%s'; `thaw --help` lists them\n", word.c_str());
    return 2;
  }
  CLI11_PARSE(app, argc, argv);
  return serving ? main_program::serve(serve_options, make_dialects) : exit_code;
}

}  // namespace thaw::main_program
