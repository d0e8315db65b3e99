// SPDX-License-Identifier: Apache-2.0
//
// The verbs of the `thaw` command, but for `serve`. Each returns the exit code of the process: 0,
// or 1 after an error that it has told on stderr.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace thaw::cli {

enum class Output { table, json };

struct Where {
  std::string data;  // data folder of the server; empty: the newest running one
  Output output = Output::table;
};

int show_environment(const Where& where);
struct TokenOptions {
  std::string name;       // for people; of a rotation: the token's id
  std::string workspace;  // its name; empty: the default one
  std::string scopes;     // "invoke,read"; empty: all
  std::string functions;  // a pattern; empty: all
  std::string prefix;     // of the key's text
  std::string span;       // how long it is good, or its old secret is: "30d"
};
int create_token(const Where& where, const TokenOptions& options);
int rotate_token(const Where& where, const TokenOptions& options);

// thaw tls init | renew: files in a folder; no server is asked.
struct TlsOptions {
  std::string folder = "/etc/thaw/tls";
  std::vector<std::string> hosts;  // beside this machine's own names
};
int make_authority(const TlsOptions& options);
int renew_certificate(const TlsOptions& options);

// Of who asks for one and is shown the code. `name`: of the token; empty: where it was asked from.
int approve_token(const Where& where, const std::string& code, const std::string& name,
                  const std::string& workspace);
int create_workspace(const Where& where, const std::string& name);
int list_workspaces(const Where& where);
int list_tokens(const Where& where);
int revoke_token(const Where& where, const std::string& token);
int show_containers(const Where& where);                     // thaw ps
int show_functions(const Where& where);                      // thaw functions
int show_call(const Where& where, const std::string& call);  // thaw ps --call

// thaw push: a folder with a Dockerfile, or with a model, or an image becomes a function.
struct PushOptions {
  std::string folder;
  std::string image;       // of a registry; empty: the folder is pushed
  std::string name;        // empty: the folder's, made valid; of a model "owner/name:tag"
  std::string preset;      // empty: guessed
  std::string dockerfile;  // empty: the folder's own
  std::string wire;        // "http1", "h2c"; empty: the preset's
  std::string ready_path;
  std::string health_path;
  std::string restored_path;
  enum class Snapshot { unsaid, no, at_ready } snapshot = Snapshot::unsaid;
  std::vector<std::string> env;         // "NAME=value"
  std::vector<std::string> build_args;  // "NAME=value"
  std::string memory;                   // "2GiB"
  std::string gpu;
  std::string callers;  // "anyone", "tokens"; empty: what the server takes by itself
  // Nothing: the preset's, or the server's own.
  std::optional<std::uint16_t> port;
  std::optional<double> cpu;
  std::optional<std::uint32_t> min;
  std::optional<std::uint32_t> max;
  std::optional<std::uint32_t> concurrency;
  std::optional<double> idle_s;
  std::optional<double> timeout_s;
  std::optional<std::uint32_t> keep_versions;
  std::vector<std::string> aliases;  // "NAME=PERCENT"
  std::string schedule;              // "0 2 * * *", or "every 300"; empty: none
  std::string schedule_zone;         // empty: UTC
  std::string schedule_path;
  std::string description;  // of a model
  std::string visibility;   // of a model: "public", "private"; empty: as before, or private
};
int push_folder(const Where& where, const PushOptions& options);
// Of its image; `folder` is no folder then, but the name.
int push_image(const Where& where, const PushOptions& options);

// thaw invoke: one request to a function.
struct InvokeOptions {
  std::string name;
  std::string path;                  // and query; empty: "/", or where the preset takes calls
  std::string method;                // empty: POST with data, else GET
  std::optional<std::string> data;   // text, "@FILE", or "-": standard input
  std::vector<std::string> headers;  // "name: value"
  enum class Delivery { wait, asynchronous } delivery = Delivery::wait;
  std::vector<std::string> callbacks;  // addresses, or function:NAME; of asynchronous calls
  std::string callback_on;             // "started,output,final"; empty: final
  std::int64_t callback_for_s = 0;     // after the call's end; 0: a day
  double wait_s = 3600;                // for the whole answer
  std::string version;                 // or an alias; empty: as the function's address routes
};
int invoke(const Where& where, const InvokeOptions& options);

// thaw call list | show | result | cancel. `function`: whose; empty: of all, newest first.
int list_calls(const Where& where, const std::string& function);
int show_function_call(const Where& where, const std::string& call);
int show_result(const Where& where, const std::string& call, double wait_s);
int cancel_call(const Where& where, const std::string& call);
// thaw call secret: with which the workspace's callbacks are signed
int show_callback_secret(const Where& where);

// thaw function list | show | rm: those that `thaw push` made.
int list_pushed(const Where& where);
int show_pushed(const Where& where, const std::string& name);
int remove_pushed(const Where& where, const std::string& name);

// thaw alias set | list | rm
struct AliasOptions {
  std::string function;
  std::string name;
  std::vector<std::string> versions;  // "V=WEIGHT"
};
int set_alias(const Where& where, const AliasOptions& options);
// `function`: whose; empty: of all.
int list_aliases(const Where& where, const std::string& function);
int remove_alias(const Where& where, const AliasOptions& options);

// thaw model list | show | rollback. `model`: "owner/name"; without an owner the workspace's own.
int list_models(const Where& where);
int show_model(const Where& where, const std::string& model);
// `version`: its id or a beginning of it that no other one has; empty: the one before the latest.
int roll_back_model(const Where& where, const std::string& model, const std::string& version);

// thaw schedule list | run
int list_schedules(const Where& where);
// `name`: a function's, as the list has it, or its id
int run_schedule(const Where& where, const std::string& name);

// thaw cost: what was used, and what that costs
struct CostOptions {
  std::string by = "function";  // "token", "front", "day", "level"
  std::string from;             // a day, or seconds since the epoch; empty: 30 days ago
  std::string until;            // not included; empty: now
  std::string workspace;        // its name; empty: all
  enum class Format : std::uint8_t { table, csv } format = Format::table;
};
int show_cost(const Where& where, const CostOptions& options);
// thaw cost compare: the same use by prices of other clouds, from a file
int compare_cost(const Where& where, const CostOptions& options, const std::string& file);
// thaw cost estimate: no server is asked
struct EstimateOptions {
  std::int64_t calls_a_day = 1'000;
  std::int64_t calls_a_month = 0;  // instead
  std::string seconds = "1";       // of a call
  std::string price = "0";         // of a second
  std::string fee = "0";           // of a call
  std::string cold_share = "0";    // what cold starts add to the seconds: "1/3", "0.1", "25%"
  std::string dedicated = "0";     // machine, an hour
  std::int64_t machines = 1;
};
int estimate_cost(const Where& where, const EstimateOptions& options);

// thaw image import | list | rm. `name`: empty: as the archive calls it.
int import_image(const Where& where, const std::string& path, const std::string& name);
int list_images(const Where& where);
int remove_image(const Where& where, const std::string& name);

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
