// SPDX-License-Identifier: Apache-2.0
//
// A plan is what a recipe means: stages, and in each the steps with variables replaced, COPY
// sources resolved to content, the config after every step, and the key that the image has then.
// Pure: the only question to the outside is what a base is (its key and config). Two recipes with
// one meaning give one key; secrets are not looked at.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "thaw/image/dockerfile.h"
#include "thaw/image/image.h"

namespace thaw::image {

struct BaseFacts {
  std::string key;
  ImageConfig config;
  std::string note;  // for the build log: where the base differs from what its tag says
};
using BaseLookup = std::function<Result<BaseFacts>(const std::string& reference)>;

struct CopyEntry {         // one file of the context
  std::string path;        // below the item's target; empty: the target itself
  std::string sha256_hex;  // from the blob store; empty: `bytes`
  std::string bytes;
  std::uint32_t mode = 0644;
};
struct CopyItem {
  enum class Kind { file, folder } kind = Kind::file;
  std::string name;  // what a file is called where the destination is a folder
  std::vector<CopyEntry> entries;
};

// RUN --mount: what a step finds beside its image, and what does not stay in the layer.
struct RunMount {
  enum class Kind {
    files,    // of the context (items), or of another image (from_…, source)
    scratch,  // an empty folder: what is in it goes with the step
    secret,   // a file that holds the build's secret of that name
  } kind = Kind::files;
  std::string target;                                                      // absolute
  enum class Access { read_only, read_write } access = Access::read_only;  // writes are lost
  std::vector<CopyItem> items;
  int from_stage = -1;         // index in Plan::stages
  std::string from_reference;  // else a base, when not empty
  std::string source;          // in it, absolute
  std::string secret;
  std::string variable;  // of the environment, in the place of a file
  enum class Missing { left_out, error } missing = Missing::left_out;
  std::uint32_t mode = 0755;
};

struct RunStep {
  std::vector<std::string> argv;
  std::string script;             // a heredoc that begins with #!: the program, argv is empty
  std::vector<std::string> args;  // "NAME=value" of ARG, beside the config's env
  enum class Network { standard, none } network = Network::standard;
  std::vector<RunMount> mounts;
};

struct CopyStep {
  // Where from: the context (items), or another image (patterns): a stage or a key.
  std::vector<CopyItem> items;
  int from_stage = -1;         // index in Plan::stages
  std::string from_reference;  // else a base, when not empty
  std::vector<std::string> patterns;
  std::string destination;  // absolute; ends in / when it must be a folder
  std::string owner;        // --chown, as written
  std::optional<std::uint32_t> mode;
  // ADD: files that are archives are unpacked into the destination.
  enum class Archives { stay, unpacked } archives = Archives::stay;
};

struct Step {
  enum class Kind { config, run, copy, folder } kind = Kind::config;
  int line = 0;
  std::string text;  // for the log
  std::string note;
  std::string key;  // of the image after this step
  ImageConfig config;
  RunStep run;
  CopyStep copy;
  std::string folder;  // WORKDIR: made if missing
};

struct Stage {
  std::string name;
  std::string text;     // its FROM
  int base_stage = -1;  // index in Plan::stages
  std::string base;     // reference, when base_stage < 0
  BaseFacts facts;
  std::vector<Step> steps;

  const std::string& key() const { return steps.empty() ? facts.key : steps.back().key; }
  const ImageConfig& config() const { return steps.empty() ? facts.config : steps.back().config; }
};

struct Plan {
  std::vector<Stage> stages;  // only those that the last one needs
  const Stage& result() const { return stages.back(); }
};

Result<Plan> make_plan(const Recipe& recipe, const BaseLookup& lookup);

// What the recipe itself (not the triggers of its bases) names as bases, each once, of the stages
// that are needed. invalid_argument as make_plan().
struct NamedBase {
  std::string reference;
  int line = 0;
  enum class Use { from, copied_from } use = Use::from;  // FROM, or only --from= of a step
};
Result<std::vector<NamedBase>> named_bases(const Recipe& recipe);

// The variable's value in "NAME=value" lists; nullopt if it is not there.
std::optional<std::string> env_value(const std::vector<std::string>& env, std::string_view name);
// Replaces in place, or appends: the order of first appearance stays.
void set_env(std::vector<std::string>& env, std::string_view name, std::string_view value);

}  // namespace thaw::image
