// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/stage_planner.h"

#include <algorithm>
#include <utility>

#include "thaw/image/context_paths.h"
#include "thaw/image/key_maker.h"
#include "thaw/image/signal_names.h"

namespace thaw::image {
namespace {

// A change of what a step does with the same text gets a new number here, and so new keys.
constexpr std::string_view step_version = "thaw step 1";
// A second or two of the server's loop, at the most.
constexpr std::uint64_t most_looks = 1'000'000;
constexpr std::uint64_t most_compared = 1'000'000'000;
constexpr std::uint64_t most_made = 64u << 20;
// Of the kernel.
constexpr std::size_t longest_path = 4096;

bool is_name(std::string_view name) {
  return !name.empty() && name.find_first_of("= \t\"'$\\") == std::string_view::npos;
}

void add_list(KeyMaker& key, const std::vector<std::string>& list) {
  key.add(std::to_string(list.size()));
  for (const std::string& item : list) {
    key.add(item);
  }
}

std::string config_key(const std::string& parent, const ImageConfig& config) {
  KeyMaker key(step_version);
  key.add("config").add(parent);
  add_list(key, config.env);
  key.add(config.workdir).add(config.user);
  add_list(key, config.entrypoint);
  add_list(key, config.cmd);
  add_list(key, config.shell);
  if (!config.onbuild.empty()) {  // images without any keep the keys that they had
    add_list(key, config.onbuild);
  }
  if (config.stop_signal != 0) {
    key.add("stop signal").add(std::to_string(config.stop_signal));
  }
  return key.key();
}

bool same(const ImageConfig& a, const ImageConfig& b) {
  return a.env == b.env && a.workdir == b.workdir && a.user == b.user &&
         a.entrypoint == b.entrypoint && a.cmd == b.cmd && a.shell == b.shell &&
         a.onbuild == b.onbuild && a.stop_signal == b.stop_signal;
}

std::uint64_t bytes_of(const std::vector<std::string>& texts) {
  std::uint64_t bytes = texts.size() * sizeof(std::string);
  for (const std::string& text : texts) {
    bytes += text.size();
  }
  return bytes;
}

std::uint64_t bytes_of(const std::vector<CopyItem>& items) {
  std::uint64_t bytes = 0;
  for (const CopyItem& item : items) {
    bytes += item.name.size();
    for (const CopyEntry& entry : item.entries) {
      bytes += entry.bytes.size();  // names of files are counted as looks
    }
  }
  return bytes;
}

std::uint64_t bytes_of(const ImageConfig& config) {
  return config.workdir.size() + config.user.size() + bytes_of(config.env) +
         bytes_of(config.entrypoint) + bytes_of(config.cmd) + bytes_of(config.shell) +
         bytes_of(config.onbuild);
}

std::uint64_t bytes_of(const Step& step) {
  return sizeof(Step) + bytes_of(step.config) + step.folder.size() + bytes_of(step.run.argv) +
         bytes_of(step.run.args) + step.run.script.size() + bytes_of(step.copy.items) +
         bytes_of(step.copy.patterns) + step.copy.destination.size();
}

// A heredoc alone ("RUN <<EOF") is a script; beside other words it belongs to the shell's text.
bool is_only_heredoc(const Instruction& instruction, char escape) {
  return instruction.heredocs.size() == 1 && split_words(instruction.rest, escape).size() == 1;
}

}  // namespace

Result<void> Effort::check() const {
  if (made > most_made) {
    return Error::resource_exhausted(
        "the values of variables, and what the steps hold of them, are more than 64 MiB; shorten "
        "them, or set them in a file of the image");
  }
  if (compared > most_compared) {
    return Error::resource_exhausted(
        "so many variables, or wildcards over so many files, are too many for one image; copy "
        "folders instead, or build it in several images");
  }
  return ok();
}

Result<void> check_effort(const Effort& effort, const Instruction& instruction) {
  if (const Result<void> checked = effort.check(); !checked) {
    return at_line(instruction.line, checked.error().code(), checked.error().message());
  }
  return ok();
}

std::optional<std::string> counted(Effort& effort, std::uint64_t looked_through,
                                   std::optional<std::string> value) {
  effort.compared += looked_through;
  effort.made += value ? value->size() : 0;
  return value;
}

Result<void> declare_arg(const Instruction& instruction, const std::string& word, char escape,
                         const Recipe& recipe, const VariableLookup& lookup,
                         const std::map<std::string, std::string>& inherited,
                         std::map<std::string, std::string>& args) {
  const auto equals = word.find('=');
  const std::string name = word.substr(0, equals);
  if (!is_name(name)) {
    return at_line(instruction.line, "write ARG NAME or ARG NAME=default, not \"" + word + "\"");
  }
  if (const auto given = recipe.build_args.find(name); given != recipe.build_args.end()) {
    args[name] = given->second;
    return ok();
  }
  if (equals != std::string::npos) {
    auto value = expand_word(std::string_view(word).substr(equals + 1), escape, lookup);
    if (!value) {
      return at_line(instruction.line, value.error().message());
    }
    args[name] = std::move(*value);
    return ok();
  }
  if (const auto before = inherited.find(name); before != inherited.end()) {
    args[name] = before->second;
  } else if (const auto platform = lookup(name)) {
    args[name] = *platform;
  }
  return ok();
}

StagePlanner::StagePlanner(const Recipe& recipe, char escape,
                           const std::map<std::string, std::string>& global_args, Stage& stage,
                           Effort& effort)
    : recipe_(recipe),
      escape_(escape),
      global_args_(global_args),
      stage_(stage),
      effort_(effort),
      config_(stage.facts.config) {
  effort_.made += bytes_of(config_);
}

Result<void> StagePlanner::note_look(const Instruction& instruction, const std::string& path) {
  if (path.size() > longest_path) {
    return at_line(instruction.line, instruction.verb + ": a path has at most " +
                                         std::to_string(longest_path) + " bytes");
  }
  if (has_wildcard(path)) {
    for (const auto& [name, file] : recipe_.context) {
      effort_.compared += name.size() * path.size();
    }
    THAW_TRY_VOID(check_effort(effort_, instruction));
  }
  effort_.looks += recipe_.context.size() + recipe_.files.size() + 1;
  if (effort_.looks <= most_looks) {
    return ok();
  }
  return at_line(instruction.line, Code::resource_exhausted,
                 instruction.verb + ": so many of them over a context of " +
                     std::to_string(recipe_.context.size()) +
                     " files are too many for one image; add fewer files, copy folders instead of "
                     "single files, or build it in several images");
}

VariableLookup StagePlanner::variables() {
  return [this](std::string_view name) -> std::optional<std::string> {
    if (!effort_.check()) {
      return std::nullopt;
    }
    auto value = env_value(config_.env, name);
    if (!value) {
      const auto it = args_.find(std::string(name));
      value = it == args_.end() ? std::nullopt : std::optional(it->second);
    }
    return counted(effort_, config_.env.size(), std::move(value));
  };
}

Result<std::string> StagePlanner::expand(const Instruction& instruction, std::string_view word) {
  auto out = expand_word(word, escape_, variables());
  THAW_TRY_VOID(check_effort(effort_, instruction));
  if (!out) {
    return at_line(instruction.line, out.error().message());
  }
  return out;
}

std::vector<std::string> StagePlanner::shell() const {
  return config_.shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : config_.shell;
}

std::vector<std::string> StagePlanner::command(const Instruction& instruction) const {
  if (instruction.exec) {
    return *instruction.exec;
  }
  auto argv = shell();
  argv.push_back(instruction.rest);
  return argv;
}

Step StagePlanner::begin(const Instruction& instruction) const {
  Step step;
  step.line = instruction.line;
  step.text = instruction.summary();
  return step;
}

void StagePlanner::finish(Step step, std::string key) {
  step.key = std::move(key);
  step.config = config_;
  effort_.made += bytes_of(step);
  stage_.steps.push_back(std::move(step));
}

void StagePlanner::finish_config(const Instruction& instruction, std::string note) {
  Step step = begin(instruction);
  step.note = std::move(note);
  // An instruction that changes nothing (LABEL, ENV of the same value) leaves the key alone.
  std::string key =
      same(config_, stage_.config()) ? stage_.key() : config_key(stage_.key(), config_);
  finish(std::move(step), std::move(key));
}

Result<void> StagePlanner::add_triggers() {
  // They run once: what is FROM this stage does not run them again.
  const std::vector<std::string> triggers = std::exchange(config_.onbuild, {});
  for (const std::string& trigger : triggers) {
    auto parsed = parse_dockerfile(trigger);
    auto added = parsed ? add(parsed->instructions.front()) : Result<void>(parsed.error());
    if (!added) {
      return Error(added.error().code(), "ONBUILD " + trigger.substr(0, 200) +
                                             " of the base image: " + added.error().message());
    }
  }
  return ok();
}

Result<void> StagePlanner::add_onbuild(const Instruction& instruction) {
  auto parsed = parse_dockerfile(instruction.rest);
  if (!parsed) {
    return at_line(instruction.line, parsed.error().code(), "ONBUILD " + parsed.error().message());
  }
  const std::string& verb = parsed->instructions.front().verb;
  if (parsed->instructions.size() != 1 || !parsed->instructions.front().heredocs.empty()) {
    return at_line(instruction.line, "ONBUILD takes one instruction, on one line");
  }
  if (verb == "ONBUILD" || verb == "FROM" || verb == "MAINTAINER") {
    return at_line(instruction.line, "ONBUILD " + verb + " is not allowed");
  }
  constexpr std::size_t most = 200;
  if (config_.onbuild.size() >= most) {
    return at_line(instruction.line, "more than 200 ONBUILD instructions");
  }
  config_.onbuild.push_back(instruction.rest);
  finish_config(instruction, "");
  return ok();
}

Result<void> StagePlanner::add(const Instruction& instruction) {
  THAW_TRY_VOID(add_by_verb(instruction));
  return check_effort(effort_, instruction);
}

Result<void> StagePlanner::add_by_verb(const Instruction& instruction) {
  const std::string& verb = instruction.verb;
  if (verb == "RUN") {
    return add_run(instruction);
  }
  if (verb == "COPY" || verb == "ADD") {
    return add_copy(instruction);
  }
  if (verb == "WORKDIR") {
    return add_workdir(instruction);
  }
  if (verb == "ENV") {
    return add_env(instruction);
  }
  if (verb == "ARG") {
    return add_arg(instruction);
  }
  if (verb == "ONBUILD") {
    return add_onbuild(instruction);
  }
  std::string note;
  if (verb == "CMD") {
    config_.cmd = command(instruction);
    has_cmd_ = true;
  } else if (verb == "ENTRYPOINT") {
    config_.entrypoint = command(instruction);
    if (!has_cmd_) {
      config_.cmd.clear();  // a base's CMD was meant for the base's ENTRYPOINT
    }
  } else if (verb == "SHELL") {
    if (!instruction.exec || instruction.exec->empty()) {
      return at_line(instruction.line, "SHELL needs the exec form: SHELL [\"/bin/bash\", \"-c\"]");
    }
    config_.shell = *instruction.exec;
  } else if (verb == "USER") {
    THAW_TRY(config_.user, expand(instruction, instruction.rest));
  } else if (verb == "STOPSIGNAL") {
    THAW_TRY(const std::string name, expand(instruction, instruction.rest));
    const auto signal = signal_number(name);
    if (!signal) {
      return at_line(instruction.line, "\"" + name.substr(0, 40) +
                                           "\" is no signal; write STOPSIGNAL SIGTERM, or its "
                                           "number from 1 to 64");
    }
    config_.stop_signal = *signal;
  } else if (verb != "LABEL" && verb != "EXPOSE" && verb != "MAINTAINER") {
    note = verb + " has no effect in Thaw and is ignored";
  }
  finish_config(instruction, std::move(note));
  return ok();
}

Result<void> StagePlanner::add_env(const Instruction& instruction) {
  const auto words = split_words(instruction.rest, escape_);
  std::vector<std::pair<std::string, std::string>> values;
  if (words.front().find('=') == std::string::npos) {
    // ENV NAME the rest of the line
    const auto value = trim(std::string_view(instruction.rest).substr(words.front().size()));
    if (value.empty() || !is_name(words.front())) {
      return at_line(instruction.line, "write ENV NAME=value");
    }
    THAW_TRY(std::string expanded, expand(instruction, value));
    values.emplace_back(words.front(), std::move(expanded));
  } else {
    for (const std::string& word : words) {
      const auto equals = word.find('=');
      if (equals == std::string::npos) {
        return at_line(
            instruction.line,
            "\"" + word + "\" has no =; write ENV NAME=value, with quotes around blanks");
      }
      THAW_TRY(std::string name, expand(instruction, std::string_view(word).substr(0, equals)));
      if (!is_name(name)) {
        return at_line(instruction.line, "\"" + name + "\" is no name for a variable");
      }
      THAW_TRY(std::string value, expand(instruction, std::string_view(word).substr(equals + 1)));
      values.emplace_back(std::move(name), std::move(value));
    }
  }
  // Only now: all values of one ENV see the variables as they were before it.
  std::size_t total = 0;
  for (const auto& [name, value] : values) {
    effort_.compared += config_.env.size();
    THAW_TRY_VOID(check_effort(effort_, instruction));
    set_env(config_.env, name, value);
  }
  for (const std::string& item : config_.env) {
    total += item.size();
  }
  if (total > max_expanded_bytes) {
    return at_line(instruction.line, "the environment is larger than 1 MiB");
  }
  finish_config(instruction, "");
  return ok();
}

Result<void> StagePlanner::add_arg(const Instruction& instruction) {
  const VariableLookup lookup = variables();
  for (const std::string& word : split_words(instruction.rest, escape_)) {
    THAW_TRY_VOID(declare_arg(instruction, word, escape_, recipe_, lookup, global_args_, args_));
    THAW_TRY_VOID(check_effort(effort_, instruction));
  }
  std::size_t total = 0;
  for (const auto& [name, value] : args_) {
    total += name.size() + value.size();
  }
  if (total > max_expanded_bytes) {
    return at_line(instruction.line, "the arguments are larger than 1 MiB");
  }
  finish_config(instruction, "");
  return ok();
}

Result<void> StagePlanner::add_workdir(const Instruction& instruction) {
  THAW_TRY(const std::string path, expand(instruction, instruction.rest));
  config_.workdir = absolute_path(config_.workdir, path);
  Step step = begin(instruction);
  step.kind = Step::Kind::folder;
  step.folder = config_.workdir;
  KeyMaker key(step_version);
  key.add("folder").add(stage_.key()).add(step.folder);
  finish(std::move(step), key.key());
  return ok();
}

Result<void> StagePlanner::add_run(const Instruction& instruction) {
  Step step = begin(instruction);
  step.kind = Step::Kind::run;
  KeyMaker mounts("mounts");
  for (const auto& [name, value] : instruction.flags) {
    if (name == "mount") {
      constexpr std::size_t most = 32;
      if (step.run.mounts.size() >= most) {
        return at_line(instruction.line, "more than 32 mounts in one step");
      }
      THAW_TRY(RunMount mount, run_mount(instruction, value, mounts));
      step.run.mounts.push_back(std::move(mount));
    } else if (name == "network" && (value == "none" || value == "default")) {
      step.run.network = value == "none" ? RunStep::Network::none : RunStep::Network::standard;
    } else {
      return at_line(instruction.line, Code::unimplemented,
                     "RUN --" + name + (value.empty() ? "" : "=" + value) + " is not supported");
    }
  }
  if (is_only_heredoc(instruction, escape_)) {
    const std::string& body = instruction.heredocs.front().body;
    if (body.starts_with("#!")) {
      step.run.script = body;
    } else {
      step.run.argv = shell();
      step.run.argv.push_back(body);
    }
  } else {
    step.run.argv = command(instruction);
    for (const Heredoc& heredoc : instruction.heredocs) {
      step.run.argv.back() += "\n" + heredoc.body + heredoc.name;
    }
    if (!instruction.heredocs.empty()) {
      step.run.argv.back() += "\n";
    }
  }
  if (step.run.argv.empty() && step.run.script.empty()) {
    return at_line(instruction.line, "RUN [] names no program");
  }
  effort_.compared += args_.size() * config_.env.size();
  THAW_TRY_VOID(check_effort(effort_, instruction));
  for (const auto& [name, value] : args_) {
    if (!env_value(config_.env, name)) {
      step.run.args.push_back(name + "=" + value);
    }
  }
  KeyMaker key(step_version);
  key.add("run").add(stage_.key()).add(step.run.script);
  add_list(key, step.run.argv);
  add_list(key, step.run.args);
  key.add(step.run.network == RunStep::Network::none ? "none" : "standard");
  if (!step.run.mounts.empty()) {  // steps without any keep the keys that they had
    key.add(mounts.key());
  }
  if (recipe_.runs == Recipe::Runs::own) {
    key.add("of the workspace").add(recipe_.workspace);
  }
  if (!recipe_.depends_on.empty()) {
    key.add("with").add(recipe_.depends_on);
  }
  finish(std::move(step), key.key());
  return ok();
}

}  // namespace thaw::image
