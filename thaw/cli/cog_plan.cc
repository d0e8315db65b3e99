// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/cog_plan.h"

#include <algorithm>

#include "thaw/cli/cog_schema.h"
#include "thaw/cli/push_guess.h"
#include "thaw/codec/json.h"

namespace thaw::cli {

namespace {

// What serves a folder that asks for no version of it: its ways with schemas and streams are known.
constexpr std::string_view usual_cog = "cog>=0.23.1,<0.24";
constexpr std::string_view usual_python = "3.13";
constexpr std::string_view end_word = "THAW_COG_END";
constexpr std::string_view requirements_path = "/usr/local/lib/thaw-cog/requirements.txt";
constexpr std::string_view packages_path = "/usr/local/lib/thaw-cog/packages.txt";
constexpr std::string_view program_path = "/usr/local/lib/thaw-cog/schema.py";

// In the double quotes of ENV.
std::string quoted(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\' || c == '$') {
      out += '\\';
    }
    out += c;
  }
  return out + "\"";
}

std::string env(std::string_view name, std::string_view value) {
  return "ENV " + std::string(name) + "=" + quoted(value) + "\n";
}

// A file, or commands, as they are: no line of it is the end word, which each of them was checked
// for. A command that ends in a backslash is the shell's business and not the next line's.
std::string heredoc(std::string_view instruction, std::string_view text, std::string_view target) {
  std::string out(instruction);
  out += " <<'" + std::string(end_word) + "'";
  if (!target.empty()) {
    out += " " + std::string(target);
  }
  out += "\n" + std::string(text);
  return out + (text.ends_with('\n') ? "" : "\n") + std::string(end_word) + "\n";
}

// "./a.py" and "a.py" are the same file of the folder.
std::string in_folder(std::string_view path) {
  while (path.starts_with("./")) {
    path.remove_prefix(2);
  }
  return "/" + std::string(path);
}

Result<void> check_sent(const std::vector<std::string>& paths, const std::string& key,
                        const std::string& path) {
  if (std::find(paths.begin(), paths.end(), in_folder(path)) != paths.end()) {
    return ok();
  }
  return Error::invalid_argument("cog.yaml: " + key + " names " + path.substr(0, 200) +
                                 ", and the folder has no such file (or .dockerignore names it)");
}

// Whether a requirement is for the cog package: "cog", "cog==0.23.1", "Cog[x] >= 1", and not
// "cogwheel".
bool is_cog(std::string_view requirement) {
  const std::size_t begin = requirement.find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    return false;
  }
  requirement.remove_prefix(begin);
  constexpr std::string_view name = "cog";
  const bool begins = requirement.size() >= name.size() &&
                      std::equal(name.begin(), name.end(), requirement.begin(), [](char a, char b) {
                        return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b);
                      });
  return begins && (requirement.size() == name.size() ||
                    std::string_view(" \t[=<>!~@;#\r").find(requirement[name.size()]) !=
                        std::string_view::npos);
}

bool has_cog(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (is_cog(text.substr(0, end))) {
      return true;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

std::string system_packages(const CogFile& file) {
  if (file.system_packages.empty()) {
    return {};
  }
  std::string out = "RUN apt-get update -qq && apt-get install -qqy --no-install-recommends";
  for (const std::string& package : file.system_packages) {
    out += " '" + package + "'";
  }
  return out + " && rm -rf /var/lib/apt/lists/*\n";
}

// One run of pip decides about all of them together.
std::string python_packages(const CogFile& file, std::string_view requirements) {
  std::string packages;
  for (const std::string& package : file.python_packages) {
    packages += package + "\n";
  }
  if (!has_cog(requirements) && !has_cog(packages)) {
    packages += file.cog_version.empty() ? std::string(usual_cog) : "cog==" + file.cog_version;
    packages += "\n";
  }
  std::string out;
  std::string command = "RUN pip install --no-cache-dir --root-user-action=ignore";
  if (!file.python_requirements.empty()) {
    const codec::Json copied = {in_folder(file.python_requirements).substr(1), requirements_path};
    out += "COPY " + codec::dump_json(copied) + "\n";
    command += " -r " + std::string(requirements_path);
  }
  if (!packages.empty()) {
    out += heredoc("COPY", packages, packages_path);
    command += " -r " + std::string(packages_path);
  }
  return out + command + "\n";
}

Result<void> check_end_word(const std::vector<std::string>& texts) {
  if (std::find(texts.begin(), texts.end(), end_word) == texts.end()) {
    return ok();
  }
  return Error::invalid_argument("cog.yaml: " + std::string(end_word) +
                                 " is no command and no package");
}

}  // namespace

Result<std::string> cog_dockerfile(const CogFile& file, const std::vector<std::string>& paths,
                                   std::string_view requirements) {
  THAW_TRY_VOID(check_sent(paths, "predict", file.predictor.substr(0, file.predictor.find(':'))));
  if (!file.python_requirements.empty()) {
    THAW_TRY_VOID(check_sent(paths, "build.python_requirements", file.python_requirements));
  }
  THAW_TRY_VOID(check_end_word(file.python_packages));
  THAW_TRY_VOID(check_end_word(file.run));
  std::string out =
      "FROM python:" +
      (file.python_version.empty() ? std::string(usual_python) : file.python_version) + "-slim\n";
  out += env("PYTHONUNBUFFERED", "1");
  for (const auto& [name, value] : file.environment) {
    out += env(name, value);
  }
  out += system_packages(file);
  out += python_packages(file, requirements);
  for (const std::string& command : file.run) {
    out += heredoc("RUN", command, "");
  }
  out += heredoc("COPY", cog_schema(), program_path);
  out += "WORKDIR /src\nCOPY . /src\n";
  out += env("COG_PREDICT_TYPE_STUB", file.predictor);
  if (!file.trainer.empty()) {
    out += env("COG_TRAIN_TYPE_STUB", file.trainer);
  }
  if (file.concurrency) {
    out += env("COG_MAX_CONCURRENCY", std::to_string(*file.concurrency));
  }
  out += "RUN [\"python\", \"-B\", \"" + std::string(program_path) + "\"]\n";
  out += "EXPOSE 5000\nCMD [\"python\", \"-m\", \"cog.server.http\"]\n";
  return out;
}

Result<ModelName> cog_model_name(const std::string& given, const CogFile& file,
                                 std::string_view folder_name) {
  std::string_view text = given.empty() ? std::string_view(file.image) : std::string_view(given);
  ModelName name;
  const std::size_t slash = text.rfind('/');
  const std::size_t colon = text.rfind(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    name.tag = text.substr(colon + 1);
    text = text.substr(0, colon);
    if (name.tag.empty()) {
      return Error::invalid_argument("'" + given.substr(0, 200) + "' ends with ':' and no tag");
    }
  }
  if (slash != std::string_view::npos) {
    // Of what cog.yaml says the registry's host is left out.
    std::string_view owner = text.substr(0, slash);
    if (given.empty()) {
      owner = owner.substr(owner.rfind('/') + 1);
    }
    name.owner = owner;
    text = text.substr(slash + 1);
    if (name.owner.empty() || text.empty() || owner.find('/') != std::string_view::npos) {
      return Error::invalid_argument("'" + given.substr(0, 200) +
                                     "' is no name of a model: give NAME, or OWNER/NAME, perhaps "
                                     "with :TAG behind it");
    }
  }
  name.name = text.empty() ? function_name_of(folder_name) : std::string(text);
  if (name.tag == "latest") {
    name.tag.clear();  // which the newest is by itself
  }
  return name;
}

}  // namespace thaw::cli
