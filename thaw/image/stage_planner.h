// SPDX-License-Identifier: Apache-2.0
//
// Turns the instructions of one stage into steps, in order: it holds what Docker calls the state
// of the stage (config, arguments in scope, whether CMD was set here). Used by make_plan only.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/image/dockerfile.h"
#include "thaw/image/dockerfile_words.h"
#include "thaw/image/plan.h"

namespace thaw::image {

class KeyMaker;

// Of a source that is not there.
inline constexpr const char* not_in_context =
    "is not in the build context; check the path and .dockerignore. Some clients send only what "
    "COPY names";

// What the items hold, whatever their uploads were called.
void add_items(KeyMaker& key, const std::vector<CopyItem>& items);

struct CopyOrigin {
  int stage = -1;
  std::string reference;
  std::string key;
};

// ARG NAME or NAME=default into `args`; `inherited` are the arguments declared before FROM.
Result<void> declare_arg(const Instruction& instruction, const std::string& word, char escape,
                         const Recipe& recipe, const VariableLookup& lookup,
                         const std::map<std::string, std::string>& inherited,
                         std::map<std::string, std::string>& args);

// The value of an option of --mount=type=bind,from=x,…; nullopt if it is not there, empty if it
// stands alone.
std::optional<std::string> mount_option(std::string_view mount, std::string_view name);

// What planning a recipe has cost so far, over all its stages. A recipe is a stranger's and is
// planned on the server's loop: a few kilobytes of it can name gigabytes, and hours.
struct Effort {
  std::uint64_t looks = 0;     // at files of the context
  std::uint64_t compared = 0;  // bytes of patterns with those of names; variables looked through
  std::uint64_t made = 0;      // bytes that variables have expanded to, and that steps hold

  // resource_exhausted says which of it is too much.
  Result<void> check() const;
};
// The same as errors of that line.
Result<void> check_effort(const Effort& effort, const Instruction& instruction);
// A variable's value as others see it, which is counted. Where there was too much, there is none.
std::optional<std::string> counted(Effort& effort, std::uint64_t looked_through,
                                   std::optional<std::string> value);

class StagePlanner {
 public:
  // `effort`: of all stages; it outlives the planner.
  StagePlanner(const Recipe& recipe, char escape,
               const std::map<std::string, std::string>& global_args, Stage& stage, Effort& effort);

  // Where COPY --from=… leads.
  std::function<Result<CopyOrigin>(const std::string& from)> find_source;

  // What the base image wants to be done first in an image FROM it.
  Result<void> add_triggers();
  Result<void> add(const Instruction& instruction);

 private:
  Result<void> add_by_verb(const Instruction& instruction);
  Result<void> add_onbuild(const Instruction& instruction);
  Result<void> add_env(const Instruction& instruction);
  Result<void> add_arg(const Instruction& instruction);
  Result<void> add_run(const Instruction& instruction);
  // What it means goes into `key`.
  Result<RunMount> run_mount(const Instruction& instruction, const std::string& text,
                             KeyMaker& key);
  Result<void> find_mounted_files(const Instruction& instruction, const std::string& text,
                                  RunMount& mount, KeyMaker& key);
  Result<void> add_copy(const Instruction& instruction);
  // Each word of a COPY is looked for among all files of the context, on the server's loop: so many
  // looks are too many. resource_exhausted.
  Result<void> note_look(const Instruction& instruction, const std::string& path);
  VariableLookup variables();
  Result<void> add_workdir(const Instruction& instruction);
  Result<std::vector<std::string>> copy_words(const Instruction& instruction);
  Result<std::vector<CopyItem>> heredoc_items(const Instruction& instruction,
                                              std::vector<std::string>& words);

  Result<std::string> expand(const Instruction& instruction, std::string_view word);
  std::vector<std::string> command(const Instruction& instruction) const;
  std::vector<std::string> shell() const;
  // The step gets the key of `change` on top of the image so far.
  Step begin(const Instruction& instruction) const;
  void finish(Step step, std::string key);
  void finish_config(const Instruction& instruction, std::string note);

  const Recipe& recipe_;
  char escape_;
  const std::map<std::string, std::string>& global_args_;
  Stage& stage_;
  Effort& effort_;
  ImageConfig config_;
  std::map<std::string, std::string> args_;
  bool has_cmd_ = false;
};

}  // namespace thaw::image
