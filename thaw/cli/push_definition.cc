// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/push_definition.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <utility>
#include <vector>

#include "thaw/cli/alias_shares.h"
#include "thaw/cli/push_guess.h"
#include "thaw/cli/sizes.h"
#include "thaw/model/push_presets.h"

namespace thaw::cli {

namespace {

Result<codec::Json> pairs(const std::vector<std::string>& texts, const char* option) {
  codec::Json out = codec::Json::object();
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return Error::invalid_argument(std::string(option) + " takes NAME=value, not '" + text + "'");
    }
    out[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return out;
}

codec::Json lines_of(const std::string& text) {
  codec::Json lines = codec::Json::array();
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::size_t used = end > begin && text[end - 1] == '\r' ? end - 1 : end;
    lines.push_back(text.substr(begin, used - begin));
    begin = end + 1;
  }
  return lines;
}

// "every 300" or a cron expression, which the server checks.
Result<codec::Json> schedule_of(const PushOptions& options) {
  constexpr std::string_view every = "every ";
  codec::Json out = {{"path", options.schedule_path}};
  if (!options.schedule.starts_with(every)) {
    out["cron"] = options.schedule;
    out["zone"] = options.schedule_zone;
    return out;
  }
  const char* begin = options.schedule.data() + every.size();
  const char* end = options.schedule.data() + options.schedule.size();
  double seconds = 0;
  const auto [rest, error] = std::from_chars(begin, end, seconds);
  if (error != std::errc() || rest != end || !options.schedule_zone.empty()) {
    return Error::invalid_argument(
        "--schedule takes a cron expression (perhaps with --schedule-zone), or \"every SECONDS\", "
        "not '" +
        options.schedule + "'");
  }
  out["every_s"] = seconds;
  return out;
}

}  // namespace

Result<std::string> fill_in(PushOptions& options, const FolderContents& contents,
                            std::string_view dockerfile, std::string_view folder_name) {
  std::string because = "as it was said";
  if (options.preset.empty()) {
    std::vector<std::string> paths;
    std::transform(contents.files.begin(), contents.files.end(), std::back_inserter(paths),
                   [](const FolderFile& file) { return file.path; });
    PresetGuess guess = guess_preset(paths, dockerfile);
    options.preset = std::move(guess.preset);
    because = std::move(guess.because);
  } else if (model::find_push_preset(options.preset) == nullptr) {
    std::string known;
    for (const model::PushPreset& preset : model::push_presets()) {
      known += (known.empty() ? "" : ", ") + std::string(preset.name);
    }
    return Error::invalid_argument("there is no preset '" + options.preset + "'; there are " +
                                   known);
  }
  if (const std::uint16_t port = exposed_port(dockerfile); !options.port && port != 0) {
    options.port = port;
  }
  if (options.name.empty()) {
    options.name = function_name_of(folder_name);
  }
  return because;
}

Result<codec::Json> definition_of(const PushOptions& options, const FolderContents& contents,
                                  const std::string& dockerfile) {
  codec::Json out = {{"name", options.name}, {"preset", options.preset}};
  out["dockerfile"] = lines_of(dockerfile);
  out["files"] = codec::Json::array();
  for (const FolderFile& file : contents.files) {
    out["files"].push_back({{"path", file.path}, {"sha256", file.sha256}, {"mode", file.mode}});
  }
  THAW_TRY(out["env"], pairs(options.env, "--env"));
  THAW_TRY(out["build_args"], pairs(options.build_args, "--build-arg"));
  if (!options.memory.empty()) {
    THAW_TRY(out["memory_bytes"], parse_bytes(options.memory));
  }
  const auto set_text = [&out](const char* key, const std::string& value) {
    if (!value.empty()) {
      out[key] = value;
    }
  };
  set_text("wire", options.wire);
  set_text("ready_path", options.ready_path);
  set_text("health_path", options.health_path);
  set_text("restored_path", options.restored_path);
  using Snapshot = PushOptions::Snapshot;
  set_text("snapshot", options.snapshot == Snapshot::at_ready ? "ready"
                       : options.snapshot == Snapshot::no     ? "never"
                                                              : "");
  set_text("gpu", options.gpu);
  set_text("callers", options.callers);
  const auto set = [&out](const char* key, const auto& value) {
    if (value) {
      out[key] = *value;
    }
  };
  set("port", options.port);
  set("min", options.min);
  set("max", options.max);
  set("concurrency", options.concurrency);
  set("idle_s", options.idle_s);
  set("timeout_s", options.timeout_s);
  set("keep_versions", options.keep_versions);
  THAW_TRY(const auto aliases, named_numbers(options.aliases, "--alias NAME=PERCENT"));
  if (!aliases.empty()) {
    out["aliases"] = aliases;
  }
  if (!options.schedule.empty()) {
    THAW_TRY(out["schedule"], schedule_of(options));
  }
  if (options.cpu) {
    out["cpu_millis"] = std::llround(*options.cpu * 1000);
  }
  return out;
}

}  // namespace thaw::cli
