// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/plan.h"

#include <map>
#include <set>

#include "thaw/image/dockerfile_words.h"
#include "thaw/image/stage_planner.h"

namespace thaw::image {
namespace {

// Arguments that every recipe may use without a value of its own.
const std::map<std::string, std::string>& platform_args() {
  static const std::map<std::string, std::string> args = {{"TARGETPLATFORM", "linux/amd64"},
                                                          {"TARGETOS", "linux"},
                                                          {"TARGETARCH", "amd64"},
                                                          {"BUILDPLATFORM", "linux/amd64"},
                                                          {"BUILDOS", "linux"},
                                                          {"BUILDARCH", "amd64"},
                                                          {"TARGETVARIANT", ""},
                                                          {"BUILDVARIANT", ""}};
  return args;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') {
      c = static_cast<char>(c - 'A' + 'a');
    }
  }
  return out;
}

struct Draft {  // a stage before it is known whether anybody needs it
  std::string name;
  std::string reference;
  int base_stage = -1;
  const Instruction* from = nullptr;
  std::vector<const Instruction*> body;
  std::set<int> needs;
};

int find_stage(const std::vector<Draft>& drafts, std::size_t before, const std::string& asked) {
  const std::string name = lower(asked);
  for (std::size_t i = before; i-- > 0;) {
    if (!drafts[i].name.empty() && drafts[i].name == name) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

// --from=2 or --from=name: the index of an earlier stage, or -1.
int copy_from_stage(const std::vector<Draft>& drafts, std::size_t before, const std::string& from) {
  if (!from.empty() && from.size() < 6 &&
      from.find_first_not_of("0123456789") == std::string::npos) {
    const int index = std::stoi(from);
    return index < static_cast<int>(before) ? index : -1;
  }
  return find_stage(drafts, before, from);
}

// What COPY --from= and RUN --mount=…,from= of an instruction name.
std::vector<std::string> read_from(const Instruction& instruction) {
  std::vector<std::string> names;
  for (const auto& [name, value] : instruction.flags) {
    const auto from = name == "mount" ? mount_option(value, "from") : std::nullopt;
    if ((name == "from" || from) && !from.value_or(value).empty()) {
      names.push_back(from.value_or(value));
    }
  }
  return names;
}

Result<std::vector<Draft>> draft_stages(const Dockerfile& file, const Recipe& recipe,
                                        std::map<std::string, std::string>& global_args,
                                        Effort& effort) {
  std::vector<Draft> drafts;
  const VariableLookup lookup = [&](std::string_view name) -> std::optional<std::string> {
    if (!effort.check()) {
      return std::nullopt;
    }
    const auto it = global_args.find(std::string(name));
    return counted(effort, 1, it == global_args.end() ? std::nullopt : std::optional(it->second));
  };
  for (const Instruction& instruction : file.instructions) {
    THAW_TRY_VOID(check_effort(effort, instruction));
    if (instruction.verb == "FROM") {
      const auto words = split_blanks(instruction.rest);
      if (words.size() != 1 && !(words.size() == 3 && lower(words[1]) == "as")) {
        return at_line(instruction.line, "write FROM image, or FROM image AS name");
      }
      auto reference = expand_word(words[0], file.escape, lookup);
      if (!reference) {
        return at_line(instruction.line, reference.error().message());
      }
      if (reference->empty()) {
        return at_line(
            instruction.line,
            "FROM " + words[0] + " is empty; give its ARG a default or a build argument");
      }
      Draft draft;
      draft.from = &instruction;
      draft.reference = *reference;
      draft.base_stage = find_stage(drafts, drafts.size(), *reference);
      if (draft.base_stage >= 0) {
        draft.needs.insert(draft.base_stage);
      }
      if (words.size() == 3) {
        draft.name = lower(words[2]);
      }
      drafts.push_back(std::move(draft));
    } else if (!drafts.empty()) {
      Draft& draft = drafts.back();
      draft.body.push_back(&instruction);
      for (const std::string& from : read_from(instruction)) {
        const int stage = copy_from_stage(drafts, drafts.size() - 1, from);
        if (stage >= 0) {
          draft.needs.insert(stage);
        }
      }
    } else if (instruction.verb == "ARG") {
      for (const auto& word : split_words(instruction.rest, file.escape)) {
        THAW_TRY_VOID(declare_arg(instruction, word, file.escape, recipe, lookup, {}, global_args));
        THAW_TRY_VOID(check_effort(effort, instruction));
      }
    } else {
      return at_line(instruction.line,
                     "the recipe must begin with FROM, only ARG may stand before it");
    }
  }
  if (drafts.empty()) {
    return Error::invalid_argument("the recipe has no FROM");
  }
  return drafts;
}

// Those that the last one needs, itself among them.
std::set<int> needed_stages(const std::vector<Draft>& drafts) {
  std::set<int> needed = {static_cast<int>(drafts.size()) - 1};
  for (int i = static_cast<int>(drafts.size()) - 1; i >= 0; --i) {
    if (needed.contains(i)) {
      needed.insert(drafts[i].needs.begin(), drafts[i].needs.end());
    }
  }
  return needed;
}

std::string text_of(const Recipe& recipe) {
  std::string text;
  for (const std::string& line : recipe.dockerfile) {
    text.append(line).push_back('\n');
  }
  return text;
}

}  // namespace

Result<std::vector<NamedBase>> named_bases(const Recipe& recipe) {
  THAW_TRY(const Dockerfile file, parse_dockerfile(text_of(recipe)));
  std::map<std::string, std::string> global_args = platform_args();
  Effort effort;
  THAW_TRY(const std::vector<Draft> drafts, draft_stages(file, recipe, global_args, effort));
  std::map<std::string, NamedBase> found;
  for (const int i : needed_stages(drafts)) {
    const Draft& draft = drafts[i];
    if (draft.base_stage < 0) {
      found[draft.reference] = {draft.reference, draft.from->line, NamedBase::Use::from};
    }
    for (const Instruction* instruction : draft.body) {
      for (const std::string& from : read_from(*instruction)) {
        if (copy_from_stage(drafts, static_cast<std::size_t>(i), from) < 0) {
          found.try_emplace(from, NamedBase{from, instruction->line, NamedBase::Use::copied_from});
        }
      }
    }
  }
  std::vector<NamedBase> out;
  for (auto& [reference, base] : found) {
    out.push_back(std::move(base));
  }
  return out;
}

Result<Plan> make_plan(const Recipe& recipe, const BaseLookup& lookup) {
  THAW_TRY(const Dockerfile file, parse_dockerfile(text_of(recipe)));
  std::map<std::string, std::string> global_args = platform_args();
  Effort effort;
  THAW_TRY(const std::vector<Draft> drafts, draft_stages(file, recipe, global_args, effort));
  const std::set<int> needed = needed_stages(drafts);
  Plan plan;
  std::map<int, int> place;  // of a draft in the plan
  for (int i = 0; i < static_cast<int>(drafts.size()); ++i) {
    if (!needed.contains(i)) {
      continue;
    }
    const Draft& draft = drafts[i];
    Stage stage;
    stage.name = draft.name;
    stage.text = draft.from->summary();
    if (draft.base_stage >= 0) {
      stage.base_stage = place[draft.base_stage];
      stage.facts.key = plan.stages[stage.base_stage].key();
      stage.facts.config = plan.stages[stage.base_stage].config();
    } else {
      stage.base = draft.reference;
      auto facts = lookup(draft.reference);
      if (!facts) {
        return at_line(draft.from->line, facts.error().code(), facts.error().message());
      }
      stage.facts = std::move(*facts);
    }
    StagePlanner planner(recipe, file.escape, global_args, stage, effort);
    THAW_TRY_VOID(check_effort(effort, *draft.from));
    planner.find_source = [&](const std::string& from) -> Result<CopyOrigin> {
      const int origin = copy_from_stage(drafts, static_cast<std::size_t>(i), from);
      if (origin >= 0 && !place.contains(origin)) {  // asked for by an ONBUILD of the base
        return Error::failed_precondition("that stage is needed by nothing else and is not built");
      }
      if (origin >= 0) {
        return CopyOrigin{place[origin], "", plan.stages[place[origin]].key()};
      }
      THAW_TRY(const BaseFacts facts, lookup(from));
      return CopyOrigin{-1, from, facts.key};
    };
    if (auto done = planner.add_triggers(); !done) {
      return at_line(draft.from->line, done.error().code(), done.error().message());
    }
    for (const Instruction* instruction : draft.body) {
      THAW_TRY_VOID(planner.add(*instruction));
    }
    place[i] = static_cast<int>(plan.stages.size());
    plan.stages.push_back(std::move(stage));
  }
  return plan;
}

std::optional<std::string> env_value(const std::vector<std::string>& env, std::string_view name) {
  for (const std::string& item : env) {
    if (item.size() > name.size() && item[name.size()] == '=' && item.starts_with(name)) {
      return item.substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

void set_env(std::vector<std::string>& env, std::string_view name, std::string_view value) {
  std::string item = std::string(name) + "=" + std::string(value);
  for (std::string& old : env) {
    if (old.size() > name.size() && old[name.size()] == '=' && old.starts_with(name)) {
      old = std::move(item);
      return;
    }
  }
  env.push_back(std::move(item));
}

}  // namespace thaw::image
