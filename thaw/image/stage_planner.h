// SPDX-License-Identifier: Apache-2.0
//
// Turns the instructions of one stage into steps, in order: it holds what Docker calls the state
// of the stage (config, arguments in scope, whether CMD was set here). Used by make_plan only.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "thaw/image/dockerfile.h"
#include "thaw/image/dockerfile_words.h"
#include "thaw/image/plan.h"

namespace thaw::image {

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

class StagePlanner {
 public:
  StagePlanner(const Recipe& recipe, char escape,
               const std::map<std::string, std::string>& global_args, Stage& stage);

  // Where COPY --from=… leads.
  std::function<Result<CopyOrigin>(const std::string& from)> find_source;

  // What the base image wants to be done first in an image FROM it.
  Result<void> add_triggers();
  Result<void> add(const Instruction& instruction);

 private:
  Result<void> add_onbuild(const Instruction& instruction);
  Result<void> add_env(const Instruction& instruction);
  Result<void> add_arg(const Instruction& instruction);
  Result<void> add_run(const Instruction& instruction);
  Result<void> add_copy(const Instruction& instruction);
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
  ImageConfig config_;
  std::map<std::string, std::string> args_;
  bool has_cmd_ = false;
};

}  // namespace thaw::image
