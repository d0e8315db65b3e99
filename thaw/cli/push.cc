// SPDX-License-Identifier: Apache-2.0
// thaw push: the folder's files are named by their digests, those that the server lacks are sent,
// and the server builds the image and publishes the function while its log is printed.
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <utility>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/image_definition.h"
#include "thaw/cli/model_folder.h"
#include "thaw/cli/push_definition.h"
#include "thaw/cli/push_folder.h"
#include "thaw/cli/push_transfer.h"
#include "thaw/model/alias.h"
#include "thaw/model/push_presets.h"

namespace thaw::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t most_dockerfile_bytes = 1u << 20;

async::Task<codec::Json> send_and_publish(ServerClient& client, const FolderContents& contents,
                                          std::string definition) {
  THAW_CO_TRY_VOID(co_await send_files(client, contents.files));
  const BuildOutput print = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
  };
  co_return co_await publish(client, std::move(definition), print);
}

// One of its own beside another Dockerfile, else the folder's.
Result<IgnoreRules> read_rules(const std::string& folder, const std::string& dockerfile) {
  for (const std::string& path : {dockerfile + ".dockerignore", folder + "/.dockerignore"}) {
    const auto text = read_small_file(path, most_dockerfile_bytes);
    if (text) {
      return IgnoreRules(*text);
    }
    if (text.error().code() != Code::not_found) {
      return text.error();
    }
  }
  return IgnoreRules();
}

void print_published(const codec::Json& function, const PushOptions& options,
                     const std::string& because) {
  const std::string name = function.value("name", options.name);
  std::string url = function.value("url", "");
  url.resize(url.find_last_not_of('/') + 1);
  const model::PushPreset* preset = model::find_push_preset(options.preset);
  const std::string target = preset != nullptr ? preset->contract.target : "/";
  std::string curl = "curl ";
  if (function.value("callers", "") == "tokens") {
    curl += "-H \"authorization: Bearer $TOKEN_ID:$TOKEN_SECRET\" ";
  }
  if (target != "/") {
    curl += "-H 'content-type: application/json' -d @request.json ";
  }
  std::printf("%s is published, version %s\n", name.c_str(), function.value("version", "").c_str());
  if (const codec::Json model = function.value("model", codec::Json::object()); !model.empty()) {
    std::printf("model    %s/%s, %s\n", model.value("owner", "").c_str(),
                model.value("name", "").c_str(), model.value("visibility", "").c_str());
  }
  std::printf("preset   %s (%s), port %d\n", options.preset.c_str(), because.c_str(),
              function.value("port", 0));
  std::printf("address  %s/\n", url.c_str());
  if (const std::string host = function.value("host_url", ""); !host.empty()) {
    std::printf("or       %s\n", host.c_str());
  }
  for (const auto& [alias, versions] : function.value("aliases", codec::Json::object()).items()) {
    double sum = 0;
    for (const auto& [version, weight] : versions.items()) {
      sum += weight.get<double>();
    }
    const double own = versions.value(function.value("version", ""), 0.0);
    std::printf("alias    %s gives it %.0f %% of its requests%s\n", alias.c_str(),
                sum > 0 ? 100 * own / sum : 0.0,
                alias == model::live_alias ? ", and so does the plain address" : "");
  }
  std::printf("try      %s%s%s\n", curl.c_str(), url.c_str(), target.c_str());
  std::printf("later    thaw invoke %s --async --data @request.json\n", name.c_str());
}

void print(const Where& where, const codec::Json& function, const PushOptions& options,
           const std::string& because) {
  if (where.output == Output::json) {
    std::printf("%s\n", function.dump(2).c_str());
  } else {
    print_published(function, options, because);
  }
}

// What is built, and what it is to be called: as its Dockerfile says, or its model's own file.
struct Plan {
  std::string dockerfile;
  std::string because;
  codec::Json definition;
};

Result<Plan> plan_push(PushOptions& options, const FolderContents& contents,
                       const std::string& dockerfile_path) {
  std::error_code error;
  const std::string folder_name = fs::canonical(options.folder, error).filename().string();
  Plan plan;
  codec::Json model;
  if (dockerfile_path.empty()) {
    THAW_TRY(ModelPush push, plan_model(options, contents, folder_name));
    plan.dockerfile = std::move(push.dockerfile);
    model = std::move(push.model);
  } else if (!options.description.empty() || !options.visibility.empty()) {
    return Error::invalid_argument(
        "--description and --visibility are for models, and a folder with a Dockerfile is none");
  } else {
    THAW_TRY(plan.dockerfile, read_small_file(dockerfile_path, most_dockerfile_bytes));
  }
  THAW_TRY(plan.because, fill_in(options, contents, plan.dockerfile, folder_name));
  THAW_TRY(plan.definition, definition_of(options, contents, plan.dockerfile));
  if (!model.is_null()) {
    plan.definition["model"] = std::move(model);
  }
  return plan;
}

Result<void> push(const Where& where, PushOptions options) {
  std::string path;  // of the Dockerfile; empty: one is made
  if (!is_model_folder(options)) {
    THAW_TRY(path, find_dockerfile(options.folder, options.dockerfile));
  }
  THAW_TRY(RunningServer server, choose_server(where));
  THAW_TRY(const IgnoreRules rules,
           read_rules(options.folder, path.empty() ? options.folder + "/Dockerfile" : path));
  THAW_TRY(const FolderContents contents, read_folder(options.folder, rules, {}));
  for (const std::string& note : contents.notes) {
    std::fprintf(stderr, "thaw: %s\n", note.c_str());
  }
  THAW_TRY(const Plan plan, plan_push(options, contents, path));
  async::Loop loop;
  ServerClient client(loop, std::move(server));
  THAW_TRY(const codec::Json function,
           loop.run_task(send_and_publish(client, contents, codec::dump_json(plan.definition))));
  print(where, function, options, plan.because);
  return ok();
}

Result<void> push_as_it_is(const Where& where, PushOptions options) {
  THAW_TRY(const codec::Json definition, image_definition(options));
  THAW_TRY(RunningServer server, choose_server(where));
  async::Loop loop;
  ServerClient client(loop, std::move(server));
  const FolderContents nothing;
  THAW_TRY(const codec::Json function,
           loop.run_task(send_and_publish(client, nothing, codec::dump_json(definition))));
  const bool is_said = !options.preset.empty();
  options.preset = function.value("preset", "");
  print(where, function, options, is_said ? "as it was said" : "as the image says");
  return ok();
}

}  // namespace

int push_folder(const Where& where, const PushOptions& options) {
  const Result<void> done = push(where, options);
  return done ? 0 : fail(done.error());
}

int push_image(const Where& where, const PushOptions& options) {
  const Result<void> done = push_as_it_is(where, options);
  return done ? 0 : fail(done.error());
}

}  // namespace thaw::cli
