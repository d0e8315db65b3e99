// SPDX-License-Identifier: Apache-2.0
//
// Kit: what this server knows of one language's runtime, as data. How a running interpreter is
// forked, which variables shape one, what renews after a restore what must not be the same twice. A
// kit has a folder below kits/; nothing outside of it names its language, and nothing in it names a
// cloud: what a dialect's own runtime needs comes with the plan of its containers. A program of no
// kit is booted, or restored as it is. Values: any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/worker/injected_file.h"

namespace thaw::worker {

struct LaunchPlan;

struct Kit {
  // Of a template, as thaw/sandbox/detail/newcomer.h says what it has to do. It gets
  //   COMMAND… /run/thaw/FILE --shared FOLDER:FOLDER… MODULE…
  // and says on its control socket "at MODULE" before it loads one, and "ready [LEFT OUT,…]".
  struct ForkProgram {
    InjectedFile file;
    std::vector<std::string> command;
    // Where images keep this language's modules: what lies there beside them is not learned.
    std::vector<std::string> module_folders;
  };
  // Files in /run/thaw of a container that is to become a snapshot, and the variable that makes its
  // interpreter load them: `value` comes first, what the variable had follows after `joint`. What
  // is loaded hears `restored_signal` (snapshots.h), renews, and tells its start report.
  struct Renewal {
    std::vector<InjectedFile> files;
    std::string variable;
    std::string value;
    std::string joint;
  };

  std::string name;
  std::optional<ForkProgram> fork;  // none: its programs cannot be forked
  std::optional<Renewal> renewal;
  // Names of variables that it reads when it starts, besides those that every program reads. One
  // that ends in '*' stands for all that begin so.
  std::vector<std::string> shaping;
};

// Of a program of which nothing is known: neither forks nor renewals.
inline Kit bare_kit() { return {.name = "bare"}; }

// Whether the variable is read when an interpreter of this kit starts (or by the C library or the
// loader under it), so that changing it in a fork would come too late.
bool shapes(const Kit& kit, std::string_view variable);

// Those that this server has.
class Kits {
 public:
  // Their names differ.
  explicit Kits(std::vector<Kit> all);
  // nullptr: there is none of that name.
  const Kit* find(std::string_view name) const;
  const std::vector<Kit>& all() const { return all_; }

 private:
  std::vector<Kit> all_;
};

// What a container gets that is to become a snapshot and of whose program nobody knows in what
// language it is: what every kit has for that. It does nothing in other languages.
void add_renewals(const Kits& kits, LaunchPlan& plan);

}  // namespace thaw::worker
