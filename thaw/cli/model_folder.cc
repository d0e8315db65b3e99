// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/model_folder.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <utility>

#include "thaw/cli/cog_plan.h"
#include "thaw/cli/push_guess.h"

namespace thaw::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t most_requirements_bytes = 1u << 20;

// Of the file that cog.yaml names, if the folder has it: what it is not, the plan says.
Result<std::string> read_requirements(const CogFile& file, const FolderContents& contents) {
  const std::string& name = file.python_requirements;
  const std::string path = "/" + (name.starts_with("./") ? name.substr(2) : name);
  const auto found = std::find_if(contents.files.begin(), contents.files.end(),
                                  [&](const FolderFile& one) { return one.path == path; });
  return name.empty() || found == contents.files.end()
             ? std::string()
             : read_small_file(found->source, most_requirements_bytes);
}

}  // namespace

bool is_model_folder(const PushOptions& options) {
  std::error_code error;
  const bool is_cog = fs::is_regular_file(options.folder + "/cog.yaml", error);
  const bool has_dockerfile =
      !options.dockerfile.empty() || fs::exists(options.folder + "/Dockerfile", error);
  if (is_cog && has_dockerfile) {
    std::fputs("thaw: the Dockerfile is built, and cog.yaml is not read\n", stderr);
  }
  return is_cog && !has_dockerfile && (options.preset.empty() || options.preset == "cog");
}

Result<ModelPush> plan_model(PushOptions& options, const FolderContents& contents,
                             const std::string& folder_name) {
  THAW_TRY(const std::string text,
           read_small_file(options.folder + "/cog.yaml", most_cog_file_bytes));
  THAW_TRY(CogFile file, read_cog_file(text));
  // The server inside has to know how many it gets at once: it refuses one more.
  file.concurrency = options.concurrency ? options.concurrency : file.concurrency;
  options.concurrency = file.concurrency;
  for (const std::string& warning : file.warnings) {
    std::fprintf(stderr, "thaw: %s\n", warning.c_str());
  }
  THAW_TRY(const ModelName name, cog_model_name(options.name, file, folder_name));
  THAW_TRY(const std::string requirements, read_requirements(file, contents));
  std::vector<std::string> paths;
  std::transform(contents.files.begin(), contents.files.end(), std::back_inserter(paths),
                 [](const FolderFile& one) { return one.path; });
  ModelPush push;
  THAW_TRY(push.dockerfile, cog_dockerfile(file, paths, requirements));
  push.model = {
      {"name", name.name}, {"schema_path", cog_schema_path}, {"trains", !file.trainer.empty()}};
  if (!name.owner.empty()) {
    push.model["owner"] = name.owner;
  }
  if (!options.description.empty()) {
    push.model["description"] = options.description;
  }
  if (!options.visibility.empty()) {
    push.model["visibility"] = options.visibility;
  }
  if (!name.tag.empty()) {
    options.aliases.push_back(name.tag + "=100");
  }
  options.name = function_name_of(name.name);
  if (options.gpu.empty() && file.gpu) {
    options.gpu = "any";
  }
  // Its package alone takes more than a second to be loaded, and a restore some milliseconds.
  if (options.snapshot == PushOptions::Snapshot::unsaid) {
    options.snapshot = PushOptions::Snapshot::at_ready;
  }
  return push;
}

Result<NamedModel> named_model(const std::string& given) {
  THAW_TRY(ModelName name, cog_model_name(given, {}, ""));
  return NamedModel{std::move(name.owner), std::move(name.name), std::move(name.tag)};
}

}  // namespace thaw::cli
